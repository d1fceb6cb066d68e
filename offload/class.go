package offload

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// AlwaysPunted are the entries of punt_class that every edge has: ARP, ND, group control and ICMP errors go to the engine ahead of the flow tables.
func (t *Tables) AlwaysPunted() []*p4rt.Entry {
	var es []*p4rt.Entry
	add := func(reason flow.Reason, set func(e *p4rt.Entry)) {
		e := t.puntClass.NewEntry()
		set(e)
		e.Priority = alwaysPriority + int32(len(es))
		e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(reason)))
		es = append(es, e)
	}
	etherType := func(e *p4rt.Entry, v uint64) { e.SetMasked(1, u(v), u(0xffff)) }
	icmpType := func(e *p4rt.Entry, v4 bool, value, mask uint64) {
		etherType(e, packet.EtherTypeIPv6)
		e.SetMasked(2, u(packet.ProtoICMPv6), u(0xff))
		if v4 {
			etherType(e, packet.EtherTypeIPv4)
			e.SetMasked(2, u(packet.ProtoICMP), u(0xff))
		}
		e.SetMasked(3, u(value<<8), u(mask<<8)) // the key has type and code in place of the source port
		e.SetMasked(6, u(0), u(3))              // whole packets; what is a fragment has no place here (RFC 6980)
	}
	add(flow.ReasonARP, func(e *p4rt.Entry) { etherType(e, packet.EtherTypeARP) })
	add(flow.ReasonGroupControl, func(e *p4rt.Entry) { // IGMP
		etherType(e, packet.EtherTypeIPv4)
		e.SetMasked(2, u(2), u(0xff))
	})
	for _, ty := range []uint64{3, 4, 5, 11, 12} { // unreachable, quench, redirect, time exceeded, parameter problem
		add(flow.ReasonICMPError, func(e *p4rt.Entry) { icmpType(e, true, ty, 0xff) })
	}
	add(flow.ReasonICMPError, func(e *p4rt.Entry) { icmpType(e, false, 0, 0x80) }) // RFC 4443 section 2.1: errors have the high bit zero
	for _, ty := range []uint64{133, 134, 135, 136, 137} {
		add(flow.ReasonND, func(e *p4rt.Entry) { icmpType(e, false, ty, 0xff) })
	}
	for _, ty := range []uint64{130, 131, 132, 143} { // MLD
		add(flow.ReasonGroupControl, func(e *p4rt.Entry) { icmpType(e, false, ty, 0xff) })
	}
	return es
}

// Priorities of punt_class. What comes up for a reason of its own has that, traced or not.
const (
	tracePriority   = 1
	alwaysPriority  = 10
	dhcpPriority    = 100
	servicePriority = 200
	bfdPriority     = 210
	askedPriority   = 220
)

// DHCPPunted are the entries of punt_class for a vport that has a DHCP resource: what hosts send to DHCP servers (D1), and to clients, goes to the engine,
// first fragments too. It is one entry for each IP version, as the table is small, so IPv4 datagrams to the six other ports from 64 to 71 go with them.
func (t *Tables) DHCPPunted(vport uint16) []*p4rt.Entry {
	var es []*p4rt.Entry
	for i, m := range []struct{ etherType, port, mask uint64 }{{packet.EtherTypeIPv4, 64, 0xfff8}, {packet.EtherTypeIPv6, 546, 0xfffe}} {
		e := t.puntClass.NewEntry()
		e.SetMasked(0, u(uint64(vport)), u(0xffff))
		e.SetMasked(1, u(m.etherType), u(0xffff))
		e.SetMasked(2, u(packet.ProtoUDP), u(0xff))
		e.SetMasked(4, u(m.port), u(m.mask))
		e.SetMasked(6, u(0), u(uint64(packet.FragLater)))
		e.Priority = dhcpPriority + int32(i)
		e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(flow.ReasonDHCP)))
		es = append(es, e)
	}
	return es
}

// BFDKind is which packets of BFD come to a port: of an IP version, over one hop (RFC 5881) or several (RFC 5883).
type BFDKind struct{ V6, Multihop bool }

// Compare orders kinds.
func (k BFDKind) Compare(o BFDKind) int { return int(k.number() - o.number()) }

// number is one of 0 to 3, another for each kind.
func (k BFDKind) number() (n int32) {
	if k.V6 {
		n++
	}
	if k.Multihop {
		n += 2
	}
	return n
}

