//go:build unix

package lab

import (
	"context"
	"errors"

	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/proxy"
)

// haAgent is one of several agents of a rig's edge, with ways of its own to the database and to the target.
type haAgent struct {
	name         string
	rig          *rig
	etcd, target *proxy.Proxy
	store        *state.Store
	agent        *engine.Agent
	acts         atomic.Bool
	cancel       context.CancelFunc
	ended        chan struct{}
	err          error // valid when ended is closed
}

// another starts one more agent of the edge.
func (r *rig) another(name string) *haAgent {
	r.Helper()
	network, address, _ := strings.Cut(r.etcd.Endpoints()[0], "://")
	if network != "unix" {
		network = "tcp"
	}
	h := &haAgent{name: name, rig: r, etcd: newProxy(r, network, address), target: newProxy(r, "unix", strings.TrimPrefix(r.target.address(), "unix:")), ended: make(chan struct{})}
	var err error
	logger := slog.New(slog.NewTextHandler(r.Output(), nil)).With("agent", name)
	h.store, err = state.Open(r.Context(), state.Config{Client: state.ClientConfig{Endpoints: []string{"http://" + h.etcd.Addr()}}, Edges: []string{bulk.Edge}, Log: logger})
	if err != nil {
		r.Fatal(err)
	}
	h.agent, err = engine.NewAgent(engine.Config{
		Store: h.store, Self: engine.Edge{ID: bulk.Edge, VTEPs: []netip.Addr{vtep(1, 4)}}, DeviceID: 1, Profile: r.target.profile(), VPortShare: r.cfg.share, IdleTimeout: time.Hour, Timeouts: conntrack.Timeouts{Single: time.Hour},
		Dial:   p4rt.Dialer("passthrough:///"+h.target.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials())),
		Logger: logger, Agent: name, OnRole: h.acts.Store,
	})
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() {
		defer close(h.ended)
		storeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		var g errgroup.Group
		g.Go(func() error { return h.store.Run(storeCtx) })
		g.Go(func() error { defer stop(); return h.agent.Run(ctx) }) // takes leave before its connection ends, as a process does
		h.err = errors.Join(g.Wait(), h.store.Close())
	}()
	r.Cleanup(h.end)
	return h
}

// end ends the agent as SIGTERM does, waits, and forgets what it knew of the network.
func (h *haAgent) end() {
	h.cancel()
	<-h.ended
	h.store, h.agent = nil, nil
}

// kill takes an agent away from everybody at once, as SIGKILL does: its connections end, and it says nothing more.
func (h *haAgent) kill() {
	h.target.SetCut(true)
	h.etcd.SetCut(true)
	h.cancel()
}

// until waits for something to be so.
func (h *haAgent) until(what string, is func() bool) {
	h.rig.Helper()
	h.rig.until(h.name+": "+what, is)
}

// haPatience is how long something may take that is to happen: a million routes are read on a busy machine.
const haPatience = 5 * time.Minute

func (r *rig) until(what string, is func() bool) {
	r.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(haPatience)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			r.Fatalf("%s: not within %v", what, haPatience)
		}
	}
}

// serves waits until the agent acts, and the target is as the network wants it.
func (h *haAgent) serves() {
	h.rig.Helper()
	h.until("acts", h.acts.Load)
	select {
	case <-h.agent.Ready():
	case <-time.After(time.Minute):
		h.rig.Fatalf("%s: is not ready within a minute", h.name)
	}
	if err := h.agent.WaitApplied(h.rig.Context()); err != nil {
		h.rig.Fatal(err)
	}
}

// standsBy waits until the agent is one of the edge, and connected to the target.
func (h *haAgent) standsBy() {
	h.rig.Helper()
	h.until("stands by", func() bool {
		a := h.store.View().Agents[bulk.Edge]
		_, alive := a.Alive[h.name]
		return alive && a.IsLed() && a.Active != h.name && h.agent.StandsBy()
	})
}

