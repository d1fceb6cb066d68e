package engine

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// network is a bridge with a router behind it. vm1 lives at e1, vm2 at e2.
const network = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: red}, spec: {device: router/gw, peer: lan-gw, mac: "02:00:00:00:01:01", addresses: [10.0.1.1/16, "fd00:1::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: red}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.1.2/16, "fd00:1::2/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.1.3/16, "fd00:1::3/64"]}}
`

var vm1MAC, vm2MAC, gwMAC = packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2}, packet.MAC{2, 0, 0, 0, 1, 1}

// detached returns the core of an agent of edge e1 that has no target: what it wants is noted and goes nowhere.
func detached(t testing.TB, store *state.Store) *core {
	t.Helper()
	return detachedFrom(t, store, func(ctx context.Context) (p4rt.Conn, error) { return nil, context.Cause(ctx) })
}

// detachedFrom is detached with a target to be connected to.
func detachedFrom(t testing.TB, store *state.Store, dial func(context.Context) (p4rt.Conn, error)) *core {
	t.Helper()
	base := baseView()
	a, err := NewAgent(Config{
		Store: store, Self: base.self, Links: base.links, Dial: dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := a.core
	if c.snap, err = topology.Load("network.yaml", []byte(network)); err != nil {
		t.Fatal(err)
	}
	c.view.places[vportOf(t, c, "vm1")] = place{edge: "e1", at: offload.Attachment{Port: 1}}
	c.view.places[vportOf(t, c, "vm2")] = place{edge: "e2"}
	c.rebuild(c.layout.all(c.view))
	return c
}

func vportOf(t testing.TB, c *core, name string) flow.VPortID {
	t.Helper()
	id, ok := c.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: name})
	if !ok {
		t.Fatalf("no vport %s", name)
	}
	return flow.VPortID(id)
}

// fromVM1 has the core decide a UDP packet that vm1 sends.
func fromVM1(t *testing.T, c *core, to packet.MAC, src, dst netip.Addr, port uint16) {
	t.Helper()
	var f packet.Frame
	frame := packet.AppendUDP(nil, &packet.UDP{SrcMAC: vm1MAC, DstMAC: to, Src: src, Dst: dst, SrcPort: port, DstPort: 2, TTL: 9})
	if err := packet.Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	id := vportOf(t, c, "vm1")
	local, ok := c.locals.vports.Lookup(id)
	if !ok {
		t.Fatal("vm1 has no local number")
	}
	c.upcall(&f, id, local, flow.ReasonMissFlow)
}

// act is what the one flow that is installed does; false: there is none.
func act(t *testing.T, c *core) (offload.Act, bool) {
	t.Helper()
	if c.flows.len() > 1 {
		t.Fatalf("%d flows, want one at most", c.flows.len())
	}
	for f := range c.flows.all() {
		return f.placed.Act, true
	}
	return 0, false
}

// TestWayEndsLoss: a flow that was decided while no way led to the edge of its destination is decided anew when one does: the edge appears, or its
// gateway answers (E14).
func TestWayEndsLoss(t *testing.T) {
	for _, tt := range []struct{ src, dst string }{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
		src, dst := netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
		c := detached(t, idleStore(t))
		want := func(what string, wanted offload.Act) {
			t.Helper()
			fromVM1(t, c, vm2MAC, src, dst, 1)
			if got, ok := act(t, c); !ok || got != wanted {
				t.Errorf("%s, %s: flow %v, act %v, want %v", tt.src, what, ok, got, wanted)
			}
		}
		want("edge unknown", offload.Drop)
		c.gateway(gateway4, packet.MAC{2, 9})
		want("edge unknown, gateway known", offload.Drop)
		view := &state.View{Topology: c.snap, Known: state.EdgeMapOf(map[string]state.EdgeInfo{"e2": {ID: "e2", VTEPs: vtep(2)[:1]}})}
		c.world(state.Change{View: view, Edges: true, Moved: map[string]struct{}{"e2": {}}})
		want("edge known", offload.Forward)

		c = detached(t, idleStore(t))
		c.world(state.Change{View: view, Edges: true, Moved: map[string]struct{}{"e2": {}}})
		want("gateway unknown", offload.Drop)
		c.gateway(gateway4, packet.MAC{2, 9})
		want("gateway known", offload.Forward)
	}
}

// TestNotStation: what the database will never take is given up at once, as any refusal is: it does not fill the room of what can be learnt.
func TestNotStation(t *testing.T) {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c.start(ctx, func(int64, []state.Lack) {})
	mapped := sim.Effect{Kind: sim.LearnBridgeNeighbour, Device: 1, Addr: netip.MustParseAddr("::ffff:10.0.0.1"), MAC: vm1MAC}
	if !c.effects.begin(mapped, 0) {
		t.Fatal("it was not begun")
	}
	c.effects.wait()
	if ctx.Err() != nil {
		t.Fatal("it was tried again and again")
	}
	c.a.mail.deliver()
	if _, refused := c.effects.refused[mapped]; !refused || len(c.effects.busy) != 0 {
		t.Errorf("refused %v, %d under way", refused, len(c.effects.busy))
	}
}

// idleStore opens a store whose database serves nobody: nothing runs its writer, so that what is begun stays under way.
func idleStore(t testing.TB) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestAsksForWhatItWaitsFor (R4): a vport that scans a subnet has no more neighbours asked for than it may have packets waiting; each question ends,
// and with the database away the ends do not pile up beyond the bound of what is under way.
func TestAsksForWhatItWaitsFor(t *testing.T) {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.effects.wait() })
	c.start(ctx, func(int64, []state.Lack) {})
	src := netip.MustParseAddr("10.0.1.2")
	for i := range 10 * maxHeldFrom {
		fromVM1(t, c, gwMAC, src, netip.AddrFrom4([4]byte{10, 0, 100 + byte(i>>8), byte(i)}), 1)
	}
	asked := func(asked bool) (n int) {
		for e := range c.effects.busy {
			if e.Kind == sim.AskNeighbour && e.Asked == asked {
				n++
			}
		}
		return n
	}
	if n := asked(false); n > maxHeldFrom || n == 0 {
		t.Errorf("%d neighbours are asked for, want 1 to %d", n, maxHeldFrom)
	}
	for i := range askAttempts + 1 {
		c.retry(c.now() + time.Duration(1+i)*time.Hour)
	}
	if n := len(c.holds.wanted); n != 0 || c.holds.n != 0 || len(c.holds.from) != 0 {
		t.Errorf("%d neighbours are wanted, %d packets held", n, c.holds.n)
	}
	if n := asked(true); n == 0 || n > maxHeldFrom {
		t.Errorf("%d questions are being taken back, want 1 to %d", n, maxHeldFrom)
	}
}

// TestEffectsAreShared: a vport that has much to learn, or much of it refused, leaves room for what the others have.
func TestEffectsAreShared(t *testing.T) {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.effects.wait() })
	c.start(ctx, func(int64, []state.Lack) {})
	learn := func(of flow.VPortID, i int) sim.Effect {
		return sim.Effect{Kind: sim.LearnBridgeNeighbour, Device: 1, Addr: netip.AddrFrom4([4]byte{10, byte(of), byte(i >> 8), byte(i)}), MAC: vm1MAC}
	}
	begun := 0
	for i := range maxEffects {
		if c.effects.begin(learn(1, i), 1) {
			begun++
		}
	}
	if begun != maxEffectsOf || !c.effects.begin(learn(2, 0), 2) {
		t.Errorf("%d of one vport are under way, want %d and one of another", begun, maxEffectsOf)
	}
	for i := range maxRemembers {
		c.effects.remember(learn(1, i), 1)
	}
	c.effects.remember(learn(2, 0), 2)
	if n := len(c.effects.refused); n != rememberedOf+1 {
		t.Errorf("%d refusals are remembered, want %d and one of another vport", n, rememberedOf)
	}
	c.effects.sweep(c.now() + refusedFor)
	for f := range c.effects.busy {
		c.effects.end(f)
	}
	if len(c.effects.of)+len(c.effects.tenants) != 0 {
		t.Errorf("shares %v and %v are left of nothing", c.effects.of, c.effects.tenants)
	}
	for of := range flow.VPortID(maxEffects / maxEffectsOf) { // ports of one tenant: the snapshot has none of them
		for i := range maxEffectsOf {
			c.effects.begin(learn(of+10, i), of+10)
		}
	}
	if n := len(c.effects.busy); n != maxEffects/2 {
		t.Errorf("%d of one tenant are under way, want half of %d", n, maxEffects)
	}
}

// TestHeldTag: a frame that waited has our tag off. The one that it still has is its sender's: it is decided like any other type that is no IP packet, and nothing is
// learnt from what is behind it.
func TestHeldTag(t *testing.T) {
	for _, tt := range []struct{ src, dst string }{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
		for _, cut := range []int{0, 30} {
			plain := packet.AppendUDP(nil, &packet.UDP{
				SrcMAC: vm1MAC, DstMAC: vm2MAC, Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), SrcPort: 1, DstPort: 2, TTL: 9,
			})
			frame := slices.Concat(plain[:12], []byte{0x81, 0, 0, 7}, plain[12:len(plain)-cut])
			c := detached(t, idleStore(t))
			id := vportOf(t, c, "vm1")
			local, _ := c.locals.vports.Lookup(id)
			c.view.places[vportOf(t, c, "vm2")] = place{edge: "e1", at: offload.Attachment{Port: 2}}
			c.again(&heldPacket{data: frame, ingress: id, local: local}, sim.Lost{})
			if got, ok := act(t, c); !ok || got != offload.Forward {
				t.Errorf("%s, %d bytes short: flow %v, act %v", tt.src, cut, ok, got)
			}
			if n := c.a.counts.heldDrops.Load(); n != 0 {
				t.Errorf("%s, %d bytes short: %d dropped", tt.src, cut, n)
			}
			for _, e := range c.res.Effects {
				if e.Kind == sim.LearnBridgeNeighbour {
					t.Errorf("%s: learnt %v from what is behind the sender's tag", tt.src, e.Addr)
				}
			}
		}
	}
}
