package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"golang.org/x/sys/unix"
)

const (
	maxTxnOps       = 200_000  // operations per transaction; bounds one Apply
	maxRequestBytes = 64 << 20 // bytes per request
	backendQuota    = 8 << 30  // bytes of the database file
	defragAtStart   = 100      // MB of the database file that must be free for it to be made smaller when the server starts
	maxSocketPath   = 100      // sun_path has 108 bytes, with the terminating zero
)

// EmbeddedConfig says how to run etcd inside this process: alone, or as a member of a cluster.
type EmbeddedConfig struct {
	Dir string // data directory, created with mode 0700; one process at a time

	// Listen are client URLs (unix:///path, http://127.0.0.1:2379, https://…). None: a unix socket in Dir, or a free
	// loopback port if the path of Dir is too long for a socket.
	Listen []string
	// CertFile, KeyFile and CAFile serve https URLs; with CAFile, clients must show a certificate of that CA.
	CertFile, KeyFile, CAFile string

	FastTimers    bool // 10 ms ticks, 100 ms elections: tests
	UnsafeNoFsync bool // don't sync to disk: tests; a crash of the machine loses data

	Cluster *Member // nil: alone, without a peer listener

	CompactAfter time.Duration // history kept for watchers; 0 = 10 minutes
	Quota        int64         // bytes that the database file may take, beyond which writes are refused; 0 = 8 GiB
	TokenTTL     time.Duration // that clients who log in by password need not do it again, whole seconds; 0 = 5 minutes
	Log          *slog.Logger  // nil: silent
}

// Member says which member of a cluster a server is.
type Member struct {
	Name    string            // a key of Members
	Listen  []string          // peer URLs (http://192.0.2.11:2380, https://…)
	Members map[string]string // all of the first ones, this one among them, by name: the peer URL at which the others reach it
	Join    bool              // the others run already, and have been told of this one
	Token   string            // tells clusters apart that are set up on the same hosts; "" = weft
	// Advertise are the client URLs to name to others; none: Listen of the EmbeddedConfig.
	Advertise []string
	// CertFile, KeyFile and CAFile are for https between members: each shows its certificate to the others, which must be of that CA.
	CertFile, KeyFile, CAFile string
}

// Embedded is an etcd server in this process.
type Embedded struct {
	etcd *embed.Etcd
	lock *os.File
}

