package sim

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// errTruncated: the options of a message do not fit in it.
var errTruncated = errors.New("truncated options")

// most6 is how many associations of a message, and addresses of each, are looked at: the answer has to fit in a packet.
const most6 = 8

// minRefresh is the least information refresh time (RFC 8415 section 21.23).
const minRefresh = 600 * time.Second

// dhcp6 takes a DHCPv6 message (RFC 8415). It reports false for what is not of a client: ordinary traffic.
func (s *Simulator) dhcp6(c *dhcpClient, body []byte) bool {
	if t := dhcpv6.MessageType(body[0]); t == dhcpv6.MessageTypeRelayForward || t == dhcpv6.MessageTypeRelayReply {
		return false
	}
	m, err := parse6(body)
	if err != nil {
		s.drop(c.h, DropMalformed, false)
		return true
	}
	if why := s.check6(c, m); why != DropNone {
		s.drop(c.h, why, false)
		return true
	}
	if !s.f.DstAddr().IsMulticast() {
		s.unicast6(c, m)
		return true
	}
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		s.solicit(c, m)
	case dhcpv6.MessageTypeRequest:
		s.request6(c, m)
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		s.renew6(c, m)
	case dhcpv6.MessageTypeConfirm:
		s.confirm6(c, m)
	case dhcpv6.MessageTypeRelease:
		s.endLease6(c, m, ReleaseLease)
	case dhcpv6.MessageTypeDecline:
		s.endLease6(c, m, DeclineLease)
	default:
		r := c.reply6(m, dhcpv6.MessageTypeReply)
		r.AddOption(dhcpv6.OptInformationRefreshTime(max(minRefresh, c.d.LeaseTime())))
		s.answer6(c, r, "informs "+c.h.src.String())
	}
	return true
}

// parse6 decodes those options of a message that decide. The codec decodes all it is given, compressed domain names too, for which a datagram can be made
// that keeps it busy for minutes: so it is given no more.
func parse6(body []byte) (*dhcpv6.Message, error) {
	if len(body) < dhcpv6.MessageHeaderSize {
		return nil, errTruncated
	}
	associations := 0
	needed, ok := pickOptions(append([]byte(nil), body[:dhcpv6.MessageHeaderSize]...), body[dhcpv6.MessageHeaderSize:], func(code dhcpv6.OptionCode, value []byte) []byte {
		switch code {
		case dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionORO, dhcpv6.OptionRapidCommit:
			return value
		case dhcpv6.OptionIANA, dhcpv6.OptionIATA, dhcpv6.OptionIAPD:
			if associations++; associations > most6 {
				return nil
			}
		}
		switch code {
		case dhcpv6.OptionIANA:
			return association6(value)
		case dhcpv6.OptionIATA:
			return value[:min(4, len(value))]
		case dhcpv6.OptionIAPD:
			return value[:min(12, len(value))]
		}
		return nil
	})
	if !ok {
		return nil, errTruncated
	}
	return dhcpv6.MessageFromBytes(needed)
}

// association6 is an identity association with its addresses alone; nil if it is malformed.
func association6(value []byte) []byte {
	if len(value) < 12 {
		return nil
	}
	addrs := 0
	out, ok := pickOptions(append([]byte(nil), value[:12]...), value[12:], func(code dhcpv6.OptionCode, value []byte) []byte {
		if code != dhcpv6.OptionIAAddr || len(value) < 24 || addrs == most6 {
			return nil
		}
		addrs++
		return value[:24]
	})
	if !ok {
		return nil
	}
	return out
}

// pickOptions appends the options of b with what is kept of each; nil: nothing. It reports whether b is whole.
func pickOptions(out, b []byte, keep func(code dhcpv6.OptionCode, value []byte) []byte) ([]byte, bool) {
	for len(b) > 0 {
		if len(b) < 4 {
			return out, false
		}
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; n > len(b) {
			return out, false
		}
		if v := keep(dhcpv6.OptionCode(code), b[:n:n]); v != nil {
			out = binary.BigEndian.AppendUint16(out, code)
			out = binary.BigEndian.AppendUint16(out, uint16(len(v)))
			out = append(out, v...)
		}
		b = b[n:]
	}
	return out, true
}

// check6 checks a message as RFC 8415 section 16 asks.
func (s *Simulator) check6(c *dhcpClient, m *dhcpv6.Message) DropReason {
	src := s.f.SrcAddr()
	server := m.Options.ServerID()
	named := false // it is for one server
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		if server != nil {
			return DropMalformed
		}
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		named = true
	case dhcpv6.MessageTypeInformationRequest:
		if len(m.Options.IANA())+len(m.Options.IATA())+len(m.Options.IAPD()) > 0 {
			return DropMalformed
		}
	default:
		return DropMalformed // what servers send
	}
	switch {
	case m.Options.ClientID() == nil && m.MessageType != dhcpv6.MessageTypeInformationRequest, named && server == nil:
		return DropMalformed
	case server != nil && !server.Equal(c.duid()):
		return DropOtherServer
	case src.IsMulticast() || src.IsUnspecified():
		return DropSpoofed
	case s.f.DstAddr().IsMulticast() && !src.IsLinkLocalUnicast():
		return DropSpoofed
	case !s.f.DstAddr().IsMulticast() && !named:
		return DropMalformed
	}
	return DropNone
}