// running is a flow that goes on at a thousand frames a second, of which each has a number.
type running struct {
	r       *rig
	from    int
	sent    int
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// keepBurst is the most that a flow that goes on sends at once.
const keepBurst = 16

// keepOn sends frames of a flow with numbers from from on.
func (r *rig) keepOn(f bulk.Flow, from int) *running {
	ctx, cancel := context.WithCancel(r.Context())
	x := &running{r: r, from: from, stop: cancel}
	x.stopped.Go(func() {
		var buf []byte
		begin := time.Now()
		for ctx.Err() == nil {
			due := min(int(time.Since(begin)/time.Millisecond), x.sent+keepBurst) // who was held up does not overrun the cable
			for ; x.sent < due && from+x.sent < len(r.arrival); x.sent++ {
				buf = r.send(f, from+x.sent, buf)
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
	return x
}

// lost ends the flow and returns how many frames did not arrive.
func (x *running) lost() (lost int) {
	x.stop()
	x.stopped.Wait()
	x.r.await(func() bool { return x.r.arrival[x.from+x.sent-1].Load() != 0 })
	for i := range x.sent {
		if x.r.arrival[x.from+i].Load() == 0 {
			lost++
		}
	}
	return lost
}

// fresh begins a new flow each 5 ms, with numbers and flows from from on, until the first packet of one arrives; it returns how long after since one did, and how many were begun.
func (r *rig) fresh(from int, since time.Time) (took time.Duration, n int) {
	r.Helper()
	var buf []byte
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); n++ {
		buf = r.send(bulk.Odd(from+n), from+n, buf)
		for next := time.Now().Add(5 * time.Millisecond); time.Now().Before(next); time.Sleep(time.Millisecond) {
			for i := range n + 1 {
				if r.arrival[from+i].Load() != 0 {
					return time.Since(since), n + 1
				}
			}
		}
	}
	r.Fatal("no first packet of a new flow arrived within a minute")
	return 0, 0
}

// haFlows are those of a rig for several agents: connections, translated, then new ones, then the frames of one that goes on.
const (
	haFlows   = 64
	haFresh   = 20_000
	haRunning = 60_000
)

func newHA(t testing.TB, more string) *rig {
	return newRig(t, rigConfig{
		objects: bulk.Network(bulk.OddPorts(), "filters: {egress: hide}"+more) + hide, share: 100, frames: haFlows + haFresh + haRunning, reachable: true,
	})
}

// TestStandbyTakesOver: the agent that acts for an edge is killed, or ends. What goes by the target goes on without a gap, connections and translations stay, new ones are begun by
// the standby; the next agent takes over from that in the same way.
func TestStandbyTakesOver(t *testing.T) {
	r := newHA(t, "")
	a := r.another("a")
	a.serves()
	b := r.another("b")
	b.standsBy()
	if a.store.View().Agents[bulk.Edge].Active != "a" {
		t.Fatalf("agents: %+v", a.store.View().Agents)
	}
	r.agent = a.agent
	r.install(bulk.Odd, 0, haFlows, 16)
	on := r.keepOn(bulk.Odd(0), haFlows+haFresh)
	r.until("frames arrive", func() bool { return r.arrival[haFlows+haFresh+100].Load() != 0 })
	owners := r.owners()
	modified, deleted := r.modified.Load(), r.deleted.Load()
	next := haFlows
	for _, step := range []struct {
		how  string
		act  func()
		from *haAgent
	}{{"is killed", a.kill, a}, {"ends", b.cancel, b}} {
		to := b
		if step.from == b {
			to = r.another("c")
			to.standsBy()
		}
		begin := time.Now()
		step.act()
		took, n := r.fresh(next, begin)
		next += n
		t.Logf("%s %s: the first packet of a new flow arrived after %v (its connection is the %d. that was begun)", step.from.name, step.how, took, n)
		to.serves()
		r.agent = to.agent
		to.until("has the connections", func() bool { return to.agent.Stats().Conns >= haFlows })
	}
	if lost := on.lost(); lost > 0 {
		t.Errorf("%d of %d frames of a flow that the target has were lost", lost, on.sent)
	}
	if m, d := r.modified.Load()-modified, r.deleted.Load()-deleted; m+d > 0 {
		t.Errorf("of the entries of connections %d were modified, and %d deleted", m, d)
	}
	after := r.owners()
	for key, owner := range owners {
		if after[key] != owner || owner == 0 {
			t.Errorf("connection %s: owner %x, before %x", key, after[key], owner)
		}
	}
	if len(owners) != haFlows {
		t.Errorf("%d connections, want %d", len(owners), haFlows)
	}
	if info := r.store.View().Agents[bulk.Edge]; info.Active != "c" || len(info.Alive) > 2 {
		t.Errorf("agents in the end: %+v", info)
	}
}

// owners has who owns the connections that are stored.
func (r *rig) owners() map[string]int64 {
	r.Helper()
	all := map[string]int64{}
	if err := r.store.Connections(r.Context(), func(c state.StoredConn) error {
		all[c.Forward.String()] = c.ForwardOwner
		return nil
	}); err != nil {
		r.Fatal(err)
	}
	return all
}

// TestSplitBrain: the agent that acts is cut off from the database, and not from the target: it goes on until the standby has begun its term, and after that neither the target nor the
// database takes anything from it.
func TestSplitBrain(t *testing.T) {
	r := newHA(t, "")
	a := r.another("a")
	a.serves()
	b := r.another("b")
	b.standsBy()
	r.agent = a.agent
	r.install(bulk.Odd, 0, haFlows, 16)
	on := r.keepOn(bulk.Odd(0), haFlows+haFresh)
	fence := state.Fence{Edge: bulk.Edge, Term: a.store.View().Agents[bulk.Edge].Term}
	begin := time.Now()
	a.etcd.SetCut(true)
	b.serves()
	t.Logf("the standby has the edge %v after the database was cut off from the one that acted", time.Since(begin))
	<-a.ended
	if !errors.Is(a.err, state.ErrEdgeTaken) {
		t.Errorf("the one that was deposed ended with %v", a.err)
	}
	if err := r.store.SaveFlows(state.WithFence(t.Context(), fence), []state.FlowBlock{{VPort: 1, Block: 99, Value: []byte("late")}}); !errors.Is(err, state.ErrEdgeTaken) {
		t.Errorf("a write of the earlier term: %v", err)
	}
	took, _ := r.fresh(haFlows, time.Now())
	t.Logf("a new flow takes %v then", took)
	if lost := on.lost(); lost > 0 {
		t.Errorf("%d of %d frames were lost", lost, on.sent)
	}
}

// TestTargetUnreachable: the agent that acts does not reach the target any more, and the standby does.
func TestTargetUnreachable(t *testing.T) {
	for _, way := range []struct {
		name   string
		strike func(*proxy.Proxy, bool)
	}{{"cut", (*proxy.Proxy).SetCut}, {"silent", (*proxy.Proxy).SetSilent}} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			if way.name == "silent" && testing.Short() {
				t.Skip("takes 20 s")
			}
			r := newHA(t, "")
			a := r.another("a")
			a.serves()
			b := r.another("b")
			b.standsBy()
			begin := time.Now()
			way.strike(a.target, true)
			b.serves()
			t.Logf("the standby has the edge after %v", time.Since(begin))
			<-a.ended
			if !errors.Is(a.err, state.ErrEdgeTaken) {
				t.Errorf("the one that was deposed ended with %v", a.err)
			}
			c := r.another("c")
			c.standsBy()
			b.end()
			c.serves()
		})
	}
}

// TestBothAgentsDie: what the target and the database have outlives all agents of an edge.
func TestBothAgentsDie(t *testing.T) {
	r := newHA(t, "")
	a := r.another("a")
	a.serves()
	b := r.another("b")
	b.standsBy()
	r.agent = a.agent
	r.install(bulk.Odd, 0, haFlows, 16)
	on := r.keepOn(bulk.Odd(0), haFlows+haFresh)
	b.kill()
	a.kill()
	<-a.ended
	<-b.ended
	c := r.another("c")
	c.serves()
	r.agent = c.agent
	c.until("has the connections", func() bool { return c.agent.Stats().Conns >= haFlows })
	if took, _ := r.fresh(haFlows, time.Now()); took > time.Minute {
		t.Error(took)
	}
	if lost := on.lost(); lost > 0 {
		t.Errorf("%d of %d frames were lost", lost, on.sent)
	}
	if s := c.agent.Stats(); s.Adopted < haFlows {
		t.Errorf("flows taken over: %d, want %d at least", s.Adopted, haFlows)
	}
}

// TestTargetLosesAll: a target that loses all its agents at once, as when it restarts, stays with the one that acts, which is there again as soon as the other.
func TestTargetLosesAll(t *testing.T) {
	r := newHA(t, "")
	a := r.another("a")
	a.serves()
	b := r.another("b")
	b.standsBy()
	term := r.store.View().Agents[bulk.Edge].Term
	b.target.SetCut(true)
	b.until("is away", func() bool { return !b.agent.StandsBy() })
	lost := a.agent.Ready()
	a.target.SetCut(true)
	a.until("is away", func() bool { return a.agent.Ready() != lost })
	b.target.SetCut(false)
	b.until("is back first", b.agent.StandsBy)
	a.target.SetCut(false)
	a.serves()
	if now := r.store.View().Agents[bulk.Edge]; now.Term != term || now.Active != "a" {
		t.Errorf("another term has begun: %+v", now)
	}
}

// TestDatabaseLosesAgents: the database has lost both agents of an edge, as it has when it answers again after longer than they are known for. Who acted goes on: another's term would cost
// what is not stored yet. An agent that has gone besides is replaced all the same.
func TestDatabaseLosesAgents(t *testing.T) {
	r := newHA(t, "")
	a := r.another("a")
	a.serves()
	b := r.another("b")
	b.standsBy()
	before := b.store.View().Agents[bulk.Edge]
	client, err := clientv3.New(clientv3.Config{Endpoints: r.etcd.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	key := "/weft/edge/" + bulk.Edge + "/agent/"
	gone, err := client.Delete(t.Context(), key, clientv3.WithPrefix())
	if err != nil || gone.Deleted != 2 {
		t.Fatalf("%v, %v", gone, err)
	}
	r.until("the standby is there again before the other", func() bool {
		if _, err := client.Delete(t.Context(), key+"a"); err != nil {
			t.Fatal(err)
		}
		kv, err := client.Get(t.Context(), key+"b")
		return err == nil && kv.Count == 1 && kv.Kvs[0].CreateRevision > gone.Header.Revision
	})
	r.until("the other is there again, or replaced", func() bool {
		now := b.store.View().Agents[bulk.Edge]
		return now.Term != before.Term || now.IsLed() && len(now.Alive) == 2
	})
	if after := b.store.View().Agents[bulk.Edge]; after.Term != before.Term || after.Active != "a" {
		t.Errorf("agents: %+v, before %+v", after, before)
	}
	a.kill()
	b.serves()
}
