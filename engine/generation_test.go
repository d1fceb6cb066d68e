package engine

import (
	"context"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// TestGenerationsBeginAgain: no entry has a greater priority than the target knows, however many flows there were; of two that overlap the newer has the greater one; and flows without a
// priority use none up.
func TestGenerationsBeginAgain(t *testing.T) {
	const most = 5
	for _, etherType := range []uint16{packet.EtherTypeIPv4, packet.EtherTypeIPv6, 0x88b5} {
		c := detached(t, idleStore(t))
		c.flows.most = most
		w := served(c)
		vm1 := vportOf(t, c, "vm1")
		local, _ := c.locals.vports.Lookup(vm1)
		res := &sim.Result{Outcomes: []sim.Outcome{{Verdict: sim.Drop}}}
		enter := func(n byte, wild bool) {
			t.Helper()
			m := offload.Megaflow{Key: flow.Key{Ingress: vm1, SrcMAC: packet.MAC{2, n}, DstMAC: packet.MAC{2, 9}, EtherType: etherType, Dst: flow.Addr{15: n}}}
			m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
			switch {
			case !wild:
				m.Key.DstMAC = packet.MAC{4, n}
			case etherType == 0x88b5:
				m.Mask.SrcMAC, m.Key.Dst = packet.Broadcast(), flow.Addr{}
			default:
				m.Mask.EtherType, m.Mask.Dst = 0xffff, flow.AddrMask(int(8*n)%32, etherType)
			}
			m.Prio = c.generation()
			if err := c.enter(m, res, local); err != nil {
				t.Fatalf("flow %d: %v", n, err)
			}
		}
		last := int32(0)
		for n := range byte(4 * most) {
			enter(n, true)
			newest := int32(0)
			for f := range c.flows.all() {
				if f.placed.Wild() {
					newest = max(newest, f.placed.Prio)
				}
			}
			if newest != last%most+1 {
				t.Fatalf("flow %d: priority %d behind %d", n, newest, last)
			}
			last = newest
			for i := range byte(3) {
				enter(100+n+30*i, false)
			}
			for len(w.sent) > 0 {
				for _, u := range w.sent {
					for _, x := range flatten(u.stages) {
						if e, is := x.Entity.(*p4rt.Entry); is && e.Table.NeedsPriority && (e.Priority < 1 || e.Priority > most) {
							t.Fatalf("%v %v: priority %d", x.Op, e, e.Priority)
						}
					}
				}
				w.answer(t, false)
			}
		}
	}
	base := baseView()
	profile := p4rt.Stratum()
	a, err := NewAgent(Config{Store: idleStore(t), Self: base.self, Links: base.links, Profile: profile, Dial: func(ctx context.Context) (p4rt.Conn, error) { return nil, context.Cause(ctx) }})
	if err != nil {
		t.Fatal(err)
	}
	if a.core.flows.most != profile.PriorityMax || profile.PriorityMax >= 1<<31-1 {
		t.Errorf("priorities up to %d, want %d", a.core.flows.most, profile.PriorityMax)
	}
}
