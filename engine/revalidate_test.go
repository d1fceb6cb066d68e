package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// guarded is the network with a chain at vm1's port.
const guarded = network + `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: guard, tenant: red}, spec: {rules: [RULES]}}
`

// changing is the core of an edge whose chain changes.
type changing struct {
	t *testing.T
	*core
	w     *fakeWriter
	held  map[p4rt.Key]*p4rt.Entry // by the target
	conf  int64
	acked int64
}

func newChanging(t *testing.T, rules string) *changing {
	c := &changing{t: t, core: detached(t, idleStore(t)), held: map[p4rt.Key]*p4rt.Entry{}}
	c.start(t.Context(), func(conf int64, _ []state.Lack) { c.acked = conf })
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(strings.Replace(strings.Replace(guarded, "RULES", rules, 1), "vm1, tenant: red}, spec: {", "vm1, tenant: red}, spec: {filters: {ingress: guard}, ", 1))); err != nil {
		t.Fatal(err)
	}
	vm1 := vportOf(t, c.core, "vm1")
	c.view.places = map[flow.VPortID]place{vm1: {edge: "e1", at: offload.Attachment{Port: 1}}, vportOf(t, c.core, "vm2"): {edge: "e1", at: offload.Attachment{Port: 2}}}
	lan, _ := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	c.snap, _ = c.snap.With(topology.Changes{FDB: []topology.FDBEntry{{Bridge: topology.DeviceID(lan), MAC: vm1MAC, Port: vm1}}, BridgeNeighbours: []topology.BridgeNeighbour{
		{Bridge: topology.DeviceID(lan), Addr: netip.MustParseAddr("10.0.1.2"), MAC: vm1MAC}, {Bridge: topology.DeviceID(lan), Addr: netip.MustParseAddr("fd00:1::2"), MAC: vm1MAC},
	}})
	c.rebuild(c.layout.all(c.view))
	c.w = served(c.core)
	return c
}

// edit gives the chain other rules, which is a configuration of its own.
func (c *changing) edit(rules string) {
	c.t.Helper()
	objects, err := topology.Decode("rules.yaml", []byte(strings.Split(strings.Replace(guarded, "RULES", rules, 1), "---\n")[6]))
	if err != nil {
		c.t.Fatal(err)
	}
	id, _ := c.snap.ID(topology.Ref{Kind: topology.KindChain, Tenant: "red", Name: "guard"})
	objects[0].Status.ID = id
	next, deps := c.snap.With(topology.Changes{Put: objects})
	c.conf++
	c.world(state.Change{View: &state.View{Topology: next, Conf: c.conf}, Deps: deps})
}

// sent returns what was written since it was asked last, as "insert flow_wild_v4", and has the target take it.
func (c *changing) sent() (ops []string) {
	for _, u := range c.w.sent {
		for _, x := range flatten(u.stages) {
			e := x.Entity.(*p4rt.Entry)
			ops = append(ops, fmt.Sprintf("%v %s", x.Op, strings.TrimPrefix(e.Table.Name, "ingress.")))
			if c.held[e.Key()] = e; x.Op == p4rt.Delete {
				delete(c.held, e.Key())
			}
		}
	}
	if len(c.w.sent) > 0 {
		c.w.answer(c.t, false)
	}
	return ops
}

func (c *changing) want(when string, ops ...string) {
	c.t.Helper()
	if got := c.sent(); fmt.Sprint(got) != fmt.Sprint(ops) {
		c.t.Errorf("%s: %q was written, want %q", when, got, ops)
	}
}

