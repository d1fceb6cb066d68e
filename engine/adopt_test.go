package engine

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// trackNet has a bridge of two VMs, of which one speaks, and what that says is tracked.
var trackNet = strings.ReplaceAll(network, `spec: {device: bridge/lan, mac: "02:00:00:00:00:01"`, `spec: {device: bridge/lan, filters: {ingress: track}, mac: "02:00:00:00:00:01"`) + `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: track, tenant: red}, spec: {rules: [{match: {states: [new, established]}, action: VERDICT}]}}
`

// dnatNet translates what vm1 says to an address of nobody.
var dnatNet = strings.NewReplacer("NAT", "{match: {dst: [192.0.2.80]}, action: dnat, nat: {addresses: [10.2.0.3]}}", "FW", "{match: {protocols: [udp]}, action: VERDICT}").Replace(natNet)

// onTarget is the core of an agent on a target, with a network in which both VMs are at this edge and known.
func onTarget(t *testing.T, store *state.Store, target *p4rttest.Server, text string) *core {
	t.Helper()
	c := detachedFrom(t, store, target.Dial)
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	clear(c.view.places)
	var known topology.Changes
	for i, name := range []string{"vm1", "vm2"} {
		id, mac := vportOf(t, c, name), packet.MAC{2, 0, 0, 0, 0, byte(i + 1)}
		c.view.places[id] = place{edge: "e1", at: offload.Attachment{Port: uint16(i + 1)}}
		p := c.snap.VPort(id)
		known.FDB = append(known.FDB, topology.FDBEntry{Bridge: p.Device, MAC: mac, Port: id})
		for _, a := range p.Addrs {
			known.BridgeNeighbours = append(known.BridgeNeighbours, topology.BridgeNeighbour{Bridge: p.Device, Addr: a.Addr(), MAC: mac})
		}
	}
	for port, of := range map[string]string{"gw-web": "10.2.0.3", "gw-lan": "10.0.1.2"} {
		if id, ok := c.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: port}); ok {
			mac := vm2MAC
			if port == "gw-lan" {
				mac = vm1MAC
			}
			known.Neighbours = append(known.Neighbours, topology.Neighbour{Port: flow.VPortID(id), Addr: netip.MustParseAddr(of), MAC: mac, State: topology.NeighbourOK})
		}
	}
	c.snap, _ = c.snap.With(known)
	c.a.snap.Store(c.snap)
	c.rebuild(c.layout.all(c.view))
	return c
}

// within has f called by the agent's goroutine.
func within(t *testing.T, c *core, f func()) {
	t.Helper()
	if err := c.a.mail.call(c.ctx, f); err != nil {
		t.Fatal(err)
	}
}

// begins has vm1 begin connections, and waits until the target has their flows.
func begins(t *testing.T, c *core, to packet.MAC, ways [][2]string) {
	t.Helper()
	for i, w := range ways {
		within(t, c, func() { fromVM1(t, c, to, netip.MustParseAddr(w[0]), netip.MustParseAddr(w[1]), uint16(1000+i)) })
	}
	for done := false; !done && c.ctx.Err() == nil; {
		c.effects.wait()
		within(t, c, func() { done = c.flows.len() == len(ways) && c.conns.known.n == len(ways) && len(c.target.open) == 0 })
	}
	if c.ctx.Err() != nil {
		t.Fatalf("connections do not come to be: %+v", c.a.Stats())
	}
}

