package sim

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Leases is what the database says about the client of a DHCP message. It comes in as data; the zero value: not looked up yet.
type Leases struct {
	Read     bool
	Held     netip.Addr // the client's address; invalid: it has none
	Bound    bool       // Held is a lease, not only offered
	WishFree bool       // the address of ReadLease may be the client's: nobody else has it
	Free     netip.Addr // an address that nobody has; invalid: there is none, or it was not searched for
	Full     bool       // the vport has as many addresses as it may have
}

// UDP ports of DHCP servers and clients.
const (
	dhcp4Server = 67
	dhcp4Client = 68
	dhcp6Server = 547
	dhcp6Client = 546
)

// SimulateLease is Simulate for a DHCP message whose ReadLease was answered.
func (s *Simulator) SimulateLease(snap *topology.Snapshot, f *packet.Frame, ingress *topology.VPort, now time.Duration, leases Leases, res *Result) {
	s.leases = leases
	s.Simulate(snap, f, ingress.ID, now, res)
}

// dhcpClient is who sent a DHCP message, and to what resource.
type dhcpClient struct {
	d  *topology.DHCP
	p  *topology.VPort
	h  *hop
	v6 bool
}

// dhcp answers a DHCP message of a host at an exterior vport that has a resource (D1, K12), ahead of the vport's device. It reports whether it is one; else
// the packet is ordinary traffic: it is of a relay, or of an IP version that the resource has nothing for.
//  1. check the message
//  2. have the client's leases read, if the answer depends on them: ReadLease, and the message is decided again with the answer
//  3. pick an address; what is to be stored goes out as an effect, which is carried out before the answer leaves
//
// What hosts there send to DHCP clients is dropped: the resource is the server.
//
// The pipeline punts these messages ahead of its flow tables (punt_class), so that no other packet's mask needs to tell them apart.
func (s *Simulator) dhcp(p *topology.VPort, h *hop) bool {
	f := s.f
	if p.DHCP != 0 && f.IsARP() {
		return s.serverARP(p, h)
	}
	if p.DHCP == 0 || p.AdminDown || f.Proto != packet.ProtoUDP || f.L4 == 0 {
		return false
	}
	if f.Is4() && f.DstPort == dhcp4Client || f.Is6() && f.DstPort == dhcp6Client {
		s.notInstallable("DHCP")
		s.drop(h, DropDHCPServer, false)
		return true
	}
	if f.Frag != packet.FragNone {
		return false
	}
	v6 := f.Is6() && f.DstPort == dhcp6Server
	if !v6 && !(f.Is4() && f.DstPort == dhcp4Server) {
		return false
	}
	s.notInstallable("DHCP")
	d := s.snap.DHCP(p.DHCP)
	switch {
	case d == nil:
		s.load(h, p.DHCP)
		return true
	case v6 && !has6(d) || !v6 && d.First(false) == nil:
		return false
	}
	own := *h // so that h stays on the stack of those that are no DHCP
	c := &dhcpClient{d: d, p: p, h: &own, v6: v6}
	body := s.udpPayload()
	if body == nil {
		s.drop(c.h, DropMalformed, false)
		return true
	}
	if v6 {
		return s.dhcp6(c, body)
	}
	return s.dhcp4(c, body)
}

// serverARP answers a host that asks where its DHCP server is, if that is an address that nobody else has: renewals are sent to it.
func (s *Simulator) serverARP(p *topology.VPort, h *hop) bool {
	d := s.snap.DHCP(p.DHCP)
	a, err := s.f.ARP()
	if d == nil || err != nil || a.Op != packet.ARPRequest || a.Gratuitous() || p.AdminDown {
		return false
	}
	if !slices.ContainsFunc(d.Spec.Subnets, func(n topology.DHCPSubnet) bool { return n.Server == a.TargetIP && n.Server != n.Router }) {
		return false
	}
	s.notInstallable("ARP")
	at := len(s.res.arena)
	s.originate(s.built(packet.AppendARPReply(s.res.arena, &a, d.MAC), at), p.ID, OriginARP)
	s.consume(h, "ARP request for the DHCP server answered")
	return true
}

// has6 reports whether the resource has anything for DHCPv6 hosts.
func has6(d *topology.DHCP) bool {
	if d.First(true) != nil {
		return true
	}
	for _, a := range d.Spec.DNS {
		if a.Is6() {
			return true
		}
	}
	return false
}

