package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// network is the stored network as commands see it: in etcd (direct.go), or behind the API (remote.go).
type network interface {
	// Get returns an object and the revision at which it was last changed; state.ErrNotFound: it is not there.
	Get(ctx context.Context, r topology.Ref) (*topology.Object, int64, error)
	// List returns the objects of kinds, and of a tenant unless that is empty, by kind, tenant and name: the parts too that objects are made into.
	List(ctx context.Context, kinds []topology.Kind, tenant string) ([]*topology.Object, error)
	// Change puts and deletes objects, all or none. What is wrong with them are topology.Errors.
	Change(ctx context.Context, c change) (*changed, error)
	// Applied waits, for a time at most, until all live edges have a revision, and tells how far they are: what they can not do is of the tenants that are named.
	Applied(ctx context.Context, revision int64, wait time.Duration, tenants map[string]bool) (*applied, error)
	// Follow calls fn now and after each change of objects, until ctx ends (nil) or fn fails.
	Follow(ctx context.Context, fn func() error) error
	// Health is what is known of a pool's members.
	Health(ctx context.Context, pool *topology.Object) (state.PoolHealth, error)
	// RuleHits are the packets that met the rules of a chain.
	RuleHits(ctx context.Context, chain *topology.Object) ([]client.RuleHits, error)
	// Rates are those that are set of a vport, or of the link that it is an end of.
	Rates(ctx context.Context, vport string) ([]client.Rate, error)
	// Edges are those that are known or that bindings name.
	Edges(ctx context.Context) ([]client.Edge, error)
	// Session says how a BGP session is, in one line.
	Session(ctx context.Context, name string) (string, error)
	Events(ctx context.Context, f state.EventFilter) ([]state.LoggedEvent, int64, error)
	WatchEvents(ctx context.Context, f state.EventFilter, after int64, fn func(state.LoggedEvent) error) error
}

// change is what a command changes.
type change struct {
	put    []*topology.Object
	del    []topology.Ref
	at     map[topology.Ref]int64 // objects that must be as they were at these revisions; else state.ErrConflict, and nothing is changed
	dryRun bool
}

// changed is what a change did, or would do.
type changed struct {
	revision int64 // 0 of a dry run
	steps    []step
}

// applied is how far edges are.
type applied struct {
	done   bool
	edges  int      // that are live
	behind []string // those that do not have the revision
	away   []string // not live, and named by bindings
	lacks  []string // what they can not do
}

// reach says where the network is: the flags of commands that read or change it.
//
// A flag counts more than the environment, and that more than a login; a server more than a database. With none of them it is the etcd of this machine.
type reach struct {
	db  database
	api server
}

// flags adds the flags to a command.
func (r *reach) flags(cmd *cobra.Command) {
	r.api.flags(cmd)
	r.db.flags(cmd)
	for flag, complete := range map[string]completion{"tenant": completeTenants(r), "edge": completeEdges(r), "vport": completeVPorts(r), "for": completeAbout(r)} {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, complete) // there is such a flag, and it is completed once
		}
	}
}

// tenant is that of who has logged in, if it is the API that is meant.
func (r *reach) tenant() string {
	if r.isDirect() {
		return ""
	}
	_, a, err := r.api.account()
	if err != nil || os.Getenv("WEFT_TOKEN") != "" {
		return "" // whoever that is
	}
	return a.Tenant
}

// isDirect reports whether etcd is named, and nothing that counts more.
func (r *reach) isDirect() bool {
	if r.db.set.Changed("etcd") {
		return true
	}
	return r.api.url == "" && r.api.context == "" && os.Getenv("WEFT_SERVER") == "" && os.Getenv("WEFT_CONTEXT") == "" && os.Getenv("WEFT_ETCD") != ""
}

// remote returns a client of the API; nil: it is etcd that is meant.
func (r *reach) remote() (*client.Client, error) {
	set := r.db.set
	switch {
	case set.Changed("etcd") && (set.Changed("server") || set.Changed("context")):
		return nil, usage(errors.New("--etcd is the database itself, and --server or --context the API; give one of them"))
	case r.isDirect():
		return nil, nil
	}
	name, a, err := r.api.account()
	if err != nil || a.Server == "" {
		return nil, err
	}
	return a.client(a.renewer(name), r.api.lost)
}

// with calls fn with the network.
func (r *reach) with(ctx context.Context, fn func(network) error) error {
	c, err := r.remote()
	if err != nil {
		return err
	}
	if c != nil {
		defer c.Close()
		return withAdvice(fn(&remote{api: c}))
	}
	store, err := r.db.open(ctx)
	if err != nil {
		return err
	}
	d := &direct{store: store, lost: r.api.lost}
	return errors.Join(fn(d), d.close())
}