// leaves notes in the database who had the edge.
func leaves(t *testing.T, store *state.Store, run int64) {
	t.Helper()
	r, err := store.RegisterEdge(state.EdgeInfo{ID: "e1", Encaps: []string{"vxlan"}, MTU: 1500, Run: run}, state.EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	err = store.WaitEdges(t.Context(), "e1")
	cancel()
	if err = errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionsAreTakenOver (C1, K7): an agent that starts anew owns the connections that the edge did, and goes on with their flows: the target has them, and nothing is written. What would be
// decided otherwise is put right, and what another edge owns by now is left to that.
func TestConnectionsAreTakenOver(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		to            packet.MAC
		ways          [][2]string
	}{
		{"tracked", trackNet, vm2MAC, [][2]string{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}}},
		{"translated", dnatNet, gwMAC, [][2]string{{"10.0.1.2", "192.0.2.80"}, {"10.0.1.2", "192.0.2.80"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
			target := p4rttest.NewServer()
			defer target.Close()
			accepts := strings.Replace(tt.network, "VERDICT", "accept", 1)
			c := onTarget(t, store, target, accepts)
			stop := programmed(t, c, target)
			begins(t, c, tt.to, tt.ways)
			run := c.conns.run
			stop()
			leaves(t, store, run)
			before := target.View()

			again := onTarget(t, store, target, accepts)
			stop = programmed(t, again, target)
			within(t, again, func() {
				if again.conns.run != run || again.conns.known.n != len(tt.ways) || again.flows.len() != len(tt.ways) {
					t.Errorf("it goes on as %x, before %x, with %d connections and %d flows, want %d", again.conns.run, run, again.conns.known.n, again.flows.len(), len(tt.ways))
				}
				for x := range again.conns.known.all() {
					if !x.own[forward] || x.own[reply] || x.flows[forward] != 1 || x.of != vportOf(t, again, "vm1") {
						t.Errorf("it has %+v", x)
					}
				}
			})
			for _, w := range target.View().Writes[len(before.Writes):] {
				for _, u := range w.Updates {
					if u.Entity.GetMeterEntry() == nil {
						t.Errorf("written to a target that held what it should: %v", u)
					}
				}
			}
			stop()

			// One connection is another edge's by now.
			var moved *state.StoredConn
			if err := store.Connections(t.Context(), func(s state.StoredConn) error { moved = &s; return nil }); err != nil || moved == nil {
				t.Fatal(moved, err)
			}
			moved.ForwardOwner = 77
			if _, done, err := store.UpdateConn(t.Context(), *moved); !done || err != nil {
				t.Fatal(done, err)
			}
			other := onTarget(t, store, target, accepts)
			stop = programmed(t, other, target)
			within(t, other, func() {
				if other.conns.known.n != len(tt.ways)-1 || other.flows.len() != len(tt.ways)-1 {
					t.Errorf("it has %d connections and %d flows though another edge owns one of %d", other.conns.known.n, other.flows.len(), len(tt.ways))
				}
			})
			stop()

			refuses := onTarget(t, store, target, strings.Replace(tt.network, "VERDICT", "drop", 1))
			stop = programmed(t, refuses, target)
			defer stop()
			within(t, refuses, func() {
				if n := refuses.flows.len(); n != 0 {
					t.Errorf("%d flows go on though a rule refuses them", n)
				}
			})
		})
	}
}

// TestReclaim: a connection that the edge owned and that has no flow is taken up beside, and let go of when its time is over.
func TestReclaim(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	first := p4rttest.NewServer()
	defer first.Close()
	accepts := strings.Replace(trackNet, "VERDICT", "accept", 1)
	c := onTarget(t, store, first, accepts)
	stop := programmed(t, c, first)
	begins(t, c, vm2MAC, [][2]string{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}})
	run := c.conns.run
	stop()
	leaves(t, store, run)
	empty := p4rttest.NewServer() // the target has restarted
	defer empty.Close()
	again := onTarget(t, store, empty, accepts)
	stop = programmed(t, again, empty)
	defer stop()
	for n := 0; n != 2 && again.ctx.Err() == nil; {
		again.effects.wait()
		within(t, again, func() { n = again.conns.known.n })
	}
	within(t, again, func() { again.conns.sweep(again.now() + again.conns.timeouts.Single + again.conns.timeouts.Both) })
	for left := 2; left > 0 && again.ctx.Err() == nil; {
		again.effects.wait()
		within(t, again, func() { again.conns.sweep(again.now() + 2*again.conns.timeouts.Both) })
		left = 0
		if err := store.Connections(t.Context(), func(state.StoredConn) error { left++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if again.ctx.Err() != nil {
		t.Error("connections without a flow stay for ever")
	}
}

// TestEarly: packets that come before an agent has taken over wait until it can know what they are about, and no longer.
func TestEarly(t *testing.T) {
	c := detached(t, idleStore(t))
	in := func(vport uint16, reason flow.Reason, n int) {
		for range n {
			c.a.take(earlyPacket{vport: vport, reason: reason, data: []byte{1}})
		}
	}
	queued := func() int {
		c.a.queue.mu.Lock()
		defer c.a.queue.mu.Unlock()
		return c.a.queue.n
	}
	in(0, flow.ReasonUnderlay, 1)
	in(1, flow.ReasonMissFlow, 2)
	in(1, flow.ReasonTrackedEnd, 4)
	for i, want := range []int{1, 3, 7} {
		if i > 0 {
			c.a.reach(phase(i))
		}
		if n := queued(); n != want {
			t.Errorf("phase %d: %d packets are in the queue, want %d", i, n, want)
		}
	}
	c = detached(t, idleStore(t))
	in(1, flow.ReasonMissFlow, maxEarly+3)
	if n := queued(); n != 3 {
		t.Errorf("%d packets did not wait, want those beyond the bound", n)
	}
}

// TestAnsweredMeanwhile (C1, K7): a packet of a connection that comes before the edge's are taken over leaves the other direction, which the edge's agent before this one had, the edge's.
func TestAnsweredMeanwhile(t *testing.T) {
	o := newOnline(t)
	frame := udpOut(false, 1000, 53)
	o.sends("vm1", frame)
	k := o.key(frame)
	began := o.has(k)
	ret := began.stored.Return()
	o.at(func() { o.c.conns.forget(k) }) // as if another had begun it
	et := uint16(packet.EtherTypeIPv4)
	o.sends("srv", packet.AppendUDP(nil, &packet.UDP{SrcMAC: srvMAC, DstMAC: outMAC, Src: ret.Src.Netip(et), Dst: ret.Dst.Netip(et), SrcPort: 53, DstPort: ret.DstPort, TTL: 9}))
	o.until("the answer's direction is stored", func() bool {
		x := o.c.conns.known.get(k)
		return x != nil && x.writing == idle && x.stored.ReturnOwner == o.c.conns.run
	})
	if x := o.has(k); !x.own[forward] || x.stored.ForwardOwner == 0 || x.place == 0 {
		t.Errorf("the direction of the first packet is nobody's: %+v", x)
	}
}
