package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// defaultEtcd is where `weft etcd` listens.
const defaultEtcd = "http://127.0.0.1:2379"

// database are the flags that say where the database is.
type database struct {
	etcd agent.Etcd
	set  *pflag.FlagSet
}

// databaseFlag is a flag of database, with the variable of the environment that stands for it and the field of agent.Etcd that it sets.
type databaseFlag struct {
	name, env, field, usage string
	value                   *string
}

func (d *database) all() []databaseFlag {
	tls := &d.etcd.TLS
	return []databaseFlag{
		{"etcd-ca", "WEFT_ETCD_CA", "tls.ca", "PEM `file` of the authority of etcd's certificate", &tls.CA},
		{"etcd-cert", "WEFT_ETCD_CERT", "tls.cert", "PEM `file` of a certificate to show to etcd", &tls.Cert},
		{"etcd-key", "WEFT_ETCD_KEY", "tls.key", "PEM `file` of its key", &tls.Key},
		{"etcd-user", "WEFT_ETCD_USER", "username", "etcd `user`", &d.etcd.Username},
		{"etcd-password-file", "WEFT_ETCD_PASSWORD_FILE", "passwordFile", "`file` with the user's password as its one line", &d.etcd.PasswordFile},
	}
}

// flags adds the flags to a command.
func (d *database) flags(cmd *cobra.Command) {
	d.set = cmd.Flags()
	d.set.StringSliceVar(&d.etcd.Endpoints, "etcd", nil, "etcd's client `URL`s; default: $WEFT_ETCD, or "+defaultEtcd)
	for _, f := range d.all() {
		d.set.StringVar(f.value, f.name, "", f.usage+"; default: $"+f.env)
	}
}

// client says how to connect, by flags and the environment.
func (d *database) client() (state.ClientConfig, error) {
	if env := os.Getenv("WEFT_ETCD"); env != "" && !d.set.Changed("etcd") {
		d.etcd.Endpoints = strings.Split(env, ",")
	}
	if len(d.etcd.Endpoints) == 0 {
		d.etcd.Endpoints = []string{defaultEtcd}
	}
	names := map[string]string{}
	for _, f := range d.all() {
		if !d.set.Changed(f.name) {
			*f.value = os.Getenv(f.env)
		}
		names[f.field] = "--" + f.name
	}
	client, err := d.etcd.Client()
	if err != nil {
		return client, asFlags(err, names)
	}
	return client, nil
}

// open connects. Nothing is watched before the store's Run, and learned routes are not then.
func (d *database) open(ctx context.Context) (*state.Store, error) {
	return d.connect(ctx, state.Config{NoRoutes: true})
}

func (d *database) connect(ctx context.Context, cfg state.Config) (_ *state.Store, err error) {
	if cfg.Client, err = d.client(); err != nil {
		return nil, err
	}
	store, err := state.Open(ctx, cfg)
	if err != nil {
		return nil, &databaseError{d.etcd.Endpoints, err}
	}
	return store, nil
}

var index = regexp.MustCompile(`^endpoints\[\d+\]$`)

// asFlags turns errors of fields into a usage error of the flags that set them.
func asFlags(err error, names map[string]string) error {
	var list topology.Errors
	if !errors.As(err, &list) {
		return err
	}
	var lines []string
	for _, e := range list {
		flag := *e
		if flag.Field = names[e.Field]; index.MatchString(e.Field) {
			flag.Field = "--etcd"
		}
		lines = append(lines, flag.Error())
	}
	return usage(errors.New(strings.Join(lines, "\n")))
}

// databaseError is a database that can't be reached.
type databaseError struct {
	endpoints []string
	err       error
}

func (e *databaseError) Unwrap() error { return e.err }

func (e *databaseError) Error() string {
	why := e.err.Error()
	if at := strings.Index(why, "\n"); at >= 0 {
		why = why[at+1:] // what state found behind a timeout
	}
	return fmt.Sprintf("etcd at %s: %s; name the database with --etcd or WEFT_ETCD, or start one for trying out with weft etcd --dir DIR",
		strings.Join(e.endpoints, ","), strings.ReplaceAll(why, "\n", ": "))
}

// with calls fn with an open store.
func (d *database) with(ctx context.Context, fn func(*state.Store) error) error {
	store, err := d.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(store), store.Close())
}

// watching calls fn with an open store that has read the whole database but for learned routes, and follows it.
func (d *database) watching(ctx context.Context, fn func(*state.Store) error) error {
	return d.with(ctx, func(store *state.Store) error { return watch(ctx, store, fn) })
}

// routing is watching with learned routes, which may be millions: for those who look packets' ways up.
func (d *database) routing(ctx context.Context, fn func(*state.Store) error) error {
	store, err := d.connect(ctx, state.Config{})
	if err != nil {
		return err
	}
	return errors.Join(watch(ctx, store, fn), store.Close())
}

// watch runs a store while fn does.
func watch(ctx context.Context, store *state.Store, fn func(*state.Store) error) error {
	runCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- store.Run(runCtx) }()
	err := store.WaitRevision(ctx, 1)
	if err == nil {
		err = fn(store)
	}
	stop()
	return errors.Join(err, <-ended)
}
