package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// toVM2 is a datagram of vm1 to vm2.
func toVM2(port uint16, ttl uint8) []byte {
	return packet.AppendUDP(nil, &packet.UDP{SrcMAC: vm1MAC, DstMAC: vm2MAC, Src: netip.MustParseAddr("10.0.1.2"), Dst: netip.MustParseAddr("10.0.1.3"), SrcPort: 1000, DstPort: port, TTL: ttl})
}

// aheadOf returns a core whose workers have its snapshot, and the number of vm1.
func aheadOf(t *testing.T, store *state.Store) (*core, uint16) {
	c := detached(t, store)
	served(c)
	c.numbered, c.placeable = true, true
	c.a.snap.Store(c.snap)
	local, ok := c.locals.vports.Lookup(vportOf(t, c, "vm1"))
	if !ok {
		t.Fatal("vm1 has no number")
	}
	return c, local
}

// TestAheadOnce: of the packets of one flow that wait, one is simulated, and what it gave holds for the others; of another flow it does not.
func TestAheadOnce(t *testing.T) {
	c, local := aheadOf(t, idleStore(t))
	for _, port := range []uint16{1, 1, 2, 1, 2} {
		c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissFlow, data: toVM2(port, 64)})
	}
	handleQueued(c)
	if s := c.a.Stats(); s.Upcalls != 5 || s.Ahead != 5 || s.Deduped != 3 || s.Flows != 1 {
		t.Errorf("%d upcalls, %d ahead, %d deduped, %d flows; want 5, 5, 3, 1", s.Upcalls, s.Ahead, s.Deduped, s.Flows)
	}
}

// TestAheadIsOfItsTime: what a worker made with a snapshot that is not the agent's any more does not count.
func TestAheadIsOfItsTime(t *testing.T) {
	c, local := aheadOf(t, idleStore(t))
	c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissFlow, data: toVM2(1, 64)})
	w := newWorker(c.a)
	b, _ := c.a.workers.take(t.Context(), c.a.queue)
	w.decide(b)
	b.done <- struct{}{}
	if b.ahead[0].result == nil {
		t.Fatal("nothing was made ahead")
	}
	again, err := topology.Load("network.yaml", []byte(network+"---\n{apiVersion: weft/v1, kind: Chain, metadata: {name: none, tenant: red}, spec: {default: drop}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.snap = again
	c.a.handleAll(nil, <-c.a.workers.order)
	if s := c.a.Stats(); s.Upcalls != 1 || s.Ahead != 0 || s.Flows != 1 {
		t.Errorf("%d upcalls, %d ahead, %d flows; want 1, 0, 1", s.Upcalls, s.Ahead, s.Flows)
	}
}

// TestAheadOfAnother: a packet that came while its number was one vport's is not taken for that of the next to have it.
func TestAheadOfAnother(t *testing.T) {
	c, local := aheadOf(t, idleStore(t))
	c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissFlow, data: toVM2(1, 64)})
	c.a.here.set(local, newResident(vportOf(t, c, "vm2"), false, 1))
	handleQueued(c)
	if s := c.a.Stats(); s.Departed != 1 || s.Upcalls != 0 {
		t.Errorf("%d departed, %d upcalls; want 1, 0", s.Departed, s.Upcalls)
	}
}

// TestAheadIsTheSame: with workers, an agent does with packets, in order, what it does when it simulates each at its turn.
func TestAheadIsTheSame(t *testing.T) {
	store := idleStore(t)
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var did [2]string
			for i, workers := range []bool{false, true} {
				c, local := aheadOf(t, store)
				w := served(c)
				if !workers {
					c.a.snap.Store(nil)
				}
				r := rand.New(rand.NewPCG(seed, 0))
				for range 300 {
					p := &packet.UDP{SrcMAC: vm1MAC, DstMAC: vm2MAC, Src: netip.MustParseAddr("10.0.1.2"), Dst: netip.MustParseAddr("10.0.1.3"), SrcPort: 1000, DstPort: uint16(r.IntN(3)), TTL: uint8(r.IntN(3))}
					if r.IntN(2) == 0 {
						p.DstMAC, p.Dst = gwMAC, netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), 1, byte(r.IntN(4))})
					}
					c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.Reason(r.IntN(int(flow.ReasonMissFlow) + 1)), data: packet.AppendUDP(nil, p)})
				}
				handleQueued(c)
				s := c.a.Stats()
				if workers != (s.Ahead > 0) {
					t.Errorf("%d packets were decided ahead", s.Ahead)
				}
				s.Ahead, s.Deduped = 0, 0
				s.Errors, s.ErrorsUnsent, s.OutDrops = s.Errors+s.ErrorsUnsent, 0, s.OutDrops-s.Errors // as time permits
				for _, u := range w.sent {
					did[i] += fmt.Sprintln(u.stages)
				}
				did[i] += fmt.Sprintf("%+v, %d wait for %d", s, c.holds.n, len(c.holds.wanted))
			}
			if did[0] != did[1] {
				t.Errorf("one by one:\n%v\nahead:\n%v", did[0], did[1])
			}
		})
	}
}