// duid is how the resource names itself, at every edge alike.
func (c *dhcpClient) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: c.d.MAC[:]}
}

// solicit offers an address, or leases it at once if the host wants that (rapid commit).
func (s *Simulator) solicit(c *dhcpClient, m *dhcpv6.Message) {
	addr, ok := s.pick6(c, m)
	if !ok {
		return
	}
	t, text := dhcpv6.MessageTypeAdvertise, "offers"
	rapid := addr.IsValid() && m.GetOneOption(dhcpv6.OptionRapidCommit) != nil
	switch {
	case rapid:
		t, text = dhcpv6.MessageTypeReply, "leases"
		s.lease(c, BindLease, addr)
	case addr.IsValid() && !(s.leases.Bound && s.leases.Held == addr):
		s.lease(c, OfferLease, addr)
	}
	r := c.reply6(m, t)
	if rapid {
		r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	}
	s.give6(c, m, r, addr, text)
}

// request6 leases an address: the one that was offered, if nothing has come between.
func (s *Simulator) request6(c *dhcpClient, m *dhcpv6.Message) {
	addr, ok := s.pick6(c, m)
	if !ok {
		return
	}
	if addr.IsValid() {
		s.lease(c, BindLease, addr)
	}
	s.give6(c, m, c.reply6(m, dhcpv6.MessageTypeReply), addr, "leases")
}

// pick6 picks an address for the first identity association. ok: what it depends on was known.
func (s *Simulator) pick6(c *dhcpClient, m *dhcpv6.Message) (addr netip.Addr, ok bool) {
	ia := m.Options.OneIANA()
	if ia == nil {
		return netip.Addr{}, true
	}
	var asked netip.Addr
	if a := addrs6(ia); len(a) > 0 {
		asked = a[0]
	}
	wish := c.wish(asked)
	if !s.lookUp(c, wish, true) {
		return netip.Addr{}, false
	}
	return s.pickLease(c, wish), true
}

// addrs6 are the addresses in an identity association.
func addrs6(ia *dhcpv6.OptIANA) []netip.Addr {
	var out []netip.Addr
	for _, a := range ia.Options.Addresses() {
		if addr, ok := netip.AddrFromSlice(a.IPv6Addr); ok {
			out = append(out, addr)
		}
	}
	return out
}

// give6 answers with an address for the first identity association; invalid: none is left. There is one address for a MAC, no temporary ones and no prefixes.
func (s *Simulator) give6(c *dhcpClient, m, r *dhcpv6.Message, addr netip.Addr, text string) {
	for i, ia := range m.Options.IANA() {
		if i == 0 && addr.IsValid() {
			r.AddOption(c.association(ia, addr))
			continue
		}
		r.AddOption(&dhcpv6.OptIANA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{status6(iana.StatusNoAddrsAvail)}}})
	}
	c.others6(m, r)
	what := "has no address for " + c.h.src.String()
	if addr.IsValid() {
		what = leaseText(text, addr, c.d.LeaseTime())
	}
	s.answer6(c, r, what)
}

// association is an identity association with an address and its times (RFC 8415 section 21.4: T1 and T2 are 0.5 and 0.8 of the lifetime).
func (c *dhcpClient) association(ia *dhcpv6.OptIANA, addr netip.Addr) *dhcpv6.OptIANA {
	t := c.d.LeaseTime()
	o := &dhcpv6.OptIANA{IaId: ia.IaId, T1: t / 2, T2: (t * 4 / 5).Truncate(time.Second)}
	o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: addr.AsSlice(), PreferredLifetime: t, ValidLifetime: t})
	return o
}

// others6 answers associations of kinds that the resource has nothing for.
func (c *dhcpClient) others6(m, r *dhcpv6.Message) {
	for _, ia := range m.Options.IATA() {
		r.AddOption(&dhcpv6.OptIATA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{status6(iana.StatusNoAddrsAvail)}}})
	}
	for _, ia := range m.Options.IAPD() {
		r.AddOption(&dhcpv6.OptIAPD{IaId: ia.IaId, Options: dhcpv6.PDOptions{Options: dhcpv6.Options{status6(iana.StatusNoPrefixAvail)}}})
	}
}

func status6(code iana.StatusCode) *dhcpv6.OptStatusCode {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: code.String()}
}

