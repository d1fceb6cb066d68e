package lab_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// mixed is a network over three edges: bridge lan with a filter and a small flood rate, a far network behind a router with a small MTU, a reject and a blackhole route, and a host that tracks
// connections. vm2 and vm4, and the link to the router, have rates; vm5 is bound nowhere.
func mixed() string {
	return redNetwork(map[string]string{
		"lan": "floodRate: 8, filters: {ingress: rules}", "far": "filters: {ingress: known}", "gw-far": "mtu: 1280", "vm2": "rate: 64k", "gw-lan": "rate: 64k",
		"gw": `routes: [{dst: 10.8.0.0/16, kind: reject}, {dst: "fd08::/16", kind: reject}, {dst: 10.9.0.0/16, kind: blackhole}, {dst: "fd09::/16", kind: blackhole}]`,
	},
		`{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: red}, spec: {default: accept, rules: [{match: {protocols: [udp], dstPorts: [9]}, action: drop}, {match: {protocols: [udp], dstPorts: [10]}, action: reject}]}}`,
		`{apiVersion: weft/v1, kind: Chain, metadata: {name: known, tenant: red}, spec: {default: accept, rules: [{match: {states: [established]}, action: accept}]}}`,
		`{apiVersion: weft/v1, kind: VPort, metadata: {name: vm4, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:04", addresses: [10.0.0.4/24, "fd00::4/64"], rate: 64k}}`,
		`{apiVersion: weft/v1, kind: VPort, metadata: {name: vm5, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:05", addresses: [10.0.0.5/24, "fd00::5/64"]}}`,
	) + redHosts("e1", "e2", "e3", "e1")
}

// traffic makes frames at random.
type traffic struct {
	*rand.Rand
	asked bool // no more packets to where nobody answers: they wait for seconds
}

// any is a frame of a host of lan: to a neighbour here, at another edge, bound nowhere, or not known, to all, to a group, to the far network, routed to nowhere; filtered, refused, with a TTL that ends, too
// long, cut off, or damaged.
func (r traffic) any(from byte) []byte {
	v6 := r.IntN(2) == 0
	at := func(net, host byte) netip.Addr {
		if v6 {
			return netip.AddrFrom16([16]byte{0: 0xfd, 1: net, 15: host})
		}
		return netip.AddrFrom4([4]byte{10, net, 0, host})
	}
	mac := func(n byte) packet.MAC { return packet.MAC{2, 0, 0, 0, 0, n} }
	gateway := packet.MAC{2, 0, 0, 0, 1, 1}
	u := packet.UDP{SrcMAC: mac(from), Src: at(0, from), SrcPort: uint16(4000 + r.IntN(4)), DstPort: uint16(20 + r.IntN(4)), TTL: 64, Payload: make([]byte, r.IntN(200))}
	kind := r.IntN(15)
	if kind == 9 && r.asked {
		kind = 0
	}
	switch kind {
	case 0, 1, 2:
		u.DstMAC, u.Dst = mac(2), at(0, 2)
	case 3:
		u.DstMAC, u.Dst = mac(5-from), at(0, 5-from) // red1 and red4 are neighbours at e1
	case 4:
		u.DstMAC, u.Dst = mac(5), at(0, 5) // bound nowhere
	case 5:
		u.DstMAC, u.Dst = mac(byte(100+r.IntN(8))), at(0, 77) // flooded: nobody has that MAC
	case 6:
		u.DstMAC, u.Dst = packet.Broadcast(), at(0, 255)
	case 7, 8:
		u.DstMAC, u.Dst = gateway, at(1, 3) // routed
	case 9:
		u.DstMAC, u.Dst = gateway, at(1, byte(200+r.IntN(2))) // nobody answers there
	case 10:
		u.DstMAC, u.Dst = gateway, at(byte(7+r.IntN(3)), 1) // no route, reject, blackhole
	case 11:
		u.DstMAC, u.Dst, u.DstPort = mac(2), at(0, 2), uint16(9+r.IntN(2)) // filtered, refused
	case 12:
		u.DstMAC, u.Dst, u.TTL = gateway, at(1, 3), 1
	case 13:
		u.DstMAC, u.Dst, u.Payload = gateway, at(1, 3), make([]byte, 1350) // longer than the way takes
	case 14: // to a group
		u.DstMAC, u.Dst = packet.MAC{1, 0, 0x5e, 0, 0, 5}, netip.AddrFrom4([4]byte{239, 0, 0, 5})
		if v6 {
			u.DstMAC, u.Dst = packet.MAC{0x33, 0x33, 0, 0, 0, 5}, netip.AddrFrom16([16]byte{0: 0xff, 1: 5, 15: 5})
		}
	}
	frame := packet.AppendUDP(nil, &u)
	switch r.IntN(16) {
	case 0:
		frame = frame[:15+r.IntN(20)] // cut off
	case 1:
		frame[14+r.IntN(20)] ^= byte(1 + r.IntN(255)) // damaged
	case 2:
		copy(frame[6:12], make([]byte, 6)) // from no station
	case 3:
		frame = append(frame[:12:12], append([]byte{0x81, 0, 0, 99}, frame[12:]...)...) // of a VLAN that the port has not
	case 4:
		frame = packet.AppendARPRequest(nil, mac(from), netip.AddrFrom4([4]byte{10, 0, 0, from}), netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(2) * 254)}))
	case 5:
		frame = packet.AppendNS(nil, mac(from), netip.AddrFrom16([16]byte{0: 0xfd, 15: from}), netip.AddrFrom16([16]byte{0: 0xfd, 15: 0xfe}))
	}
	return frame
}

