//go:build unix

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/wire"
	"github.com/weft-sdn/weft/topology"
)

// stallTime is how long a benchmark waits for what is to happen at once.
const stallTime = 20 * time.Second

// hostDepth is how many frames wait for the host: what is lost is to be lost before it.
const hostDepth = 1 << 16

// rig is an edge for measurements: an etcd that syncs to disk, a softswitch behind its P4Runtime server, and an agent between them that can be restarted,
// with connections of its own to both. VMs send raw frames; the host behind the router tells which of them arrived.
type rig struct {
	testing.TB
	cfg     rigConfig
	dir     string // of sockets
	etcd    *state.Embedded
	store   *state.Store // of who configures
	target  target
	program *program
	vms     [bulk.VMs]*wire.End
	agent   *engine.Agent

	revision                    int64          // of the network
	inserted, modified, deleted atomic.Int64   // flow entries that the target acknowledged
	arrived                     atomic.Int64   // frames at the host
	arrival                     []atomic.Int64 // when the frame of each number did, in ns since begin; 0: it did not
	begin                       time.Time
	progress                    chan struct{} // cap 1: something was counted
}

type rigConfig struct {
	objects string // the network: bulk.Network and what it needs
	share   int    // engine.Config's VPortShare
	frames  int    // numbers that frames have

	reachable bool // the target is at a socket
	routes    int  // of routers, besides; a multiple of haRoutes
}

// newRig brings an edge up, with its agent.
func newRig(b testing.TB, cfg rigConfig) *rig {
	b.Helper()
	percent := debug.SetGCPercent(engine.GCPercent)
	b.Cleanup(func() { debug.SetGCPercent(percent) })
	r := &rig{TB: b, cfg: cfg, arrival: make([]atomic.Int64, cfg.frames), begin: time.Now(), progress: make(chan struct{}, 1)}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	var err error
	r.program, err = newProgram(Softswitch)
	must(err)
	place, err := newPlace()
	must(err)
	b.Cleanup(func() { _ = place.remove() })
	r.dir = place.dir
	r.etcd, err = state.StartEmbedded(b.Context(), state.EmbeddedConfig{Dir: filepath.Join(place.dir, "etcd")})
	must(err)
	r.background(r.etcd.Run)
	r.store, err = state.Open(b.Context(), state.Config{Client: state.ClientConfig{Endpoints: r.etcd.Endpoints()}})
	must(err)
	b.Cleanup(func() { _ = r.store.Close() })
	r.background(r.store.Run)
	objects, err := topology.Decode("bench.yaml", []byte(cfg.objects))
	must(err)
	r.revision, err = r.store.Apply(b.Context(), objects)
	must(err)
	r.addRoutes(cfg.routes)
	must(r.plug())
	return r
}

// plug makes the target with its cables.
func (r *rig) plug() (err error) {
	ports := map[uint16]*wire.End{}
	cable := func(port uint16, depth int) *wire.End {
		c := wire.New(wire.Config{Depth: depth})
		r.background(c.Run)
		ports[port] = c.A()
		return c.B()
	}
	for i := range r.vms {
		r.vms[i] = cable(uint16(i+1), wire.DefaultDepth)
	}
	cable(bulk.Sink, hostDepth).SetReceiver(r.receive)
	r.target, err = newInMemory(targetConfig{edge: bulk.Edge, deviceID: 1, ports: ports, dir: r.dir, logger: slog.New(slog.DiscardHandler)}, r.cfg.reachable,
		[]grpc.ServerOption{grpc.UnaryInterceptor(r.observe)})
	if err != nil {
		return err
	}
	r.background(r.target.run)
	return nil
}

// background runs something until the benchmark ends.
func (r *rig) background(run func(context.Context) error) { r.Cleanup(r.run(run)) }

// run runs something until stop is called.
func (r *rig) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			r.Error(err)
		}
	})
}

// start starts an agent, and returns when the target holds what it is to; stop ends it.
func (r *rig) start() (stop func()) {
	r.Helper()
	stop = r.begun()
	select {
	case <-r.agent.Ready():
	case <-time.After(time.Minute):
		r.Fatal("the agent is not ready")
	}
	if err := r.agent.WaitApplied(r.Context()); err != nil {
		r.Fatal(err)
	}
	return stop
}

// begun starts an agent with a store of its own.
func (r *rig) begun() (stop func()) {
	r.Helper()
	store, err := state.Open(r.Context(), state.Config{Client: state.ClientConfig{Endpoints: r.etcd.Endpoints()}, Edges: []string{bulk.Edge}})
	if err != nil {
		r.Fatal(err)
	}
	r.agent, err = engine.NewAgent(engine.Config{
		Store: store, Self: engine.Edge{ID: bulk.Edge, VTEPs: []netip.Addr{vtep(1, 4)}}, Dial: r.target.dial, DeviceID: 1, Profile: r.target.profile(),
		VPortShare: r.cfg.share, IdleTimeout: time.Hour, Election: func(seen p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: seen.Low + 1} },
	})
	if err != nil {
		r.Fatal(err)
	}
	agent := r.agent
	end := r.run(func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return store.Run(ctx) })
		g.Go(func() error { return agent.Run(ctx) })
		return errors.Join(g.Wait(), store.Close())
	})
	r.Cleanup(end)
	return end
}

// observe counts the flow entries that the target acknowledges.
func (r *rig) observe(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	if write, ok := req.(*p4v1.WriteRequest); ok && err == nil {
		var n [4]int64
		for _, u := range write.Updates {
			if slices.Contains(r.program.flowTables[1:], u.GetEntity().GetTableEntry().GetTableId()) { // the first, dst_class, has the scopes
				n[u.Type]++
			}
		}
		r.inserted.Add(n[p4v1.Update_INSERT])
		r.modified.Add(n[p4v1.Update_MODIFY])
		r.deleted.Add(n[p4v1.Update_DELETE])
		r.counted()
	}
	return resp, err
}