// udpPayload returns what the packet's UDP datagram holds; nil if lengths or checksums are wrong.
func (s *Simulator) udpPayload() []byte {
	f := s.f
	whole := f.IPPacket()
	if len(whole) != f.IPLen() || !f.ChecksumOK() {
		return nil
	}
	u := whole[f.L4-f.L3:]
	if len(u) < packet.UDPLen {
		return nil
	}
	n := int(u[4])<<8 | int(u[5])
	if n <= packet.UDPLen || n > len(u) {
		return nil
	}
	none := u[6] == 0 && u[7] == 0 // IPv4 has datagrams without checksum (RFC 768), IPv6 has not (RFC 8200)
	if none && f.Is6() || !none && packet.PseudoSum(f.SrcAddr(), f.DstAddr(), packet.ProtoUDP, n).Add(u[:n]).Fold() != 0 {
		return nil
	}
	return u[packet.UDPLen:n]
}

// wish returns the address that a client may be given before others: the one reserved for it, or else the one it asks for, if that is to be had at all.
func (c *dhcpClient) wish(asked netip.Addr) netip.Addr {
	if fixed, ok := c.d.Fixed(c.h.src, c.v6); ok {
		return fixed
	}
	if asked.IsValid() && c.d.Assignable(c.h.src, asked) {
		return asked
	}
	return netip.Addr{}
}

// lookUp has the client's leases read, unless they came in. It reports whether they did. search: a free address is wanted if need be.
func (s *Simulator) lookUp(c *dhcpClient, wish netip.Addr, search bool) bool {
	if s.leases.Read {
		return true
	}
	if !wish.IsValid() {
		wish = netip.IPv4Unspecified()
		if c.v6 {
			wish = netip.IPv6Unspecified()
		}
	}
	s.effect(Effect{Kind: ReadLease, Device: c.d.ID, Port: c.p.ID, MAC: c.h.src, Addr: wish, Search: search})
	if s.res.Trace != nil {
		s.res.Trace.add(s, c.h, "… waits for what "+c.d.String()+" has leased to "+c.h.src.String())
	}
	s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Incomplete})
	return false
}

// pickLease chooses an address for a client: the reserved one, or what it has, or its wish, or any. Invalid: there is none.
func (s *Simulator) pickLease(c *dhcpClient, wish netip.Addr) netip.Addr {
	l := &s.leases
	held := l.Held.IsValid() && c.d.Assignable(c.h.src, l.Held)
	_, fixed := c.d.Fixed(c.h.src, c.v6)
	switch {
	case held:
		return l.Held
	case l.Full && !fixed:
		return netip.Addr{}
	case wish.IsValid() && l.WishFree:
		return wish
	case fixed:
		return netip.Addr{}
	}
	return l.Free
}

// may reports whether a client may have the very address that it wants.
func (s *Simulator) may(c *dhcpClient, addr netip.Addr) bool {
	if !addr.IsValid() || !c.d.Assignable(c.h.src, addr) {
		return false
	}
	_, fixed := c.d.Fixed(c.h.src, c.v6)
	return s.leases.Held == addr || s.leases.WishFree && (fixed || !s.leases.Full || s.leases.Held.IsValid())
}

// lease has an address stored for a client before the answer leaves.
func (s *Simulator) lease(c *dhcpClient, kind EffectKind, addr netip.Addr) {
	s.effect(Effect{Kind: kind, Device: c.d.ID, Port: c.p.ID, MAC: c.h.src, Addr: addr})
}

// answer originates a datagram to the client, out of the vport that it is at.
func (s *Simulator) answer(c *dhcpClient, u *packet.UDP, what string) {
	u.SrcMAC = c.d.MAC
	n := len(s.res.arena)
	s.originate(s.built(packet.AppendUDP(s.res.arena, u), n), c.p.ID, OriginDHCP)
	s.consume(c.h, what)
}

// MTU that hosts are told: what the resource says, or what the vport can carry, whichever is less.
func (c *dhcpClient) mtu() uint16 {
	if m := c.d.Spec.MTU; m != 0 && m < c.p.MTU {
		return m
	}
	return c.p.MTU
}

// of returns the addresses of an IP version, as the codec wants them.
func of(all []netip.Addr, v6 bool) (out [][]byte) {
	for _, a := range all {
		if a.Is6() == v6 {
			out = append(out, a.AsSlice())
		}
	}
	return out
}

// leaseText is for traces.
func leaseText(what string, addr netip.Addr, t time.Duration) string {
	return what + " " + addr.String() + " for " + strconv.Itoa(int(t/time.Second)) + " s"
}