// TestEveryPacketIsAccountedFor (O2): of mixed traffic over three edges each packet is received, or dropped for a reason that is counted, or taken in by who answers it: at every place that packets
// pass, from the hosts' interfaces over cables, ports, pipelines, agents and the fabric to the hosts', what came in is what went out and what was dropped there; and what an edge tells of drops by
// vport and reason is what its pipeline and its agent dropped.
func TestEveryPacketIsAccountedFor(t *testing.T) {
	file, err := scenario.Parse("mixed.txtar", []byte(mixed()))
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, lab.Config{Scenario: file, IdleTimeout: 2 * time.Second})
	random := traffic{Rand: rand.New(rand.NewPCG(8, 9))}
	hosts := []string{"red1", "red2", "red3", "red4"}
	for round := range 2 {
		random.asked = round > 0
		for _, n := range []byte{1, 4} {
			frames := make([][]byte, 150)
			for i := range frames {
				frames[i] = random.any(n)
			}
			inject(t, l.Host(fmt.Sprintf("red%d", n)), frames...)
		}
		for _, b := range beyondRates() {
			inject(t, l.Host(b.host), slices.Repeat([][]byte{b.frame}, 200)...)
		}
		atRest(t, l, fmt.Sprintf("round %d", round+1), hosts...)
		if round == 0 { // frames get lost in the underlay
			if err := l.Link(t.Context(), scenario.Link{Edge: "e1", Up: true, Loss: 0.3}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustDrop(t, l, "filtered", "parser error", "no route", "invalid source mac", "unknown port", "ttl expired", "too big", "blackhole", "reject route", "unreachable", "flood rate", "send rate", "receive rate", "link rate")
}

// beyondRates are frames of which many at once are more than the rates of mixed let pass: of a host that may send little, to one that is sent little, and over a link.
func beyondRates() []burst {
	frame := func(from byte, to packet.MAC, dst netip.Addr) []byte {
		return packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 0, 0, 0, 0, from}, DstMAC: to, Src: netip.AddrFrom4([4]byte{10, 0, 0, from}), Dst: dst, SrcPort: 7, DstPort: 8, TTL: 64, Payload: make([]byte, 1200)})
	}
	return []burst{
		{"red4", frame(4, packet.MAC{2, 0, 0, 0, 0, 1}, netip.AddrFrom4([4]byte{10, 0, 0, 1}))},
		{"red1", frame(1, packet.MAC{2, 0, 0, 0, 0, 2}, netip.AddrFrom4([4]byte{10, 0, 0, 2}))},
		{"red1", frame(1, packet.MAC{2, 0, 0, 0, 1, 1}, netip.AddrFrom4([4]byte{10, 1, 0, 3}))},
	}
}

// burst is a frame that a host sends many times.
type burst struct {
	host  string
	frame []byte
}

// atRest waits until nothing is under way, and at each place as much came in as went out.
func atRest(t *testing.T, l *lab.Lab, when string, hosts ...string) (all []lab.Stage) {
	t.Helper()
	before, after := "", ""
	within(t, "the ledger after "+when, func() (string, bool) {
		var err error
		if all, err = l.Ledger(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, hostStages(t, l, all, hosts...)...)
		var off, whole strings.Builder
		for i := range all {
			fmt.Fprintln(&whole, all[i].String())
			if all[i].Off() != 0 {
				fmt.Fprintf(&off, "\n%+d: %s", all[i].Off(), all[i].String())
			}
		}
		before, after = after, whole.String()
		return off.String(), off.Len() == 0 && before == after
	})
	t.Logf("after %s:\n%s", when, after)
	return all
}

// mustDrop checks that edges tell of drops for each reason.
func mustDrop(t *testing.T, l *lab.Lab, reasons ...string) {
	t.Helper()
	missing := map[string]bool{}
	for _, r := range reasons {
		missing[r] = true
	}
	for _, edge := range l.Edges() {
		drops, err := l.Drops(t.Context(), edge)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drops {
			delete(missing, d.Reason)
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing was dropped for %v", slices.Sorted(maps.Keys(missing)))
	}
}

// hostStages are between what hosts count at their interfaces and what the cables do.
func hostStages(t *testing.T, l *lab.Lab, cables []lab.Stage, names ...string) []lab.Stage {
	t.Helper()
	sent, received := lab.Stage{Of: "hosts", Name: "sending"}, lab.Stage{Of: "hosts", Name: "receiving"}
	for _, n := range names {
		c := l.Host(n).Counters()
		sent.In = append(sent.In, lab.Line{Name: n, Packets: c.FramesSent})
		received.Out = append(received.Out, lab.Line{Name: n, Packets: c.FramesReceived})
	}
	for _, s := range cables {
		switch {
		case !strings.HasPrefix(s.Name, "access cable"):
		case strings.HasSuffix(s.Name, " in"):
			sent.Out = append(sent.Out, s.In...)
		default:
			received.In = append(received.In, s.Out[0])
		}
	}
	for _, edge := range l.Edges() {
		for name, to := range map[string]*[]lab.Line{"forged_frames": &sent.Out, "stray_frames": &received.Out} {
			n, err := l.Counter(t.Context(), edge, name)
			if err != nil {
				t.Fatal(err)
			}
			*to = append(*to, lab.Line{Name: edge + " " + name, Packets: n})
		}
	}
	return []lab.Stage{sent, received}
}