// BFDPunted is the entry of punt_class for a router port to which packets of BFD come: as those of BGP, BGPPunted.
func (t *Tables) BFDPunted(vport uint16, k BFDKind) *p4rt.Entry {
	etherType, port := uint64(packet.EtherTypeIPv4), uint64(3784)
	if k.V6 {
		etherType = packet.EtherTypeIPv6
	}
	if k.Multihop {
		port = 4784
	}
	e := t.puntClass.NewEntry()
	e.SetMasked(0, u(uint64(vport)), u(0xffff))
	e.SetMasked(1, u(etherType), u(0xffff))
	e.SetMasked(2, u(packet.ProtoUDP), u(0xff))
	e.SetMasked(4, u(port), u(0xffff))
	e.SetMasked(6, u(0), u(3))
	e.Priority = bfdPriority + k.number()
	e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(flow.ReasonService)))
	return e
}

// BGPPunted are the entries of punt_class for a router port through which BGP sessions go: segments from and to port 179 (RFC 4271 section 8.2.1) come up past the engine (G1), those of others
// on their way through the port, too, as the table does not match on addresses. Later fragments have no ports: sessions do without.
func (t *Tables) BGPPunted(vport uint16) []*p4rt.Entry {
	const bgp = 179
	var es []*p4rt.Entry
	for _, etherType := range []uint64{packet.EtherTypeIPv4, packet.EtherTypeIPv6} {
		for _, port := range []int{3, 4} { // of the source, of the destination
			e := t.puntClass.NewEntry()
			e.SetMasked(0, u(uint64(vport)), u(0xffff))
			e.SetMasked(1, u(etherType), u(0xffff))
			e.SetMasked(2, u(packet.ProtoTCP), u(0xff))
			e.SetMasked(port, u(bgp), u(0xffff))
			e.SetMasked(6, u(0), u(3))
			e.Priority = servicePriority + int32(len(es))
			e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(flow.ReasonService)))
			es = append(es, e)
		}
	}
	return es
}

// AskedPunted are the entries of punt_class for a router port through which BGP sessions go: who asks for a neighbour there, by ARP (replies, too: the table does not tell them apart) or a neighbour
// solicitation, comes up as what is for sessions does (G1). Pings are not among them: the table has no addresses, so that those of others through the port would come up, too. One of the port
// itself meets no flow entry.
func (t *Tables) AskedPunted(vport uint16) []*p4rt.Entry {
	arp, solicitation := t.puntClass.NewEntry(), t.puntClass.NewEntry()
	arp.SetMasked(1, u(packet.EtherTypeARP), u(0xffff))
	solicitation.SetMasked(1, u(packet.EtherTypeIPv6), u(0xffff))
	solicitation.SetMasked(2, u(packet.ProtoICMPv6), u(0xff))
	solicitation.SetMasked(3, u(packet.ICMPv6NeighSol<<8), u(0xff00))
	solicitation.SetMasked(6, u(0), u(3))
	es := []*p4rt.Entry{arp, solicitation}
	for i, e := range es {
		e.SetMasked(0, u(uint64(vport)), u(0xffff))
		e.Priority = askedPriority + int32(i)
		e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(flow.ReasonService)))
	}
	return es
}

// Traced is which packets of a vport are brought up to be followed, as far as punt_class can tell: it has no addresses.
type Traced struct {
	EtherType    uint16
	Proto        uint8  // 0: any
	SPort, DPort uint16 // 0: any
}

// TracePunted is the entry of punt_class that has packets of a vport come up as if no flow entry matched them. Those that come up anyway do so for their own reason.
func (t *Tables) TracePunted(vport uint16, m Traced) *p4rt.Entry {
	e := t.puntClass.NewEntry()
	e.SetMasked(0, u(uint64(vport)), u(0xffff))
	e.SetMasked(1, u(uint64(m.EtherType)), u(0xffff))
	if m.Proto != 0 {
		e.SetMasked(2, u(uint64(m.Proto)), u(0xff))
	}
	if m.SPort != 0 {
		e.SetMasked(3, u(uint64(m.SPort)), u(0xffff))
	}
	if m.DPort != 0 {
		e.SetMasked(4, u(uint64(m.DPort)), u(0xffff))
	}
	e.Priority = tracePriority
	e.Do(t.puntClass.actions["ingress.class_punt"], u(uint64(flow.ReasonMissFlow)))
	return e
}
