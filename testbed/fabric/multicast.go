package fabric

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/packet"
)

// members are the multicast groups that the edge at a link wants: what a router keeps by IGMP and MLD. They do not expire; a link that was down has forgotten them, and asks.
type members struct {
	mu     sync.RWMutex
	groups map[netip.Addr]struct{}
}

func (m *members) has(group netip.Addr) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, wanted := m.groups[group]
	return wanted
}

func (m *members) set(group netip.Addr, wanted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wanted {
		m.groups[group] = struct{}{}
	} else {
		delete(m.groups, group)
	}
}

func (m *members) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.groups)
}

// Members are the multicast groups that the edge at the link wants.
func (p *Port) Members() []netip.Addr {
	p.members.mu.RLock()
	defer p.members.mu.RUnlock()
	var all []netip.Addr
	for g := range p.members.groups {
		all = append(all, g)
	}
	return all
}

// isReport tells whether a frame may be a report of IGMP or MLD: these have options that have routers look at them.
func isReport(f *packet.Frame) bool {
	return f.Is4() && f.Proto == packet.ProtoIGMP || f.Is6() && f.Proto == packet.ProtoHopByHop
}

// report takes a report. It is decoded by gopacket: an implementation other than the one that built it.
func (p *Port) report(frame []byte) {
	decoded := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	known := false
	member := func(group []byte, wanted bool) {
		if a, ok := netip.AddrFromSlice(group); ok && a.Unmap().IsMulticast() {
			known = true
			p.members.set(a.Unmap(), wanted)
		}
	}
	for _, l := range decoded.Layers() {
		switch m := l.(type) {
		case *layers.IGMP:
			for _, r := range m.GroupRecords {
				member(r.MulticastAddress, r.Type == layers.IGMPIsEx || r.Type == layers.IGMPToEx)
			}
		case *layers.IGMPv1or2:
			if m.Type == layers.IGMPMembershipReportV2 || m.Type == layers.IGMPLeaveGroup {
				member(m.GroupAddress, m.Type == layers.IGMPMembershipReportV2)
			}
		case *layers.MLDv1MulticastListenerReportMessage:
			member(m.MulticastAddress, true)
		case *layers.MLDv1MulticastListenerDoneMessage:
			member(m.MulticastAddress, false)
		case *layers.MLDv2MulticastListenerReportMessage:
			for _, r := range m.MulticastAddressRecords {
				member(r.MulticastAddress, r.RecordType == layers.MLDv2MulticastAddressRecordTypeModeIsExcluded || r.RecordType == layers.MLDv2MulticastAddressRecordTypeChangeToExcludeMode)
			}
		}
	}
	if known {
		p.fabric.counters.local.Add(1)
	} else {
		p.fabric.counters.foreign.Add(1)
	}
}

// ask asks the edge at the link which groups it wants, by IGMPv3 (RFC 3376 section 4.1) and MLDv2 (RFC 3810 section 5.1), within a second.
func (p *Port) ask() {
	all := netip.AddrFrom4([4]byte{224, 0, 0, 1})
	igmp := []byte{0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0}
	binary.BigEndian.PutUint16(igmp[2:], packet.Checksum(igmp))
	p.sendBuilt(&layers.Ethernet{SrcMAC: p.GatewayMAC[:], DstMAC: bytes.Clone(mac(all)), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 1, TOS: 0xc0, Protocol: layers.IPProtocolIGMP, SrcIP: p.Gateway4.AsSlice(), DstIP: all.AsSlice(),
			Options: []layers.IPv4Option{{OptionType: 0x94, OptionLength: 4, OptionData: []byte{0, 0}}}},
		gopacket.Payload(igmp))
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolIPv6HopByHop, HopLimit: 1, SrcIP: packet.LinkLocal(p.GatewayMAC).AsSlice(), DstIP: packet.AllNodes().AsSlice()}
	hop := &layers.IPv6HopByHop{}
	hop.NextHeader = layers.IPProtocolICMPv6
	hop.Options = []*layers.IPv6HopByHopOption{{OptionType: 5, OptionLength: 2, OptionData: []byte{0, 0}}, {OptionType: 1, OptionData: []byte{}}}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeMLDv1MulticastListenerQueryMessage, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return
	}
	p.sendBuilt(&layers.Ethernet{SrcMAC: p.GatewayMAC[:], DstMAC: mac(packet.AllNodes()), EthernetType: layers.EthernetTypeIPv6}, ip, hop, icmp,
		&layers.MLDv2MulticastListenerQueryMessage{MaximumResponseCode: 1000, MulticastAddress: netip.IPv6Unspecified().AsSlice(), QueriersRobustnessVariable: 2, QueriersQueryIntervalCode: 125})
}

func mac(group netip.Addr) []byte {
	m := packet.MulticastMAC(group)
	return m[:]
}

func (p *Port) sendBuilt(all ...gopacket.SerializableLayer) {
	b := gopacket.NewSerializeBuffer()
	if gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...) == nil {
		p.send(b.Bytes())
	}
}

// spread sends a packet for a multicast group to every other link whose edge wants it.
func (p *Port) spread(f *packet.Frame) {
	c := &p.fabric.counters
	group := f.DstAddr()
	switch {
	case !forwardable(f.SrcAddr()) || !group.IsMulticast() || group.IsLinkLocalMulticast() || group.IsInterfaceLocalMulticast() || f.Dst() != packet.MulticastMAC(group):
		c.foreign.Add(1)
		return
	case f.TTL() <= 1:
		c.ttlExceeded.Add(1) // no router complains of multicast (RFC 1812 section 4.3.2.7)
		return
	}
	whole := f.Data[:f.L3+f.IPLen()]
	decremented := false
	for _, to := range p.fabric.links() {
		if to == p || !to.members.has(group) {
			continue
		}
		if f.IPLen() > to.MTU {
			c.tooBig.Add(1)
			continue
		}
		if !decremented {
			rewrite(f, to.GatewayMAC)
			decremented = true
		}
		copy(whole[6:], to.GatewayMAC[:])
		to.send(whole)
		c.multicast.Add(1)
	}
}
