package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/topology"
)

// Config says which database to use: Embedded, or Client; not both.
type Config struct {
	Client   ClientConfig
	Embedded *EmbeddedConfig

	// Edges are those that this store is for: its views hold the devices that these edges host, their surroundings, and what is asked for with Load
	// (E7). None: views hold the whole network.
	Edges  []string
	Linger time.Duration // how long a device stays loaded that is not wanted any more; 10 s

	NoRoutes bool // views are without the routes that sessions learnt, which may be millions

	OnceAge  time.Duration // how long names of edits are remembered (Edit.Once); an hour
	AuditAge time.Duration // how long the audit log keeps a record; 90 days
	MaxAudit int           // records of it that are kept (TrimAudit); 100,000

	Writer          WriterConfig
	Events          EventConfig
	MaxMACsPerPort  int              // learnt MACs behind one vport; 1024
	MaxAddrsPerMAC  int              // addresses learnt at one MAC of a bridge; 256
	MaxAddrsPerPort int              // addresses learnt at all MACs that were learnt behind one vport; 2048
	Now             func() time.Time // nil: time.Now. Only differences matter
	Log             *slog.Logger     // nil: silent
}

// Store is the shared database, as one process sees it.
type Store struct {
	cfg      Config
	client   *clientv3.Client
	embedded *Embedded
	writer   *Writer
	watcher  *Watcher
	loader   *loader
	events   *eventLog
	log      *slog.Logger

	edits      edits
	applyMu    sync.Mutex
	desired    desired // by applyMu
	history    history
	heard      heard
	watches    pb.WatchClient
	noteLeases stickyLeases

	reader reader // owned by the watcher's goroutine
	view   atomic.Pointer[View]
	learnt learnt

	monitors monitorLeases
	sticky   stickyLeases

	mu          sync.Mutex
	leases      map[string]*atomic.Int64 // by edge that this process registered; 0: it is not live
	published   chan struct{}            // closed and replaced at each view
	subscribers map[*subscriber]struct{}
}

// Open starts the embedded server, if there is one, and connects. Reading, Apply and Delete work from then on; views, learning
// and edges while Run does.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Linger <= 0 {
		cfg.Linger = 10 * time.Second
	}
	if cfg.OnceAge <= 0 {
		cfg.OnceAge = time.Hour
	}
	if cfg.AuditAge <= 0 {
		cfg.AuditAge = 90 * 24 * time.Hour
	}
	if cfg.MaxAudit <= 0 {
		cfg.MaxAudit = 100_000
	}
	if cfg.MaxMACsPerPort <= 0 {
		cfg.MaxMACsPerPort = 1024
	}
	if cfg.MaxAddrsPerMAC <= 0 {
		cfg.MaxAddrsPerMAC = 256
	}
	if cfg.MaxAddrsPerPort <= 0 {
		cfg.MaxAddrsPerPort = 2048
	}
	s := &Store{cfg: cfg, log: cfg.Log, leases: map[string]*atomic.Int64{}, published: make(chan struct{}), subscribers: map[*subscriber]struct{}{}}
	var kv pb.KVClient
	switch {
	case cfg.Embedded != nil && len(cfg.Client.Endpoints) > 0:
		return nil, errors.New("state: both an embedded etcd and endpoints are configured")
	case cfg.Embedded != nil:
		e, err := StartEmbedded(ctx, *cfg.Embedded)
		if err != nil {
			return nil, err
		}
		s.embedded, s.client, kv = e, e.Client(), e.kvClient()
		if cfg.Writer.MaxOps <= 0 {
			s.cfg.Writer.MaxOps, s.cfg.Writer.MaxParts = 512, 4096 // the embedded server takes it
		}
	default:
		c, err := Dial(ctx, cfg.Client)
		if err != nil {
			return nil, err
		}
		if err := checkVersions(ctx, c, cfg.Client); err != nil {
			c.Close()
			return nil, fmt.Errorf("state: %w", err)
		}
		s.client, kv = c, clientv3.RetryKVClient(c)
	}
	s.writer = NewWriter(kv, s.cfg.Writer)
	s.events = newEventLog(s.client, cfg.Events, cfg.Now, cfg.Log)
	var watch pb.WatchClient
	if s.embedded != nil {
		watch = s.embedded.watchClient()
	}
	s.watches = watch
	prefixes := []string{metaPrefix, fabricPrefix, edgePrefix}
	for _, edge := range cfg.Edges {
		prefixes = append(prefixes, edgeIfaces(edge), ackPrefix+edge+"/")
	}
	if len(cfg.Edges) == 0 {
		prefixes = append(prefixes, devPrefix, ackPrefix)
	}
	s.watcher = NewWatcher(s.client, watch, prefixes...)
	if len(cfg.Edges) > 0 {
		s.watcher.hurry = func(key string) need { return hurryOf(key, cfg.Edges) }
	}
	s.loader = newLoader(s.watcher, &cfg)
	s.reader.known, s.reader.acks = map[string]map[string]int64{}, map[string]Ack{}
	s.reader.ribs = ribTables{}
	s.learnt.init(cfg.Now)
	s.view.Store(&View{Topology: new(topology.Snapshot), Bindings: new(Bindings)})
	return s, nil
}

