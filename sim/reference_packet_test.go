package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// sent is a packet on its way.
type sent struct {
	in       flow.VPortID
	from, to packet.MAC
	src, dst netip.Addr
	ttl      int
	len      int
	room     int        // of the frame, from the IP header on
	flaw     DropReason // what is wrong with it, for a router
	df       bool
	proto    uint8
	sport    uint16
	dport    uint16
	hasPorts bool
	devices  int
	mark     uint32
	steps    []conntrack.Step // that were drawn for its connection: the model does not draw, it tells which it allows
	taken    int              // of them, in the order of the devices on the way
}

// end is what becomes of a packet. Comparable.
type end struct {
	verdict  Verdict
	drop     DropReason
	reject   bool
	out      flow.VPortID
	from, to packet.MAC
	ttl      int
	src, dst netip.Addr
	sport    uint16
	dport    uint16
}

func dropped(why DropReason) []end  { return []end{{verdict: Drop, drop: why}} }
func rejected(why DropReason) []end { return []end{{verdict: Drop, drop: why, reject: true}} }

// sentOf is a packet as the model sees it.
func sentOf(f *packet.Frame, in flow.VPortID) sent {
	s := sent{
		in: in, from: f.Src(), to: f.Dst(), ttl: int(f.TTL()), len: f.IPLen(), df: f.DontFragment(), proto: f.Proto, sport: f.SrcPort, dport: f.DstPort,
		hasPorts: f.L3 != 0 && f.Proto != 99 && f.Frag != packet.FragLater,
	}
	if f.L3 != 0 {
		s.src, s.dst, s.room = f.SrcAddr(), f.DstAddr(), len(f.Data)-packet.EthernetLen
		s.flaw = flawOf(f.Data[packet.EthernetLen:], &s)
	}
	return s
}

// flawOf reads an IP packet and what is behind it, as RFC 1812 sections 5.2.2 and 5.3.7 say.
func flawOf(b []byte, s *sent) DropReason {
	if s.src.Is4() {
		sum := 0
		for i := 0; i < 20; i += 2 {
			sum += int(b[i])<<8 | int(b[i+1])
		}
		if sum%0xffff != 0 || s.len < 20 {
			return DropHeader
		}
	}
	switch first := s.src.AsSlice()[0]; {
	case s.src.IsUnspecified(), s.src.IsLoopback(), s.src.IsMulticast(), s.src.IsLinkLocalUnicast(), s.src.Is4() && (first == 0 || first > 239):
		return DropMartian
	case len(b) < s.len:
		return DropFrameLength
	}
	return DropNone
}

// endOf is the first outcome of a result in the model's words.
func endOf(r *Result, s *sent) end {
	o := r.Outcomes[0]
	e := end{verdict: o.Verdict, drop: o.Drop, reject: o.Reject}
	if o.Verdict != Forward {
		return e
	}
	e.out, e.from, e.to, e.ttl, e.src, e.dst, e.sport, e.dport = flow.VPortID(o.Dest), s.from, s.to, s.ttl-int(o.Rewrite.TTLDec), s.src, s.dst, s.sport, s.dport
	if w := &o.Rewrite; w.SetMACs {
		e.from, e.to = w.SrcMAC, w.DstMAC
	}
	if w := &o.Rewrite; w.Translate {
		et := uint16(packet.EtherTypeIPv4)
		if s.src.Is6() {
			et = packet.EtherTypeIPv6
		}
		e.src, e.dst, e.sport, e.dport = w.Src.Netip(et), w.Dst.Netip(et), w.SrcPort, w.DstPort
	}
	return e
}
