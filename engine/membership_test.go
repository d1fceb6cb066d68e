package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// listening is a listener's uplink as its router sees it: what is reported, in order, as gopacket reads it.
type listening struct {
	*memberships
	clock time.Duration
	said  []string
}

func newListening(within string) *listening {
	v := baseView()
	l := new(listening)
	l.memberships = newMemberships(netip.MustParsePrefix(within), v.links, l.hear, func() time.Duration { return l.clock }, new(counts))
	return l
}

func (l *listening) hear(_ uint16, frame []byte) {
	names := map[uint8]string{2: "member ", 3: "leaves ", 4: "joins "}
	add := func(what string, group []byte) {
		a, _ := netip.AddrFromSlice(group)
		l.said = append(l.said, what+a.Unmap().String())
	}
	for _, x := range gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		switch m := x.(type) {
		case *layers.IGMP:
			for _, r := range m.GroupRecords {
				add(names[uint8(r.Type)], r.MulticastAddress)
			}
		case *layers.IGMPv1or2:
			add(map[layers.IGMPType]string{layers.IGMPMembershipReportV2: "old member ", layers.IGMPLeaveGroup: "old leaves "}[m.Type], m.GroupAddress)
		case *layers.MLDv2MulticastListenerReportMessage:
			for _, r := range m.MulticastAddressRecords {
				add(names[uint8(r.RecordType)], r.MulticastAddress)
			}
		case *layers.MLDv1MulticastListenerReportMessage:
			add("old member ", m.MulticastAddress)
		case *layers.MLDv1MulticastListenerDoneMessage:
			add("old leaves ", m.MulticastAddress)
		}
	}
}

// expect compares what was said since the last call, in any order.
func (l *listening) expect(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(l.said)
	slices.Sort(want)
	if d := cmp.Diff(want, l.said); d != "" {
		t.Errorf("reports (-want +said):\n%s", d)
	}
	l.said = nil
}

// later is n sweeps, a second apart.
func (l *listening) later(n int) {
	for range n {
		l.clock += time.Second
		l.sweep()
	}
}

// queried hands a query in, as its router builds it.
func (l *listening) queried(t *testing.T, frame []byte) {
	t.Helper()
	var f packet.Frame
	if err := packet.Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	if !l.query(256, &f) {
		t.Fatal("not taken for a query")
	}
}

// families are the ranges of both, with two groups each.
var listenFamilies = map[string]struct{ within, a, b, src string }{
	"IGMP": {"239.192.0.0/14", "239.192.0.7", "239.192.0.8", "10.0.1.1"},
	"MLD":  {"ff05::/104", "ff05::7", "ff05::8", "fe80::1"},
}

// TestMembership: a group that is wanted or not is told twice; what is wanted answers queries within their time, one for a group at once; nothing is said of what is not.
func TestMembership(t *testing.T) {
	for name, c := range listenFamilies {
		t.Run(name, func(t *testing.T) {
			a, b := netip.MustParseAddr(c.a), netip.MustParseAddr(c.b)
			src := netip.MustParseAddr(c.src)
			l := newListening(c.within)
			l.want(256, a, true)
			l.tell()
			l.later(1)
			l.expect(t) // nobody hears it yet
			l.speak(true)
			l.expect(t, "joins "+c.a)
			l.later(3)
			l.expect(t, "joins "+c.a)
			l.want(256, b, true)
			l.want(256, a, false)
			l.tell()
			l.expect(t, "joins "+c.b, "leaves "+c.a)
			l.later(3)
			l.expect(t, "joins "+c.b, "leaves "+c.a)

			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src), Within: 10 * time.Second}))
			l.later(10)
			l.expect(t, "member "+c.b)
			l.later(10)
			l.expect(t)
			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src), Within: time.Second, Group: b}))
			l.expect(t, "member "+c.b)
			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src), Within: time.Second, Group: a}))
			l.later(2)
			l.expect(t)

			l.speak(false) // the target is away
			l.want(256, a, true)
			l.want(256, b, false)
			l.tell()
			l.later(2)
			l.expect(t)
			l.speak(true)
			l.expect(t, "joins "+c.a)
		})
	}
}

