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
	"github.com/weft-sdn/weft/topology"
)

// twoUplinks is a detached core of an edge with uplinks 256 and 257, both of whose routers are known, and edge e2. Its clock is the second result's.
func twoUplinks(t *testing.T) (*core, *time.Duration) {
	t.Helper()
	base := baseView()
	second := Uplink{Port: 257, MAC: packet.MAC{2, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd00:2::2")},
		Gateway: []netip.Addr{netip.MustParseAddr("10.0.2.1"), netip.MustParseAddr("fd00:2::1")}}
	a, err := NewAgent(Config{Store: idleStore(t), Self: base.self, Links: append(base.links, second),
		Dial: func(ctx context.Context) (p4rt.Conn, error) { return nil, context.Cause(ctx) }})
	if err != nil {
		t.Fatal(err)
	}
	c := a.core
	now := new(time.Duration)
	c.clock = func() time.Duration { return *now }
	if c.snap, err = topology.Load("network.yaml", []byte(network)); err != nil {
		t.Fatal(err)
	}
	vm2 := vportOf(t, c, "vm2")
	c.view.places[vm2] = place{edge: "e2"}
	c.view.edges["e2"] = Edge{ID: "e2", VTEPs: vtep(2)}
	c.rebuild(c.layout.all(c.view))
	for _, u := range a.cfg.Links {
		for _, g := range u.Gateway {
			c.gateway(g, packet.MAC{2, 9})
		}
	}
	return c, now
}

// uplinksTo are the uplinks that lead to an edge, each of them once.
func uplinksTo(c *core, edge string) (ports []uint16) {
	if p := c.layout.parts[peerSubject(edge)]; p != nil {
		for _, to := range p.paths {
			ports = append(ports, to.Port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// TestLinkDown: an uplink that is down is no way to other edges, for either family; with none left what is there is lost; one that is up is a way again.
func TestLinkDown(t *testing.T) {
	c, _ := twoUplinks(t)
	vm2 := vportOf(t, c, "vm2")
	for _, x := range []struct {
		down, want []uint16
	}{
		{nil, []uint16{256, 257}},
		{[]uint16{257}, []uint16{256}},
		{[]uint16{256}, []uint16{257}},
		{[]uint16{256, 257}, nil},
		{[]uint16{1}, []uint16{256, 257}}, // no uplink
		{nil, []uint16{256, 257}},
	} {
		c.a.LinksDown(x.down)
		<-c.links.wake
		c.links.follow()
		if got := uplinksTo(c, "e2"); !slices.Equal(got, x.want) {
			t.Errorf("with %d down the ways are by %d, want %d", x.down, got, x.want)
		}
		if lost := c.view.isLost(vm2); lost != (len(x.want) == 0) {
			t.Errorf("with %d down: lost is %t", x.down, lost)
		}
		for _, r := range c.view.routes(&Edge{ID: "e2", VTEPs: vtep(2)}) {
			if !slices.Contains(x.want, r.link.Port) {
				t.Errorf("with %d down a route goes by %d", x.down, r.link.Port)
			}
		}
		if _, astray := c.astray["e2"]; astray != (len(x.want) == 0) {
			t.Errorf("with %d down: astray is %t", x.down, astray)
		}
	}
	c.view.self.Multicast = netip.MustParsePrefix("239.192.0.0/14")
	c.a.LinksDown([]uint16{256})
	c.links.follow()
	for d := range flow.Dest(8) {
		if r, ok := c.view.set(d); !ok || r.link.Port != 257 {
			t.Errorf("set %d goes by %+v, %t", d, r, ok)
		}
	}
}

// TestLinkWrong: a router that answers by a link that was told to be down is right: but for what was under way. What is told next counts again.
func TestLinkWrong(t *testing.T) {
	c, now := twoUplinks(t)
	tell := func(down ...uint16) {
		c.a.LinksDown(down)
		<-c.links.wake
		c.links.follow()
	}
	ways := func(what string, want ...uint16) {
		t.Helper()
		if got := uplinksTo(c, "e2"); !slices.Equal(got, want) {
			t.Errorf("%s: the ways are by %d, want %d", what, got, want)
		}
	}
	tell(257)
	*now += lateAnswers / 2
	c.links.heard(257)
	ways("an answer that was under way", 256)
	*now += lateAnswers
	c.links.heard(256)
	ways("the other's router", 256)
	c.links.heard(257)
	ways("its router answers", 256, 257)
	tell(257, 256)
	ways("the other one is down, too", 257)
	tell(256)
	tell(256, 257)
	ways("it is told to be down anew", []uint16{}...)
	if n := c.a.counts.linksWrong.Load(); n != 1 {
		t.Errorf("%d contradictions, want 1", n)
	}
}

// TestDownIsAsked: the routers of links that are told to be down are asked each time, and do not count as silent.
func TestDownIsAsked(t *testing.T) {
	v := baseView()
	asked, silent := 0, 0
	u := newUnderlay(v.self, v.links, func(uint16, []byte) { asked++ }, func(netip.Addr, packet.MAC) {}, func(uint16, netip.Addr, bool) { silent++ }, func(uint16, *packet.Frame) bool { return false })
	u.isDown = func(uint16) bool { return true }
	var heard []uint16
	u.heard = func(port uint16) { heard = append(heard, port) }
	for range 2 * silentAfter {
		u.solicit(false)
	}
	if asked != 2*2*silentAfter || silent != 0 || !u.complete() {
		t.Errorf("asked %d times, silent %d times, complete %t", asked, silent, u.complete())
	}
	for range 2 {
		var f packet.Frame
		if err := packet.Parse(packet.AppendARPRequest(nil, packet.MAC{2, 9}, gateway4, netip.MustParseAddr("10.0.1.2")), &f); err != nil {
			t.Fatal(err)
		}
		u.receive(256, &f)
	}
	if !slices.Equal(heard, []uint16{256, 256}) {
		t.Errorf("heard %d", heard)
	}
}

// told is a speaker that notes what it is to do.
type told struct{ ports []SpeakingPort }

func (s *told) Speak(_ context.Context, ports []SpeakingPort) { s.ports = ports }
func (*told) Receive(flow.VPortID, []byte)                    {}

// TestLinkEndsSessions: a port of a router whose interface is down has no sessions, and has them again when it is up.
func TestLinkEndsSessions(t *testing.T) {
	base := baseView()
	s := &told{}
	a, err := NewAgent(Config{Store: idleStore(t), Self: base.self, Links: base.links, Speaker: s, Interfaces: map[string]uint16{"wan": 7},
		Dial: func(ctx context.Context) (p4rt.Conn, error) { return nil, context.Cause(ctx) }})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := topology.Load("network.yaml", []byte(`
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: wan, tenant: red}, spec: {device: router/gw, mac: "02:00:00:00:01:01", addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
---
{apiVersion: weft/v1, kind: BGPSession, metadata: {name: up, tenant: red}, spec: {vport: wan, localAS: 64512, peerAS: 64513, peerAddress: 192.0.2.2}}
`))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "wan"})
	c := a.core
	c.snap = snap
	c.view.places[flow.VPortID(id)] = place{edge: "e1", at: offload.Attachment{Port: 7}}
	c.speaking.changed(flow.VPortID(id))
	if c.speaking.meet(false); len(s.ports) != 1 {
		t.Fatalf("%d ports with sessions, want 1", len(s.ports))
	}
	for _, x := range []struct {
		down []uint16
		want int
	}{{[]uint16{7}, 0}, {nil, 1}, {[]uint16{8}, 1}} {
		a.LinksDown(x.down)
		c.links.follow()
		if len(s.ports) != x.want {
			t.Errorf("with %d down: %d ports with sessions, want %d", x.down, len(s.ports), x.want)
		}
	}
}