// TestRevalidate (E6): of flows that met a chain which is edited, those to which the same happens keep their entry, untouched; those to which something else happens have
// it modified; those that other bits decide now get another before the old one goes.
func TestRevalidate(t *testing.T) {
	for _, x := range []struct{ family, src, dst string }{{"v4", "10.0.1.2", "10.0.1.3"}, {"v6", "fd00:1::2", "fd00:1::3"}} {
		src, dst := netip.MustParseAddr(x.src), netip.MustParseAddr(x.dst)
		wild := "flow_wild_" + x.family
		c := newChanging(t, "{match: {protocols: [udp], dstPorts: [2]}, action: accept}")
		fromVM1(t, c.core, vm2MAC, src, dst, 1000)
		if got := c.sent(); len(got) == 0 || got[0] != "insert "+wild {
			t.Fatalf("%s: %q was written for a flow", x.family, got)
		}
		c.edit("{match: {protocols: [udp], dstPorts: [2]}, action: accept}, {action: drop}")
		c.want("a rule behind")
		if c.acked != 1 || c.a.counts.kept.Load() != 1 {
			t.Errorf("acknowledged %d, %d kept", c.acked, c.a.counts.kept.Load())
		}
		c.edit("{match: {protocols: [udp], dstPorts: [2]}, action: drop}")
		c.want("another action", "modify "+wild)
		c.edit("{match: {protocols: [udp], dstPorts: [2]}, action: accept}")
		c.want("and back", "modify "+wild)
		c.edit("{match: {protocols: [udp], dstPorts: [2], srcPorts: [1000]}, action: accept}, {action: drop}")
		c.want("another field", "insert "+wild, "delete "+wild)
		c.edit("{match: {protocols: [tcp]}, action: drop}, {match: {states: [new]}, action: accept}")
		if got := c.sent(); c.flows.len() != 0 || len(got) == 0 || got[len(got)-1] != "delete "+wild {
			t.Errorf("a rule that needs the connection: %d flows, %q", c.flows.len(), got)
		}
		if c.acked != c.conf || c.a.Stats().Flows != 0 {
			t.Errorf("acknowledged %d of %d, %d flows", c.acked, c.conf, c.a.Stats().Flows)
		}
	}
}

// TestRevalidateAsFresh: after each of many edits the flows do what packets that are decided now would have them do, by the same patterns or narrower ones.
func TestRevalidateAsFresh(t *testing.T) {
	c := newChanging(t, "{action: accept}")
	rules := []string{
		"{match: {protocols: [udp]}, action: accept}, {action: drop}", "{match: {dst: [10.0.1.0/24, 'fd00:1::/64']}, action: accept}, {action: drop}",
		"{match: {protocols: [udp], dst: [10.0.1.3, 'fd00:1::3'], srcPorts: [1000-1003]}, action: drop}", "{match: {protocols: [udp], srcPorts: [1002]}, action: reject}", "{action: accept}",
		"{match: {protocols: [udp], src: [10.0.0.0/8, 'fd00::/16'], srcPorts: [1000-1001]}, action: accept}, {match: {protocols: [udp], srcPorts: [1004-1007]}, action: drop}",
	}
	for i := range 60 {
		for port := range uint16(8) {
			for _, x := range [][2]string{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
				fromVM1(t, c.core, vm2MAC, netip.MustParseAddr(x[0]), netip.MustParseAddr(x[1]), 1000+port)
			}
		}
		c.sent()
		c.edit(rules[(i*7+i/6)%len(rules)])
		c.sent()
		for f := range c.flows.all() {
			is := c.placer.Megaflow(f.placed)
			for port := range uint16(8) { // all that meet the entry, whatever was read of them
				other := *f.placed
				if other.Key.SrcPort = 1000 + port; other.Key.And(f.placed.Matched()) != f.placed.Key.And(f.placed.Matched()) {
					continue
				}
				if m, ok := c.redecide(other.Key, other.Prio, nil); !ok || m.Act != is.Act || m.Dest != is.Dest || m.Rewrite != is.Rewrite || m.Guards != is.Guards {
					t.Fatalf("edit %d: a flow is left as %+v, a packet now gives %v, %+v", i, is, ok, m)
				}
			}
			want := c.placer.Entry(f.placed)
			if e := c.held[want.Key()]; e == nil || !e.SameEffect(want) {
				t.Fatalf("edit %d: the target has %v, want %v", i, e, want)
			}
		}
	}
	if n := c.a.counts.changed.Load(); n == 0 || c.a.counts.removed.Load() == 0 {
		t.Errorf("%d flows changed, %d removed: too few to tell", n, c.a.counts.removed.Load())
	}
}