func newest(src netip.Addr) packet.Membership {
	if src.Is4() {
		return packet.IGMPv3
	}
	return packet.MLDv2
}

// TestMembershipOldRouter: to a router of the older version a host speaks that, until none was heard for long.
func TestMembershipOldRouter(t *testing.T) {
	for name, c := range listenFamilies {
		t.Run(name, func(t *testing.T) {
			a, src := netip.MustParseAddr(c.a), netip.MustParseAddr(c.src)
			l := newListening(c.within)
			l.speak(true)
			l.want(256, a, true)
			l.tell()
			l.later(2)
			l.expect(t, "joins "+c.a, "joins "+c.a)
			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src) - 1, Within: time.Second, Group: a}))
			l.expect(t, "member "+c.a) // a switch may ask so on behalf of another; what the router speaks, its questions for all groups tell
			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src) - 1, Within: time.Second}))
			l.later(2)
			l.expect(t, "old member "+c.a)
			l.want(256, a, false)
			l.tell()
			l.later(2)
			l.expect(t, "old leaves "+c.a, "old leaves "+c.a)
			l.later(260)
			l.want(256, a, true)
			l.tell()
			l.expect(t, "joins "+c.a)
		})
	}
}

// TestMembershipOfMany: reports fit the link, and an answer that names many groups is spread.
func TestMembershipOfMany(t *testing.T) {
	for name, c := range listenFamilies {
		t.Run(name, func(t *testing.T) {
			l := newListening(c.within)
			frames := 0
			l.send = func(port uint16, frame []byte) {
				if frames++; len(frame) > 14+1500 {
					t.Errorf("a report of %d bytes", len(frame))
				}
				l.hear(port, frame)
			}
			const many = 4000
			for i := range many {
				a, _ := setAddr(netip.MustParsePrefix(c.within), flow.Dest(i+1))
				l.want(256, a, true)
			}
			l.speak(true)
			l.later(1)
			if len(l.said) != 2*many || frames > 2*many/70+2 {
				t.Errorf("%d groups told in %d frames", len(l.said), frames)
			}
			l.said = nil
			src := netip.MustParseAddr(c.src)
			l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src), Within: time.Second}))
			for n := 0; n < many; n += len(l.said) {
				l.said = nil
				if l.later(1); len(l.said) == 0 || len(l.said) > maxReports {
					t.Fatalf("%d groups answered in a second, after %d", len(l.said), n)
				}
			}
			l.said = nil
			l.later(2)
			l.expect(t)
		})
	}
}

// TestMembershipAskedAgain: a question with a longer time does not put off what an earlier one is owed, and when questions come faster than answers leave, all groups have their turn.
func TestMembershipAskedAgain(t *testing.T) {
	for name, c := range listenFamilies {
		t.Run(name, func(t *testing.T) {
			src := netip.MustParseAddr(c.src)
			ask := func(l *listening, within time.Duration) {
				t.Helper()
				l.queried(t, packet.AppendGroupQuery(nil, packet.MAC{2, 9}, src, packet.GroupQuery{Version: newest(src), Within: within}))
			}
			l := newListening(c.within)
			l.speak(true)
			l.want(256, netip.MustParseAddr(c.a), true)
			l.tell()
			l.later(2)
			l.said = nil
			ask(l, 12*time.Second)
			ask(l, time.Second)
			ask(l, 12*time.Second)
			l.later(1)
			l.expect(t, "member "+c.a)

			const many = 3 * maxReports
			l = newListening(c.within)
			for i := range many {
				a, _ := setAddr(netip.MustParsePrefix(c.within), flow.Dest(i+1))
				l.want(256, a, true)
			}
			l.speak(true)
			l.later(1)
			l.said = nil
			for range 3 {
				ask(l, time.Second)
				l.later(1)
			}
			slices.Sort(l.said)
			if n := len(slices.Compact(l.said)); n != many {
				t.Errorf("%d groups answered in three seconds, want all %d", n, many)
			}
		})
	}
}