func (r *rig) counted() {
	select {
	case r.progress <- struct{}{}:
	default:
	}
}

// receive notes a frame that the host gets.
func (r *rig) receive(frame []byte) {
	at := bulk.PayloadAt(false)
	if len(frame) < at+8 {
		return
	}
	n := binary.BigEndian.Uint64(frame[at:])
	if n < uint64(len(r.arrival)) && r.arrival[n].CompareAndSwap(0, int64(time.Since(r.begin))) {
		r.arrived.Add(1)
		r.counted()
	}
}

// send sends frame n of a flow.
func (r *rig) send(f bulk.Flow, n int, buf []byte) []byte {
	var payload [18]byte
	binary.BigEndian.PutUint64(payload[:], uint64(n))
	buf = f.AppendFrame(buf[:0], false, payload[:])
	r.vms[f.VM].Send(buf)
	return buf
}

// await waits until what is counted is as wanted; false: nothing happened for long.
func (r *rig) await(is func() bool) bool {
	stall := time.NewTimer(stallTime)
	defer stall.Stop()
	for !is() {
		select {
		case <-r.progress:
			stall.Reset(stallTime)
		case <-stall.C:
			return is()
		}
	}
	return true
}

// againAfter is how long a VM waits before it sends a first packet again.
const againAfter = time.Second

// flows begins flows from..to-1, so many under way at once, until all first packets have arrived or the time is over. What does not arrive is sent again, as
// hosts do. It returns how many arrived, how often one was sent again, and how long it took. Frames have the numbers of their flows.
func (r *rig) flows(of func(i int) bulk.Flow, from, to, window int, limit time.Duration) (arrived, again int, took time.Duration) {
	r.Helper()
	begin, before := time.Now(), r.arrived.Load()
	sent := make([]time.Time, to-from)
	var buf []byte
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	next, oldest := from, from
	for oldest < to && time.Since(begin) < limit {
		switch {
		case r.arrival[oldest].Load() != 0 && oldest < next:
			oldest++
		case next < to && next-oldest < window:
			sent[next-from] = time.Now()
			buf = r.send(of(next), next, buf)
			next++
		default:
			select {
			case <-r.progress:
			case <-tick.C:
			}
			for i := oldest; i < next && time.Since(sent[i-from]) > againAfter; i++ {
				if r.arrival[i].Load() == 0 {
					sent[i-from] = time.Now()
					buf = r.send(of(i), i, buf)
					again++
				}
			}
		}
	}
	return int(r.arrived.Load() - before), again, time.Since(begin)
}

// install is flows that must all arrive, and have an entry each. It returns how many there were a second, and the processor time of each, of all that takes
// part: VMs, target, agent, database.
func (r *rig) install(of func(i int) bulk.Flow, from, to, window int) (rate float64, cpu time.Duration) {
	r.Helper()
	begin, used, inserted := time.Now(), bulk.CPUTime(r), r.inserted.Load()
	arrived, again, _ := r.flows(of, from, to, window, time.Minute)
	n := int64(to - from)
	ok := arrived == to-from && r.await(func() bool { return r.inserted.Load()-inserted >= n })
	took, cpu := time.Since(begin), bulk.CPUTime(r)-used
	r.check(ok, "%d flows: %d have an entry, %d arrived", n, r.inserted.Load()-inserted, arrived)
	if again > 0 {
		r.Logf("%d first packets were sent again", again)
	}
	return float64(n) / took.Seconds(), cpu / time.Duration(n)
}

// quiet waits until nothing that was sent is left to be decided, or to arrive.
func (r *rig) quiet() {
	for last := uint64(0); ; {
		now := r.agent.Stats().PacketIns + uint64(r.arrived.Load())
		if now == last {
			return
		}
		last = now
		time.Sleep(2 * time.Second) // more than a busy database takes for one
	}
}

// check fails with what is known if something was not as wanted.
func (r *rig) check(ok bool, format string, args ...any) {
	r.Helper()
	if !ok {
		r.Errorf(format, args...)
		_, packetIns := r.target.lost()
		if r.agent == nil {
			r.Fatalf("packet-ins lost at the target: %d", packetIns)
		}
		r.Fatalf("packet-ins lost at the target: %d; agent %+v", packetIns, r.agent.Stats())
	}
}

// never is what a first packet took that did not arrive.
const never = time.Minute

// paced sends the first packets of flows from..to-1 at a rate, whatever comes of them, and returns how long each took to the host, the shortest first, how many
// did not arrive, and the rate that was kept.
func (r *rig) paced(of func(i int) bulk.Flow, from, to int, rate float64) (took []time.Duration, lost int, kept float64) {
	r.Helper()
	sent := make([]time.Duration, to-from)
	var buf []byte
	begin := time.Now()
	for i := range sent {
		if ahead := time.Duration(float64(i)/rate*1e9) - time.Since(begin); ahead > 0 {
			time.Sleep(ahead)
		}
		sent[i] = time.Since(r.begin)
		buf = r.send(of(from+i), from+i, buf)
	}
	kept = float64(to-from) / time.Since(begin).Seconds()
	r.quiet()
	for i, at := range sent {
		switch arrival := r.arrival[from+i].Load(); arrival {
		case 0:
			lost++
			took = append(took, never)
		default:
			took = append(took, time.Duration(arrival)-at)
		}
	}
	slices.Sort(took)
	return took, lost, kept
}
