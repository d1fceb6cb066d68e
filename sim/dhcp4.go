package sim

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Lengths of DHCPv4 messages (RFC 2131 section 2): the least that every host takes, as an IP packet, and all of it that is not options.
const (
	dhcp4Least = 576
	dhcp4Fixed = packet.IPv4Len + packet.UDPLen + 240
)

// optMSRoutes is the number by which older hosts ask for classless routes.
const optMSRoutes = 249

// dhcp4 takes a DHCPv4 message (RFC 2131). It reports false for what is not of a client: ordinary traffic.
func (s *Simulator) dhcp4(c *dhcpClient, body []byte) bool {
	if body[0] != byte(dhcpv4.OpcodeBootRequest) || len(body) >= 28 && binary.BigEndian.Uint32(body[24:]) != 0 { // giaddr: a relay's
		return false
	}
	m, err := dhcpv4.FromBytes(body)
	switch {
	case err != nil || m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6:
		s.drop(c.h, DropMalformed, false)
		return true
	case !bytes.Equal(m.ClientHWAddr, c.h.src[:]):
		s.drop(c.h, DropSpoofed, false)
		return true
	}
	sid := m.Options.Get(dhcpv4.OptionServerIdentifier)
	if sid != nil && !c.serves(addr4(sid)) {
		s.drop(c.h, DropOtherServer, false)
		return true
	}
	asked, own := addr4(m.Options.Get(dhcpv4.OptionRequestedIPAddress)), addr4(m.ClientIPAddr)
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		s.discover(c, m, asked)
	case dhcpv4.MessageTypeRequest:
		if !asked.IsValid() {
			asked = own
		}
		s.request(c, m, asked)
	case dhcpv4.MessageTypeDecline:
		s.endLease(c, DeclineLease, asked)
	case dhcpv4.MessageTypeRelease:
		s.endLease(c, ReleaseLease, own)
	case dhcpv4.MessageTypeInform:
		s.inform(c, m, own)
	default:
		s.drop(c.h, DropMalformed, false)
	}
	return true
}

// addr4 reads an IPv4 address; invalid if there is none.
func addr4(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	if a = a.Unmap(); !a.Is4() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// serves reports whether an address is one that the resource answers from.
func (c *dhcpClient) serves(a netip.Addr) bool {
	return slices.ContainsFunc(c.d.Spec.Subnets, func(n topology.DHCPSubnet) bool { return a.IsValid() && n.ServerAddr() == a })
}

// discover offers an address.
func (s *Simulator) discover(c *dhcpClient, m *dhcpv4.DHCPv4, asked netip.Addr) {
	wish := c.wish(asked)
	if !s.lookUp(c, wish, true) {
		return
	}
	addr := s.pickLease(c, wish)
	if !addr.IsValid() {
		s.drop(c.h, DropNoLease, false)
		return
	}
	if !s.leases.Bound || addr != s.leases.Held {
		s.lease(c, OfferLease, addr)
	}
	s.answer4(c, m, dhcpv4.MessageTypeOffer, addr, leaseText("offers", addr, c.d.LeaseTime()))
}

// request gives the address that was offered, or that the host has or had: selecting, init-reboot, renewing and rebinding are alike, since nobody but the
// resource answers at the vport. What the host must not have is refused at once.
func (s *Simulator) request(c *dhcpClient, m *dhcpv4.DHCPv4, asked netip.Addr) {
	if !asked.IsValid() {
		s.drop(c.h, DropMalformed, false)
		return
	}
	if c.d.Assignable(c.h.src, asked) {
		if !s.lookUp(c, asked, false) {
			return
		}
		if s.may(c, asked) {
			s.lease(c, BindLease, asked)
			s.answer4(c, m, dhcpv4.MessageTypeAck, asked, leaseText("leases", asked, c.d.LeaseTime()))
			return
		}
	}
	s.answer4(c, m, dhcpv4.MessageTypeNak, netip.Addr{}, "refuses "+asked.String())
}

// endLease takes an address back. There is no answer.
func (s *Simulator) endLease(c *dhcpClient, kind EffectKind, addr netip.Addr) {
	if !addr.IsValid() {
		s.drop(c.h, DropMalformed, false)
		return
	}
	s.lease(c, kind, addr)
	s.consume(c.h, "DHCP: "+addr.String()+" is given back")
}

// inform tells a host that has an address the rest.
func (s *Simulator) inform(c *dhcpClient, m *dhcpv4.DHCPv4, own netip.Addr) {
	if !own.IsValid() {
		s.drop(c.h, DropMalformed, false)
		return
	}
	s.answer4(c, m, dhcpv4.MessageTypeAck, netip.Addr{}, "informs "+own.String())
}

// answer4 builds a reply (RFC 2131 section 4.3.1, table 3) and sends it to where the host can hear it (section 4.1).
func (s *Simulator) answer4(c *dhcpClient, m *dhcpv4.DHCPv4, t dhcpv4.MessageType, your netip.Addr, what string) {
	about := your
	if !about.IsValid() {
		about = addr4(m.ClientIPAddr)
	}
	subnet := c.d.Subnet(about)
	if subnet == nil || !subnet.ServerAddr().IsValid() {
		subnet = c.d.First(false)
	}
	r := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, TransactionID: m.TransactionID, Flags: m.Flags, ClientHWAddr: m.ClientHWAddr, Options: dhcpv4.Options{},
	}
	set := func(o dhcpv4.Option) { r.Options.Update(o) }
	set(dhcpv4.OptMessageType(t))
	set(dhcpv4.OptServerIdentifier(subnet.ServerAddr().AsSlice()))
	if id := m.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		set(dhcpv4.OptClientIdentifier(id)) // RFC 6842
	}
	u := &packet.UDP{DstMAC: c.h.src, Src: subnet.ServerAddr(), SrcPort: dhcp4Server, DstPort: dhcp4Client}
	if t == dhcpv4.MessageTypeNak {
		set(dhcpv4.OptMessage("not an address of yours"))
		r.Flags |= 0x8000
	} else {
		r.ClientIPAddr = m.ClientIPAddr
		if your.IsValid() {
			r.YourIPAddr = your.AsSlice()
			c.leaseTimes4(r)
		}
		c.options4(r, m, subnet)
	}
	u.Dst = addr4(r.ClientIPAddr)
	switch {
	case u.Dst.IsValid():
	case r.IsBroadcast():
		u.Dst, u.DstMAC = netip.AddrFrom4([4]byte{255, 255, 255, 255}), packet.Broadcast()
	default:
		u.Dst = your
	}
	u.Payload = r.ToBytes()
	s.answer(c, u, "DHCP: "+what)
}

