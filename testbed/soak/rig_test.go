package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/topology"
)

// rig is the whole installation.
type rig struct {
	testing.TB
	seed    uint64
	etcd    []*member
	store   *state.Store // of who configures
	edges   []*edge
	fabric  *fabric.Fabric
	traffic *traffic
	witness *witness
	deeds   deeds

	gap             time.Duration // the longest that an exchange of a steady connection took
	sent, accounted uint64        // frames of stations, summed up at each look
	recovery        time.Duration // the longest until everything worked again

	mu       sync.Mutex // guards what follows
	model    *model
	present  map[topology.Ref]bool
	revision int64 // of the last change

	failures atomic.Int32
}

// deeds counts what was done.
type deeds struct {
	mu sync.Mutex
	n  map[string]int
}

func (d *deeds) did(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == nil {
		d.n = map[string]int{}
	}
	d.n[what]++
}

// maxFailures are told; a fault has many consequences.
const maxFailures = 20

// fail tells of what must not be. Safe from any goroutine.
func (r *rig) fail(format string, args ...any) {
	if n := r.failures.Add(1); n <= maxFailures {
		r.tell("failure: " + fmt.Sprintf(format, args...))
		r.Errorf("seed %d: %s", r.seed, fmt.Sprintf(format, args...))
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("seed %d: %v", r.seed, err)
	}
}

// newRig brings everything up.
func newRig(t testing.TB, seed uint64) *rig {
	t.Helper()
	r := &rig{TB: t, seed: seed, model: newModel(), present: map[topology.Ref]bool{}}
	dir, err := os.MkdirTemp("", "soak") // short: sockets
	r.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	logger := slog.New(slog.DiscardHandler)
	if path := os.Getenv("WEFT_SOAK_LOG"); path != "" {
		f, err := os.Create(path)
		r.must(err)
		t.Cleanup(func() { _ = f.Close() })
		logger = slog.New(slog.NewTextHandler(f, nil))
	}
	r.startMembers(dir)
	r.fabric, err = fabric.New(fabric.Config{Seed: seed})
	r.must(err)
	r.background(r.fabric.Run)
	r.must(r.configure(t.Context()))
	for n := range edges {
		r.must(r.newEdge(n, dir, logger))
	}
	r.powerOn()
	for _, e := range r.edges {
		r.must(e.startTarget())
		e.startAgents()
	}
	t.Cleanup(func() {
		for _, e := range r.edges {
			if err := errors.Join(e.stopAgents(false), e.stopTarget()); err != nil {
				r.fail("at the end: %v", err)
			}
			for _, c := range e.controllers {
				c.close()
			}
		}
	})
	r.settled()
	return r
}

// startMembers starts the cluster, and the store of who configures.
func (r *rig) startMembers(dir string) {
	r.etcd = newMembers(filepath.Join(dir, "etcd"))
	var endpoints []string
	r.Cleanup(func() {
		for _, m := range r.etcd {
			m.kill()
			if r.Failed() {
				r.Logf("%s: …%s", m.cfg.Cluster.Name, m.log.String()[max(0, m.log.Len()-1000):])
			}
		}
	})
	for _, m := range r.etcd {
		r.must(m.start())
		endpoints = append(endpoints, "http://"+m.address)
	}
	for _, m := range r.etcd {
		ctx, cancel := context.WithTimeout(r.Context(), bound)
		r.must(m.answers(ctx))
		cancel()
	}
	var err error
	r.store, err = state.Open(r.Context(), state.Config{Client: state.ClientConfig{Endpoints: endpoints}})
	r.must(err)
	r.Cleanup(func() { _ = r.store.Close() })
	r.background(r.store.Run)
}

// newEdge makes an edge with its jacks and its ways.
func (r *rig) newEdge(n int, dir string, logger *slog.Logger) (err error) {
	e := &edge{n: n, name: edgeName(n), dir: dir, logger: logger.With("edge", edgeName(n)), jacks: map[uint16]*jack{}}
	if e.uplink, err = r.fabric.Plug(n+1, 0); err != nil {
		return err
	}
	v := vtepOf(n)
	prefix, err := v.Prefix(v.BitLen())
	if err != nil {
		return err
	}
	if err := r.fabric.Route(prefix, n+1); err != nil {
		return err
	}
	up := newJack(r.seed, uint64(n))
	up.SetReceiver(e.uplink.Edge().Send)
	e.uplink.Edge().SetReceiver(up.Send)
	e.jacks[offload.FirstUnderlay] = up
	for s := range outside + 1 {
		e.jacks[uint16(s+1)] = newJack(r.seed, uint64(1000*(n+1)+s))
	}
	names := []string{""}
	if n == sharedEdge {
		names = []string{"a", "b"}
	}
	for _, name := range names {
		c, err := e.newController(name, r.etcd)
		if err != nil {
			return err
		}
		e.controllers = append(e.controllers, c)
	}
	r.edges = append(r.edges, e)
	return nil
}

// powerOn makes the stations and plugs them in.
func (r *rig) powerOn() {
	var stations []*station
	for n := range outside + 1 {
		stations = append(stations, newStation(n))
	}
	r.witness = newWitness(r.fail, stations)
	r.traffic = &traffic{fail: r.fail, witness: r.witness}
	for _, s := range stations {
		m, err := powerOn(s, r.witness)
		r.must(err)
		r.Cleanup(m.close)
		r.traffic.machines = append(r.traffic.machines, m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plugLocked()
}

// plugLocked plugs each station in where it lives.
func (r *rig) plugLocked() {
	for _, m := range r.traffic.machines {
		if at := r.model.at(m.station); at >= 0 {
			m.plug(r.edges[at].jacks[uint16(m.n+1)])
		} else {
			m.plug(nil)
		}
	}
}

// background runs something until the test ends.
func (r *rig) background(do func(context.Context) error) {
	one := run(do)
	r.Cleanup(func() {
		if err := one.stop(); err != nil {
			r.Error(err)
		}
	})
}

// configure has the database have the network of the model.
func (r *rig) configure(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	objects, err := r.model.objects()
	if err != nil {
		return err
	}
	wanted, gone := map[topology.Ref]bool{}, []topology.Ref(nil)
	for _, o := range objects {
		wanted[o.Ref()] = true
	}
	for ref := range r.present {
		if !wanted[ref] {
			gone = append(gone, ref)
		}
	}
	for {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		revision, err := r.store.Change(one, objects, gone)
		cancel()
		if err == nil {
			r.revision, r.present = max(r.revision, revision), wanted
			return nil
		}
		if errors.As(err, new(topology.Errors)) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the network is not stored: %w", err)
		}
		var still []topology.Ref // what was to go may have gone, or not
		for _, ref := range gone {
			if _, _, err := r.store.Get(ctx, ref); !errors.Is(err, state.ErrNotFound) {
				still = append(still, ref)
			}
		}
		gone = still
	}
}

// settled waits until all edges have the network and each other.
func (r *rig) settled() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), bound)
	defer cancel()
	var all []string
	for _, e := range r.edges {
		all = append(all, e.name)
	}
	r.must(r.store.WaitEdges(ctx, all...))
	r.must(r.store.WaitApplied(ctx, r.revision))
	for _, e := range r.edges {
		r.must(e.settled(ctx))
	}
}

// bound is how long everything may take to work again behind the last fault. The machine may be busy with other things.
const bound = 2 * time.Minute
