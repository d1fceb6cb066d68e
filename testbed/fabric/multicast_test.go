package fabric_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/fabric"
)

// plugged is the end of a link of a fabric: what it was sent, in order.
type plugged struct {
	*fabric.Port
	mac   packet.MAC
	heard chan []byte
}

func plug(t *testing.T, f *fabric.Fabric, n int) *plugged {
	t.Helper()
	port, err := f.Plug(n, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &plugged{port, packet.MAC{2, 0, 0, 0, 2, byte(n)}, make(chan []byte, 64)}
	port.Edge().SetReceiver(func(frame []byte) { p.heard <- slices.Clone(frame) })
	return p
}

// next is the next frame that an end is sent, and that is no query.
func (p *plugged) next(t *testing.T) (f packet.Frame, query bool) {
	t.Helper()
	select {
	case b := <-p.heard:
		if err := packet.Parse(b, &f); err != nil {
			t.Fatal(err)
		}
		_, err := f.GroupQuery()
		return f, err == nil
	case <-soon(t).Done():
		t.Fatalf("link %d is sent nothing", p.N)
	}
	return f, false
}

// TestMulticast: what is for a group goes to the links that have asked for it, in any version of IGMP and MLD, but never back; one that was down is asked.
func TestMulticast(t *testing.T) {
	for name, c := range map[string]struct{ group, src, reporter string }{
		"IPv4": {"239.192.0.7", "172.16.0.1", "10.0.2.2"},
		"IPv6": {"ff05::7", "fd01::1", "fe80::2"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFabric(t, fabric.Config{})
			a, b, idle := plug(t, f, 1), plug(t, f, 2), plug(t, f, 3)
			group, from := netip.MustParseAddr(c.group), netip.MustParseAddr(c.reporter)
			say := func(port uint16) {
				a.Edge().Send(packet.AppendUDP(nil, &packet.UDP{SrcMAC: a.mac, DstMAC: packet.MulticastMAC(group), Src: netip.MustParseAddr(c.src), Dst: group, SrcPort: 1, DstPort: port}))
			}
			arrives := func(port uint16) {
				t.Helper()
				got, _ := b.next(t)
				if got.DstPort != port || got.TTL() != 63 || got.Src() != b.GatewayMAC || got.Dst() != packet.MulticastMAC(group) || !got.ChecksumOK() {
					t.Fatalf("sent %x, want a packet for port %d", got.Data, port)
				}
			}
			report := func(kind packet.RecordType) {
				b.Edge().Send(packet.AppendReport(nil, b.mac, from, []packet.GroupRecord{{Type: kind, Group: group}}))
			}
			a.Edge().Send(packet.AppendReport(nil, a.mac, from, []packet.GroupRecord{{Type: packet.Joins, Group: group}})) // the sender listens too
			report(packet.Joins)
			waitMembers(t, b, group, true)
			waitMembers(t, a, group, true)
			say(1)
			arrives(1)
			report(packet.Leaves)
			waitMembers(t, b, group, false)
			say(2)
			a.Edge().Send(packet.AppendARPRequest(nil, a.mac, a.Edge4.Addr(), a.Gateway4))
			if answer, _ := a.next(t); !answer.IsARP() { // so the router is done with what came before it
				t.Fatalf("the sender is sent %x", answer.Data)
			}
			b.Edge().Send(packet.AppendOldReport(nil, b.mac, from, group, false))
			waitMembers(t, b, group, true)
			say(3)
			arrives(3) // and not 2
			b.Edge().Send(packet.AppendOldReport(nil, b.mac, from, group, true))
			waitMembers(t, b, group, false)

			b.SetUp(false)
			b.SetUp(true)
			for range 2 { // of IGMP and of MLD
				if _, query := b.next(t); !query {
					t.Error("a link that comes up is not asked")
				}
			}
			report(packet.IsMember)
			waitMembers(t, b, group, true)
			say(4)
			arrives(4)
			if got := f.Counters().Multicast; got != 3 {
				t.Errorf("%d copies counted, want 3", got)
			}
			if len(idle.heard)+len(a.heard) != 0 {
				t.Error("a link that did not ask, or the sender's, was sent something")
			}
		})
	}
}

// waitMembers waits until an end's membership is known: reports are taken by the link's own goroutine.
func waitMembers(t *testing.T, p *plugged, group netip.Addr, is bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for done := soon(t).Done(); slices.Contains(p.Members(), group) != is; {
		select {
		case <-done:
			t.Fatalf("link %d: a member is %v", p.N, !is)
		case <-tick.C:
		}
	}
}