func (c *dhcpClient) leaseTimes4(r *dhcpv4.DHCPv4) {
	t := c.d.LeaseTime()
	r.Options.Update(dhcpv4.OptIPAddressLeaseTime(t))
	r.Options.Update(dhcpv4.OptRenewTimeValue(t / 2))
	r.Options.Update(dhcpv4.OptRebindingTimeValue((t * 7 / 8).Truncate(time.Second)))
}

// options4 adds what the resource says, as far as the host takes it: what it asked for first.
func (c *dhcpClient) options4(r, m *dhcpv4.DHCPv4, n *topology.DHCPSubnet) {
	most := dhcp4Least
	if size := m.Options.Get(dhcpv4.OptionMaximumDHCPMessageSize); len(size) == 2 {
		most = max(most, int(binary.BigEndian.Uint16(size)))
	}
	room := min(most, int(c.p.MTU)) - dhcp4Fixed - len(r.Options.ToBytes()) - 1 // the end
	all := c.allOptions4(n)
	take := func(code uint8) {
		v, ok := all[code]
		delete(all, code)
		if size := 2 + len(v) + 2*(len(v)/256); ok && size <= room {
			room -= size
			r.Options[code] = v
		}
	}
	take(dhcpv4.OptionSubnetMask.Code())
	take(dhcpv4.OptionInterfaceMTU.Code())
	for _, code := range m.ParameterRequestList() {
		if code.Code() == optMSRoutes {
			if v, ok := all[dhcpv4.OptionClasslessStaticRoute.Code()]; ok {
				all[optMSRoutes] = v
			}
		}
		take(code.Code())
	}
	for code := range 255 {
		take(uint8(code))
	}
}

// allOptions4 are the options of the resource by number, as they are sent.
func (c *dhcpClient) allOptions4(n *topology.DHCPSubnet) map[uint8][]byte {
	spec, all := c.d.Spec, map[uint8][]byte{}
	set := func(o dhcpv4.Option) { all[o.Code.Code()] = o.Value.ToBytes() }
	set(dhcpv4.OptSubnetMask(net.CIDRMask(n.Prefix.Bits(), 32)))
	all[dhcpv4.OptionInterfaceMTU.Code()] = binary.BigEndian.AppendUint16(nil, c.mtu())
	if n.Router.IsValid() {
		set(dhcpv4.OptRouter(n.Router.AsSlice()))
	}
	list := func(code dhcpv4.OptionCode, addrs []netip.Addr) {
		if b := bytes.Join(of(addrs, false), nil); len(b) > 0 {
			all[code.Code()] = b
		}
	}
	list(dhcpv4.OptionDomainNameServer, spec.DNS)
	list(dhcpv4.OptionNTPServers, spec.NTP)
	if spec.Domain != "" {
		set(dhcpv4.OptDomainName(spec.Domain))
	}
	if res := c.d.Reservation(c.h.src); res != nil && res.Hostname != "" {
		set(dhcpv4.OptHostName(res.Hostname))
	}
	if routes := classless(n); len(routes) > 0 {
		set(dhcpv4.OptClasslessStaticRoute(routes...))
	}
	for i := range spec.Options {
		if o := &spec.Options[i]; o.Family != "v6" {
			if b, err := o.Bytes(); err == nil {
				all[uint8(o.Code)] = b
			}
		}
	}
	return all
}

// classless are the routes of a subnet. A host that gets any ignores the router option (RFC 3442), so the default route is among them.
func classless(n *topology.DHCPSubnet) []*dhcpv4.Route {
	var routes []*dhcpv4.Route
	add := func(dst netip.Prefix, via netip.Addr) {
		routes = append(routes, &dhcpv4.Route{Dest: &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), 32)}, Router: via.AsSlice()})
	}
	byRouter := n.Router.IsValid() && len(n.Routes) > 0
	for _, r := range n.Routes {
		add(r.Dst, r.Via)
		byRouter = byRouter && r.Dst.Bits() > 0
	}
	if byRouter {
		add(netip.PrefixFrom(netip.IPv4Unspecified(), 0), n.Router)
	}
	return routes
}