// Close ends the connection and the embedded server. Call it after Run has returned.
func (s *Store) Close() error {
	s.edits.ended.Wait()
	err := s.client.Close()
	if s.embedded != nil {
		s.embedded.Close()
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("state: close: %w", err)
	}
	return nil
}

// Run writes and watches until ctx ends (nil), the embedded server fails, or etcd is one that was restored meanwhile (ErrRestored).
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.writer.Run(ctx) })
	g.Go(func() error { return s.watcher.Run(ctx, s.deliver) })
	g.Go(func() error { return s.events.run(ctx) })
	if s.loader.partial {
		g.Go(func() error { return s.loader.forget(ctx) })
	}
	if s.embedded != nil {
		g.Go(func() error { return s.embedded.wait(ctx) })
	}
	return g.Wait()
}

// NewRun returns a name for an edge in what it owns in the database: never 0, and no other edge's. What is told to it comes with Changes.
func (s *Store) NewRun() int64 {
	run := 1 + rand.Int64N(conntrack.MaxOwner)
	s.watcher.Add(inboxOf(run))
	return run
}

// GoOnRun is NewRun of an edge that had a name before: what it owned then it still does. What it was told since comes with Changes.
func (s *Store) GoOnRun(run int64) { s.watcher.Add(inboxOf(run)) }

// EndRun has what is told to a run not come any more.
func (s *Store) EndRun(run int64) { s.watcher.Remove(inboxOf(run)) }

// Endpoints are the addresses where other processes find the database.
func (s *Store) Endpoints() []string {
	if s.embedded != nil {
		return s.embedded.Endpoints()
	}
	return s.cfg.Client.Endpoints
}

// Writer returns the group-committing writer, for other hot data than this package knows.
func (s *Store) Writer() *Writer { return s.writer }

// Client returns the etcd client.
func (s *Store) Client() *clientv3.Client { return s.client }

// Follow returns a watcher of other prefixes than this package's.
func (s *Store) Follow(prefixes ...string) *Watcher {
	if s.embedded != nil {
		return NewWatcher(s.client, s.embedded.watchClient(), prefixes...)
	}
	return NewWatcher(s.client, nil, prefixes...)
}

// RegisterEdge returns the registration of an edge; it is in the database while the registration's Run does.
func (s *Store) RegisterEdge(info EdgeInfo, cfg EdgeConfig) (*Registration, error) {
	if cfg.Log == nil {
		cfg.Log = s.log
	}
	r, err := NewRegistration(s.client, info, cfg)
	if err == nil {
		r.lease = s.leaseAt(info.ID)
	}
	return r, err
}

// leaseAt is where the lease of an edge that this process registers is found.
func (s *Store) leaseAt(edge string) *atomic.Int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.leases[edge]
	if at == nil {
		at = new(atomic.Int64)
		s.leases[edge] = at
	}
	return at
}

// leaseOf is the lease of an edge that this process registered; 0: it is not live.
func (s *Store) leaseOf(edge string) clientv3.LeaseID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.leases[edge]; at != nil {
		return clientv3.LeaseID(at.Load())
	}
	return 0
}
