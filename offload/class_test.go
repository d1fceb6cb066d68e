package offload_test

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
)

// TestBFDPunted: in the pipeline, the entry of each kind of BFD brings its datagrams up as those of a service, and no others.
func TestBFDPunted(t *testing.T) {
	tables := newTables(t)
	src, dst := packet.MAC{2, 1}, packet.MAC{2, 2}
	kinds := []offload.BFDKind{{}, {V6: true}, {Multihop: true}, {V6: true, Multihop: true}}
	for _, installed := range kinds {
		m := newMachine(t)
		m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 5)...), inserts(tables.PortMap(offload.Attachment{Port: 2}, 6)...), inserts(tables.BGPPunted(5)...), inserts(tables.BFDPunted(5, installed)))
		for _, sent := range kinds {
			u := packet.UDP{SrcMAC: src, DstMAC: dst, Src: netip.MustParseAddr("192.0.2.9"), Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 50000, DstPort: 3784, TTL: 255, Payload: make([]byte, 24)}
			if sent.V6 {
				u.Src, u.Dst = netip.MustParseAddr("fe80::9"), netip.MustParseAddr("fe80::1")
			}
			if sent.Multihop {
				u.DstPort = 4784
			}
			for _, port := range []uint16{1, 2} {
				frame := packet.AppendUDP(nil, &u)
				if got := punted(m.send(port, frame), frame) == flow.ReasonService; got != (sent == installed && port == 1) {
					t.Errorf("entry of %+v, packet of %+v by port %d: for a service %v", installed, sent, port, got)
				}
			}
			u.SrcPort, u.DstPort = u.DstPort, u.SrcPort
			if frame := packet.AppendUDP(nil, &u); punted(m.send(1, frame), frame) == flow.ReasonService {
				t.Errorf("entry of %+v: a datagram from the port of %+v comes up, too", installed, sent)
			}
		}
	}
}

// TestTracePunted: in the pipeline, the entry has a vport's packets that match come up as if no flow entry did, and no others, which come up here as their source is not known; what comes up
// for a reason of its own keeps that.
func TestTracePunted(t *testing.T) {
	tables := newTables(t)
	const v4, v6 = packet.EtherTypeIPv4, packet.EtherTypeIPv6
	for name, tc := range map[string]struct {
		m              offload.Traced
		match4, match6 bool
	}{
		"all of IPv4":          {offload.Traced{EtherType: v4}, true, false},
		"all of IPv6":          {offload.Traced{EtherType: v6}, false, true},
		"ports":                {offload.Traced{EtherType: v4, Proto: packet.ProtoUDP, SPort: 4000, DPort: 53}, true, false},
		"another port":         {offload.Traced{EtherType: v4, Proto: packet.ProtoUDP, SPort: 4000, DPort: 54}, false, false},
		"another source port":  {offload.Traced{EtherType: v6, Proto: packet.ProtoUDP, SPort: 4001}, false, false},
		"another protocol":     {offload.Traced{EtherType: v6, Proto: packet.ProtoTCP}, false, false},
		"whatever source port": {offload.Traced{EtherType: v6, Proto: packet.ProtoUDP, DPort: 53}, false, true},
	} {
		m := newMachine(t)
		m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 5)...), inserts(tables.PortMap(offload.Attachment{Port: 2}, 6)...), inserts(tables.AlwaysPunted()...), inserts(tables.TracePunted(5, tc.m)))
		for _, port := range []uint16{1, 2} {
			u := packet.UDP{SrcMAC: packet.MAC{2, 1}, DstMAC: packet.MAC{2, 2}, Src: netip.MustParseAddr("192.0.2.9"), Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 4000, DstPort: 53, TTL: 64}
			frame := packet.AppendUDP(nil, &u)
			if got := punted(m.send(port, frame), frame) == flow.ReasonMissFlow; got != (tc.match4 && port == 1) {
				t.Errorf("%s, IPv4 by port %d: traced %t", name, port, got)
			}
			u.Src, u.Dst = netip.MustParseAddr("fd00::9"), netip.MustParseAddr("fd00::1")
			frame = packet.AppendUDP(nil, &u)
			if got := punted(m.send(port, frame), frame) == flow.ReasonMissFlow; got != (tc.match6 && port == 1) {
				t.Errorf("%s, IPv6 by port %d: traced %t", name, port, got)
			}
			frame = packet.AppendNS(nil, packet.MAC{2, 1}, u.Src, u.Dst)
			if got := punted(m.send(port, frame), frame); got != flow.ReasonND {
				t.Errorf("%s, ND by port %d: %v", name, port, got)
			}
		}
	}
}

// TestAskedPunted: in the pipeline, who asks for a neighbour by a port with sessions comes up as what is for a service does, by another port for the reason that it has there; what else neighbours
// say, and pings, come up as everywhere.
func TestAskedPunted(t *testing.T) {
	tables := newTables(t)
	m := newMachine(t)
	m.apply(inserts(tables.PortMap(offload.Attachment{Port: 1}, 5)...), inserts(tables.PortMap(offload.Attachment{Port: 2}, 6)...), inserts(tables.AlwaysPunted()...), inserts(tables.BGPPunted(5)...), inserts(tables.AskedPunted(5)...))
	mac, router := packet.MAC{2, 1}, packet.MAC{2, 2}
	v4, own4 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("192.0.2.1")
	v6, own6 := netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("2001:db8::1")
	ping := func(src, dst netip.Addr) []byte {
		frame := packet.AppendEchoRequest(nil, src, dst, 7, 1)
		copy(frame, router[:])
		copy(frame[6:], mac[:])
		return frame
	}
	for name, x := range map[string]struct {
		frame           []byte
		here, elsewhere flow.Reason
	}{
		"ARP request":             {packet.AppendARPRequest(nil, mac, v4, own4), flow.ReasonService, flow.ReasonARP},
		"neighbour solicitation":  {packet.AppendNS(nil, mac, v6, own6), flow.ReasonService, flow.ReasonND},
		"neighbour advertisement": {packet.AppendNA(nil, &packet.ND{Type: packet.ICMPv6NeighSol, Src: own6, Target: v6, LinkAddr: router}, router, mac, true), flow.ReasonND, flow.ReasonND},
		"ping":                    {ping(v4, own4), flow.ReasonMissSource, flow.ReasonMissSource},
		"ping, IPv6":              {ping(v6, own6), flow.ReasonMissSource, flow.ReasonMissSource},
	} {
		for port, want := range map[uint16]flow.Reason{1: x.here, 2: x.elsewhere} {
			if got := punted(m.send(port, x.frame), x.frame); got != want {
				t.Errorf("%s by port %d: %v, want %v", name, port, got, want)
			}
		}
	}
}