// TestRevalidateInTurns: a change that concerns more flows than are decided again at once is acknowledged when all are, packets have their turn meanwhile, and the age of what
// is still to do is told.
func TestRevalidateInTurns(t *testing.T) {
	c := newChanging(t, "{match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}")
	resize(t, c.core, map[string]int64{"ingress.flow_wild_v4": 1})
	const flows = 2*recheckAtOnce + 100
	src, dst := netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.3")
	for port := range uint16(flows) {
		fromVM1(t, c.core, vm2MAC, src, dst, 1+port)
	}
	c.sent()
	if n := c.flows.len(); n < flows-1 {
		t.Fatalf("%d flows", n)
	}
	c.edit("{match: {protocols: [udp], srcPorts: [1-65535]}, action: drop}")
	var turns int
	for len(c.stale.queue) > 0 {
		c.sent()
		if c.acked == c.conf || c.a.Stats().StaleMillis > 60_000 || c.a.counts.staleSince.Load() < 0 {
			t.Fatalf("acknowledged %d with %d flows to go, stale for %d ms", c.acked, len(c.stale.queue), c.a.Stats().StaleMillis)
		}
		turns++
		c.a.mail.deliver()
	}
	if got := c.sent(); turns != 2 || c.acked != c.conf || c.a.Stats().StaleMillis != 0 {
		t.Errorf("%d turns, acknowledged %d of %d, last %d updates", turns, c.acked, c.conf, len(got))
	}
}

// TestRevalidateByPort: an edit of a rule has those flows decided again of which packets may meet it, as it was or as it is, and no others.
func TestRevalidateByPort(t *testing.T) {
	rule := func(port int, action string) string {
		return fmt.Sprintf("{match: {protocols: [udp], srcPorts: [%d]}, action: %s}", port, action)
	}
	chain := func(refused int) string {
		var rules []string
		for port := range 8 {
			action := "accept"
			if port == refused {
				action = "drop"
			}
			rules = append(rules, rule(1000+port, action))
		}
		return strings.Join(rules, ", ")
	}
	c := newChanging(t, chain(-1))
	for _, x := range [][2]string{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
		for port := range uint16(8) {
			fromVM1(t, c.core, vm2MAC, netip.MustParseAddr(x[0]), netip.MustParseAddr(x[1]), 1000+port)
		}
	}
	c.sent()
	c.edit(chain(3))
	c.want("one port is refused", "modify flow_wild_v4", "modify flow_wild_v6")
	c.edit(chain(-1))
	c.want("and is not any more", "modify flow_wild_v4", "modify flow_wild_v6")
	c.edit(chain(-1) + ", " + rule(2000, "drop"))
	c.want("a rule for a port of nobody")
	if n := c.a.counts.kept.Load(); n != 0 || c.acked != c.conf {
		t.Errorf("%d flows were decided again for nothing; acknowledged %d of %d", n, c.acked, c.conf)
	}
}

// TestChangedToDrop: what an entry forwarded before it was changed to drop is not counted as dropped; what it drops from then on is.
func TestChangedToDrop(t *testing.T) {
	c := newChanging(t, "{match: {protocols: [udp], dstPorts: [2]}, action: accept}")
	fromVM1(t, c.core, vm2MAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.3"), 1000)
	c.edit("{match: {protocols: [udp], dstPorts: [2]}, action: drop}")
	for f := range c.flows.all() {
		c.count(f.placed.Hash, amount{Packets: 1000}, c.now())
		c.count(f.placed.Hash, amount{Packets: 1007}, c.now())
	}
	sum := uint64(0)
	for _, n := range c.drops.sums {
		sum += n
	}
	if sum != 7 {
		t.Errorf("%v, want 7 dropped", c.drops.sums)
	}
}
