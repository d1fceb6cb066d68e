package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

func newEtcd() *cobra.Command {
	var cfg state.EmbeddedConfig
	var m clusterMember
	var tls agent.TLS
	var open, verbose bool
	var quota int64
	cmd := &cobra.Command{
		Use:   "etcd --dir DIR [--listen URL]...",
		Short: "Run the database: one etcd member in this process",
		Long: `Run an etcd, by itself or, with --name, as a member of a cluster. It is the same
server as etcd's own, and its data directory is DIR/etcd; a cluster of etcd
itself is as good a database. docs/operations.md sets one up.

Once it serves, it prints the URLs where it does, one a line. Clients with TLS
are asked for a certificate if --ca is given. The commands below look after any
etcd that weft uses.`,
		Example: `  # A database for this host; commands find it there by themselves
  weft etcd --dir /tmp/weft-db

  # On a free port, or on a socket
  weft etcd --dir /tmp/weft-db --listen http://127.0.0.1:0
  weft etcd --dir /tmp/weft-db --listen unix:///tmp/weft-db/etcd.sock

  # For other hosts, with certificates on both sides
  weft etcd --dir /var/lib/weft --listen https://192.0.2.11:2379 --cert etcd.crt --key etcd.key --ca clients.crt

  # The first of three on one host, to try it out; n2 and n3 likewise
  weft etcd --dir /tmp/n1 --name n1 --listen-peer http://127.0.0.1:2380 \
    --initial-cluster n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2390 \
    --initial-cluster n3=http://127.0.0.1:2400`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Dir == "" {
				return usage(errors.New("--dir: is missing; name the directory for the data"))
			}
			for _, listen := range cfg.Listen {
				if err := checkListen("--listen", listen, tls, open); err != nil {
					return usage(err)
				}
			}
			if err := m.check(open); err != nil {
				return usage(err)
			}
			if quota <= 0 {
				return usage(fmt.Errorf("--quota %d: is no size; give MiB, such as 8192", quota))
			}
			cfg.Cluster, cfg.Quota = m.config(), quota<<20
			level := slog.LevelError
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			cfg.CertFile, cfg.KeyFile, cfg.CAFile = tls.Cert, tls.Key, tls.CA
			return serveEtcd(cmd, cfg)
		},
	}
	f := cmd.Flags()
	serverFlags(f, &cfg, &tls)
	f.BoolVar(&open, "insecure", false, "serve other hosts without TLS too: whoever reaches the port owns the network")
	f.Int64Var(&quota, "quota", 8192, "`MiB` that the database file may take; beyond, it takes no writes")
	f.BoolVarP(&verbose, "verbose", "v", false, "log all that etcd logs, not only errors")
	m.flags(f)
	cmd.AddCommand(newEtcdStatus(), newEtcdReclaim())
	return cmd
}

// serverFlags adds the flags of any server.
func serverFlags(f *pflag.FlagSet, cfg *state.EmbeddedConfig, tls *agent.TLS) {
	f.StringVar(&cfg.Dir, "dir", "", "`directory` of the data, made if it is not there (required)")
	f.StringSliceVar(&cfg.Listen, "listen", []string{defaultEtcd}, "serve clients at `URL`: http, https, or unix:///path; port 0 is a free one")
	f.StringVar(&tls.Cert, "cert", "", "PEM `file` of the server's certificate, for https")
	f.StringVar(&tls.Key, "key", "", "PEM `file` of its key")
	f.StringVar(&tls.CA, "ca", "", "PEM `file` of the authority of clients' certificates, which they must have then")
	f.BoolVar(&cfg.UnsafeNoFsync, "no-fsync", false, "don't sync to disk: faster, and a crash of the host loses data (labs)")
	f.DurationVar(&cfg.CompactAfter, "compact-after", 10*time.Minute, "how long history is kept")
	f.DurationVar(&cfg.TokenTTL, "auth-token-ttl", 5*time.Minute, "how long who logged in by password is known")
}

func serveEtcd(cmd *cobra.Command, cfg state.EmbeddedConfig) error {
	e, err := state.StartEmbedded(cmd.Context(), cfg)
	if errors.Is(err, syscall.EADDRINUSE) && cfg.Cluster == nil {
		return fmt.Errorf("--listen %s: is in use, perhaps by another etcd; choose another, or port 0 for a free one (%w)", strings.Join(cfg.Listen, ", "), err)
	}
	if err != nil {
		return err
	}
	for _, url := range e.Endpoints() {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), url); err != nil {
			e.Close()
			return err
		}
	}
	return e.Run(cmd.Context())
}

// checkListen refuses what would serve the database to everybody, and TLS without certificates. A flag's certificates have its name: --cert is for
// --listen, --peer-cert for --listen-peer.
func checkListen(flag, listen string, tls agent.TLS, open bool) error {
	u, err := url.Parse(listen)
	fail := func(problem, hint string) error { return fmt.Errorf("%s %q: %s; %s", flag, listen, problem, hint) }
	cert, key, port := "--cert", "--key", ":2379"
	if flag == "--listen-peer" {
		cert, key, port = "--peer-cert", "--peer-key", ":2380"
	}
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix":
		return fail("is no URL", "use one such as "+defaultEtcd+", https://… or unix:///path")
	case u.Scheme == "unix":
		return nil
	case u.Port() == "" || strings.Trim(u.Path, "/") != "":
		return fail("is not SCHEME://HOST:PORT", "use "+u.Scheme+"://"+u.Host+port)
	case u.Scheme == "https" && (tls.Cert == "" || tls.Key == ""):
		return fail("needs a certificate", "give "+cert+" and "+key)
	case u.Scheme == "https" || open || isLoopback(u.Hostname()):
		return nil
	}
	return fail("is plain and can be reached from other hosts", "use https with "+cert+" and "+key+", or a loopback address, or say --insecure")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err == nil {
		return ip.IsLoopback()
	}
	addrs, err := net.LookupIP(host)
	for _, a := range addrs {
		if !a.IsLoopback() {
			return false
		}
	}
	return err == nil && len(addrs) > 0
}
