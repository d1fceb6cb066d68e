package lab_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// mixed is a network over three edges: bridge lan with a filter and a small flood rate, a far network behind a router with a small MTU, a reject and a blackhole route, and a host that tracks
// connections. red5's vport is bound nowhere.
const mixed = `
-- network.yaml --
{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: red}, spec: {default: accept, rules: [{match: {protocols: [udp], dstPorts: [9]}, action: drop}, {match: {protocols: [udp], dstPorts: [10]}, action: reject}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: known, tenant: red}, spec: {default: accept, rules: [{match: {states: [established]}, action: accept}]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {floodRate: 8, filters: {ingress: rules}}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: far, tenant: red}, spec: {filters: {ingress: known}}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: red}, spec: {routes: [{dst: 10.8.0.0/16, kind: reject}, {dst: "fd08::/16", kind: reject}, {dst: 10.9.0.0/16, kind: blackhole}, {dst: "fd09::/16", kind: blackhole}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: red}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: red}, spec: {device: router/gw, peer: lan-gw, mac: "02:00:00:00:01:01", addresses: [10.0.0.254/24, "fd00::fe/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: far-gw, tenant: red}, spec: {device: bridge/far, peer: gw-far}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-far, tenant: red}, spec: {device: router/gw, peer: far-gw, mac: "02:00:00:00:01:02", mtu: 1280, addresses: [10.1.0.254/24, "fd01::fe/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24, "fd00::2/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: red}, spec: {device: bridge/far, mac: "02:00:00:00:00:03", addresses: [10.1.0.3/24, "fd01::3/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm4, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:04", addresses: [10.0.0.4/24, "fd00::4/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm5, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:05", addresses: [10.0.0.5/24, "fd00::5/64"]}}
-- hosts --
red1 vport=red/vm1 edge=e1 mac=02:00:00:00:00:01 ip=10.0.0.1/24,fd00::1/64 gw=10.0.0.254,fd00::fe
red2 vport=red/vm2 edge=e2 mac=02:00:00:00:00:02 ip=10.0.0.2/24,fd00::2/64 gw=10.0.0.254,fd00::fe
red3 vport=red/vm3 edge=e3 mac=02:00:00:00:00:03 ip=10.1.0.3/24,fd01::3/64 gw=10.1.0.254,fd01::fe
red4 vport=red/vm4 edge=e1 mac=02:00:00:00:00:04 ip=10.0.0.4/24,fd00::4/64 gw=10.0.0.254,fd00::fe
`

// traffic makes frames at random.
type traffic struct {
	*rand.Rand
	asked bool // no more packets to where nobody answers: they wait for seconds
}

// any is a frame of a host of lan: to a neighbour here, at another edge, bound nowhere, or not known, to a group, to the far network, routed to nowhere; filtered, refused, with a TTL that ends, too
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
	kind := r.IntN(14)
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
	file, err := scenario.Parse("mixed.txtar", []byte(mixed))
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, lab.Config{Scenario: file, IdleTimeout: 2 * time.Second})
	random := traffic{Rand: rand.New(rand.NewPCG(8, 9))}
	atRest := func(when string) {
		t.Helper()
		before, after := "", ""
		within(t, "the ledger "+when, func() (string, bool) {
			all, err := l.Ledger(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, hostStages(t, l, all, "red1", "red2", "red3", "red4")...)
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
		t.Logf("%s:\n%s", when, after)
	}
	for round := range 2 {
		random.asked = round > 0
		for _, n := range []byte{1, 4} {
			frames := make([][]byte, 150)
			for i := range frames {
				frames[i] = random.any(n)
			}
			inject(t, l.Host(fmt.Sprintf("red%d", n)), frames...)
		}
		atRest(fmt.Sprintf("after round %d", round+1))
		if round == 0 { // frames get lost in the underlay
			if err := l.Link(t.Context(), scenario.Link{Edge: "e1", Up: true, Loss: 0.3}); err != nil {
				t.Fatal(err)
			}
		}
	}
	missing := map[string]bool{"filtered": true, "parser error": true, "no route": true, "invalid source mac": true, "unknown port": true, "ttl expired": true, "too big": true, "blackhole": true, "reject route": true, "unreachable": true, "flood rate": true}
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
		t.Errorf("nothing was dropped for %v", missing)
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