// StartEmbedded starts the server and returns when it serves. The caller must Run or Close it.
func StartEmbedded(ctx context.Context, cfg EmbeddedConfig) (*Embedded, error) {
	if cfg.Dir == "" {
		return nil, errors.New("state: embedded etcd needs a directory")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("state: data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	ecfg, err := cfg.server(dir)
	if err != nil {
		lock.Close()
		return nil, err
	}
	etcd, err := embed.StartEtcd(ecfg)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("state: start embedded etcd: %w", err)
	}
	e := &Embedded{etcd: etcd, lock: lock}
	select {
	case <-etcd.Server.ReadyNotify():
		return e, nil
	case err = <-etcd.Err():
	case <-etcd.Server.StopNotify():
		err = errors.New("stopped while starting")
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	return nil, fmt.Errorf("state: start embedded etcd: %w", err)
}

// server maps the configuration to etcd's.
func (cfg EmbeddedConfig) server(dir string) (_ *embed.Config, err error) {
	c := embed.NewConfig()
	c.Dir = filepath.Join(dir, "etcd")
	c.MaxTxnOps, c.MaxRequestBytes, c.QuotaBackendBytes = maxTxnOps, maxRequestBytes, backendQuota
	if cfg.Quota > 0 {
		c.QuotaBackendBytes = cfg.Quota
	}
	if cfg.TokenTTL > 0 {
		c.AuthTokenTTL = uint((cfg.TokenTTL + time.Second - 1) / time.Second)
	}
	c.BootstrapDefragThresholdMegabytes = defragAtStart
	c.EnableGRPCGateway = false
	c.UnsafeNoFsync = cfg.UnsafeNoFsync
	if cfg.FastTimers {
		c.TickMs, c.ElectionMs = 10, 100
	}
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "10m"
	if cfg.CompactAfter > 0 {
		c.AutoCompactionRetention = cfg.CompactAfter.String()
	}
	c.ClientTLSInfo = transport.TLSInfo{CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, TrustedCAFile: cfg.CAFile, ClientCertAuth: cfg.CAFile != ""}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(cfg.Log, false))

	listen := cfg.Listen
	if len(listen) == 0 {
		listen = []string{"http://127.0.0.1:0"}
		if sock := filepath.Join(dir, "etcd.sock"); len(sock) <= maxSocketPath {
			listen = []string{"unix://" + sock}
		}
	}
	if c.ListenClientUrls, err = urls("listen address", listen); err != nil {
		return nil, err
	}
	c.AdvertiseClientUrls = c.ListenClientUrls
	if cfg.Cluster != nil {
		return c, cfg.Cluster.join(c)
	}
	c.Name = "weft"
	c.ListenPeerUrls = nil // a single member has no peers to listen to
	c.InitialCluster = c.Name + "=" + c.AdvertisePeerUrls[0].String()
	return c, nil
}

// join makes the server a member of the cluster.
func (m *Member) join(c *embed.Config) (err error) {
	own, ok := m.Members[m.Name]
	if !ok {
		return fmt.Errorf("state: etcd member %q is not among the members %q", m.Name, slices.Sorted(maps.Keys(m.Members)))
	}
	c.Name, c.InitialClusterToken = m.Name, cmp.Or(m.Token, "weft")
	if c.ListenPeerUrls, err = urls("peer address", m.Listen); err != nil {
		return err
	}
	if c.AdvertisePeerUrls, err = urls("peer address", []string{own}); err != nil {
		return err
	}
	if len(m.Advertise) > 0 {
		if c.AdvertiseClientUrls, err = urls("advertised address", m.Advertise); err != nil {
			return err
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.Members)) {
		all = append(all, name+"="+m.Members[name])
	}
	c.InitialCluster = strings.Join(all, ",")
	if m.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	c.PeerTLSInfo = transport.TLSInfo{CertFile: m.CertFile, KeyFile: m.KeyFile, TrustedCAFile: m.CAFile, ClientCertAuth: m.CAFile != ""}
	return nil
}

func urls(what string, list []string) ([]url.URL, error) {
	var out []url.URL
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("state: %s %q: %w", what, s, err)
		}
		out = append(out, *u)
	}
	return out, nil
}

// Endpoints are the addresses that clients in other processes can use.
func (e *Embedded) Endpoints() []string {
	var out []string
	for _, l := range e.etcd.Clients {
		scheme := "http://"
		if l.Addr().Network() == "unix" {
			scheme = "unix://"
		} else if !e.etcd.Config().ClientTLSInfo.Empty() {
			scheme = "https://"
		}
		out = append(out, scheme+l.Addr().String())
	}
	return out
}

// Client returns a client that calls the server without a socket. The caller closes it before the server.
func (e *Embedded) Client() *clientv3.Client { return v3client.New(e.etcd.Server) }

// watchClient watches the server without a socket.
func (e *Embedded) watchClient() pb.WatchClient {
	return adapter.WatchServerToWatchClient(v3rpc.NewWatchServer(e.etcd.Server))
}

// kvClient calls the server without a socket.
func (e *Embedded) kvClient() pb.KVClient {
	return adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(e.etcd.Server))
}

// Run returns when ctx ends or the server fails; the server is closed then.
func (e *Embedded) Run(ctx context.Context) error {
	defer e.Close()
	return e.wait(ctx)
}

// wait returns when ctx ends, or with an error when the server fails.
func (e *Embedded) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.etcd.Err():
		return fmt.Errorf("state: embedded etcd: %w", err)
	case <-e.etcd.Server.StopNotify():
		return errors.New("state: embedded etcd stopped")
	}
}

// Close stops the server. Clients should be closed first: open watches delay it by seconds.
func (e *Embedded) Close() {
	e.etcd.Close()
	e.lock.Close()
}

// lockDir takes the directory for this process; etcd itself would wait for ever.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state: data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	return f, nil
}