// renew6 prolongs what a host has; an address that is not to be its own any more gets lifetimes of zero (RFC 8415 sections 18.3.4, 18.3.5).
func (s *Simulator) renew6(c *dhcpClient, m *dhcpv6.Message) {
	var wanted netip.Addr
	if ia := m.Options.OneIANA(); ia != nil {
		for _, a := range addrs6(ia) {
			if c.d.Assignable(c.h.src, a) {
				wanted = a
				break
			}
		}
	}
	if wanted.IsValid() {
		if !s.lookUp(c, wanted, false) {
			return
		}
		if !s.may(c, wanted) {
			wanted = netip.Addr{}
		}
	}
	r := c.reply6(m, dhcpv6.MessageTypeReply)
	for i, ia := range m.Options.IANA() {
		o := &dhcpv6.OptIANA{IaId: ia.IaId}
		kept := i == 0 && wanted.IsValid()
		if kept {
			o = c.association(ia, wanted)
		} else {
			o.Options.Add(status6(iana.StatusNoBinding))
		}
		for _, a := range addrs6(ia) {
			if !kept || a != wanted {
				o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice()})
			}
		}
		r.AddOption(o)
	}
	c.others6(m, r)
	what := "has nothing to prolong for " + c.h.src.String()
	if wanted.IsValid() {
		s.lease(c, BindLease, wanted)
		what = leaseText("leases", wanted, c.d.LeaseTime())
	}
	s.answer6(c, r, what)
}

// confirm6 tells a host whether its addresses fit the link (RFC 8415 section 18.3.3).
func (s *Simulator) confirm6(c *dhcpClient, m *dhcpv6.Message) {
	code, n := iana.StatusSuccess, 0
	for _, ia := range m.Options.IANA() {
		for _, a := range addrs6(ia) {
			n++
			if c.d.Subnet(a) == nil {
				code = iana.StatusNotOnLink
			}
		}
	}
	if n == 0 {
		s.drop(c.h, DropMalformed, false)
		return
	}
	r := c.reply6(m, dhcpv6.MessageTypeReply)
	r.AddOption(status6(code))
	s.answer6(c, r, "confirms: "+code.String())
}

// endLease6 takes an address back: of those that the message names the one that the client can have.
func (s *Simulator) endLease6(c *dhcpClient, m *dhcpv6.Message, kind EffectKind) {
	r := c.reply6(m, dhcpv6.MessageTypeReply)
	r.AddOption(status6(iana.StatusSuccess))
	what := "has nothing to take back from " + c.h.src.String()
	taken := false
	for _, ia := range m.Options.IANA() {
		for _, a := range addrs6(ia) {
			if !taken && c.d.Subnet(a) != nil {
				taken = true
				s.lease(c, kind, a)
				what = a.String() + " is given back"
			}
		}
		if !taken {
			r.AddOption(&dhcpv6.OptIANA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{status6(iana.StatusNoBinding)}}})
		}
	}
	s.answer6(c, r, what)
}

// unicast6 tells a host to use multicast: it was not told that unicast would do (RFC 8415 section 18.4).
func (s *Simulator) unicast6(c *dhcpClient, m *dhcpv6.Message) {
	r := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: m.TransactionID}
	r.AddOption(dhcpv6.OptClientID(m.Options.ClientID()))
	r.AddOption(dhcpv6.OptServerID(c.duid()))
	r.AddOption(status6(iana.StatusUseMulticast))
	s.answer6(c, r, "asks for multicast")
}

// reply6 begins an answer: who speaks to whom, and what the resource tells every host.
func (c *dhcpClient) reply6(m *dhcpv6.Message, t dhcpv6.MessageType) *dhcpv6.Message {
	r := &dhcpv6.Message{MessageType: t, TransactionID: m.TransactionID}
	if id := m.Options.ClientID(); id != nil {
		r.AddOption(dhcpv6.OptClientID(id))
	}
	r.AddOption(dhcpv6.OptServerID(c.duid()))
	switch m.MessageType {
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeConfirm:
		return r
	}
	spec := c.d.Spec
	ips := func(all []netip.Addr) (out []net.IP) {
		for _, b := range of(all, true) {
			out = append(out, b)
		}
		return out
	}
	if dns := ips(spec.DNS); len(dns) > 0 {
		r.AddOption(dhcpv6.OptDNS(dns...))
	}
	if spec.Domain != "" {
		r.AddOption(dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{spec.Domain}}))
	}
	if ntp := ips(spec.NTP); len(ntp) > 0 {
		o := new(dhcpv6.OptNTPServer)
		for _, ip := range ntp {
			a := dhcpv6.NTPSuboptionSrvAddr(ip)
			o.Suboptions.Add(&a)
		}
		r.AddOption(o)
		if m.IsOptionRequested(dhcpv6.OptionSNTPServerList) {
			r.AddOption(dhcpv6.OptSNTP(ntp...))
		}
	}
	for i := range spec.Options {
		if o := &spec.Options[i]; o.Family == "v6" {
			if b, err := o.Bytes(); err == nil {
				r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionCode(o.Code), OptionData: b})
			}
		}
	}
	return r
}

// answer6 sends an answer from the resource's link-local address to the host's.
func (s *Simulator) answer6(c *dhcpClient, r *dhcpv6.Message, what string) {
	s.answer(c, &packet.UDP{
		DstMAC: c.h.src, Src: topology.LinkLocal(c.d.MAC), Dst: s.f.SrcAddr(), SrcPort: dhcp6Server, DstPort: dhcp6Client, Payload: r.ToBytes(),
	}, "DHCPv6: "+what)
}
