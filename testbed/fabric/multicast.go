package fabric

import (
	"net/netip"
	"sync"
	"time"

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

// ask asks the edge at the link which groups it wants, by IGMPv3 and MLDv2, within a second.
func (p *Port) ask() {
	p.send(packet.AppendGroupQuery(nil, p.GatewayMAC, p.Gateway4, packet.GroupQuery{Version: packet.IGMPv3, Within: time.Second}))
	p.send(packet.AppendGroupQuery(nil, p.GatewayMAC, packet.LinkLocal(p.GatewayMAC), packet.GroupQuery{Version: packet.MLDv2, Within: time.Second}))
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
