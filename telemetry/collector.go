// Package telemetry collects the state of a switch's interfaces by gNMI: links that go up and down at once, counters each interval.
//
// A notification's way: connect.go (connection, encoding, which interfaces), subscribe.go (what is subscribed to, and how if the target refuses), leaf.go
// (paths and values), table.go (order, age, deletes), count.go (counters that only grow), damp.go (links that flap). Nothing waits for a target: what it has not
// told for a while is stale, and a link of which nothing is known is not down.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// Defaults of Config.
const (
	DefaultInterval = 5 * time.Second
	staleAfter      = 3 // intervals without news
	minStale        = time.Second
)

// Config describes a collector.
type Config struct {
	Address string            // of the gNMI server, as gRPC has it
	Options []grpc.DialOption // credentials
	Target  string            // in the prefix of subscriptions, for a server that stands for several targets; may be empty
	// Ports are the interfaces by their names at the target, and P4Runtime's numbers of them. Empty: the target says which has which, by openconfig-p4rt's state/id.
	Ports    map[string]uint16
	Last     uint16        // the greatest port number that is asked for; 0: any
	Interval time.Duration // of samples; default 5 s
	// OnLink is told each time that a link's state changes; it must not wait, nor call the collector. From one goroutine at a time; may be nil.
	OnLink func(Link)
	Log    *slog.Logger // may be nil
}

// Status is where a collector stands.
type Status struct {
	Connected bool      // notifications come
	Synced    bool      // the target has told all once
	Error     string    // why the last connection ended, or none comes about
	Version   string    // of gNMI, at the target
	Encoding  string    // of values
	Mode      Mode      // how changes come
	Since     time.Time // of Connected, or its end
	Counts    Counts
}

// Collector collects from one target. Run does.
type Collector struct {
	cfg Config

	mu     sync.Mutex
	table  *table
	status Status
}

// New returns a collector that does nothing until Run.
func New(cfg Config) *Collector {
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.OnLink == nil {
		cfg.OnLink = func(Link) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, table: newTable(max(staleAfter*cfg.Interval, minStale))}
}

// Interfaces are what is known of all interfaces that were asked for, by port.
func (c *Collector) Interfaces() []Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.all()
}

// Status tells where the collector stands.
func (c *Collector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Counts = c.table.counts
	return s
}

// Pauses between connections.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 15 * time.Second
)

// sweepEvery is how often the age of what was told is looked at.
const sweepEvery = 100 * time.Millisecond

// Run collects until ctx ends (nil). It waits for a target that is away, however long.
func (c *Collector) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				c.act(func(*table) {})
			}
		}
	})
	g.Go(func() error {
		pause := firstPause
		for {
			began := time.Now()
			err := c.connect(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if time.Since(began) > 2*maxPause {
				pause = firstPause
			}
			c.lost(err, pause)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, maxPause)
		}
	})
	return g.Wait()
}

// act changes the table, and tells what follows for links.
func (c *Collector) act(f func(*table)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.table)
	c.tell()
}

// tell tells what follows for links. The caller holds the lock.
func (c *Collector) tell() {
	for _, l := range c.table.sweep(time.Now()) {
		c.cfg.Log.Info("link", "interface", l.Name, "port", l.Port, "state", l.State.String())
		c.cfg.OnLink(l)
	}
}

// lost notes why a connection ended. What is not new is not logged again.
func (c *Collector) lost(err error, pause time.Duration) {
	if err == nil {
		err = errors.New("the target ended the subscription")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.status
	c.table.counts.Failures++
	if s.Connected || s.Since.IsZero() {
		s.Since = time.Now()
	}
	if text := shown(err.Error(), maxError); s.Connected || text != s.Error {
		c.cfg.Log.Warn("no telemetry", "target", c.cfg.Address, "err", text, "again in", pause)
		s.Error = text
	}
	s.Connected, s.Synced = false, false
}

// errSilent ends a subscription of which nothing comes.
var errSilent = errors.New("the target says nothing")

func silent(for_ time.Duration) error { return fmt.Errorf("%w for %v", errSilent, for_) }
