package host

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// Announce tells the link where the host's addresses are, as a hypervisor does after a VM
// moved: a gratuitous ARP request (RFC 5227 §3) per IPv4 address, an unsolicited neighbour
// advertisement (RFC 4861 §7.2.6) per IPv6 address.
func (h *Host) Announce() {
	for _, addr := range h.Addrs() {
		if addr.Is4() {
			h.sendOwn(header.EthernetBroadcastAddress, arp.ProtocolNumber, gratuitousARP(h.cfg.MAC, addr.As4()))
		} else {
			h.sendOwn("\x33\x33\x00\x00\x00\x01", ipv6.ProtocolNumber, unsolicitedNA(h.cfg.MAC, addr.As16()))
		}
	}
}

// sendOwn frames a payload of the host's own making.
func (h *Host) sendOwn(dst tcpip.LinkAddress, proto tcpip.NetworkProtocolNumber, payload []byte) {
	var frame []byte
	frame = append(frame, dst...)
	frame = append(frame, h.cfg.MAC[:]...)
	if h.cfg.VLAN != 0 {
		frame = binary.BigEndian.AppendUint16(frame, 0x8100)
		frame = binary.BigEndian.AppendUint16(frame, h.cfg.VLAN)
	}
	frame = binary.BigEndian.AppendUint16(frame, uint16(proto))
	h.nic.Send(append(frame, payload...))
}

func gratuitousARP(mac [6]byte, addr [4]byte) []byte {
	packet := header.ARP(make([]byte, header.ARPSize))
	packet.SetIPv4OverEthernet()
	packet.SetOp(header.ARPRequest)
	copy(packet.HardwareAddressSender(), mac[:])
	copy(packet.ProtocolAddressSender(), addr[:])
	copy(packet.ProtocolAddressTarget(), addr[:])
	return packet
}

func unsolicitedNA(mac [6]byte, addr [16]byte) []byte {
	const optionSize = 8
	packet := make([]byte, header.IPv6MinimumSize+header.ICMPv6NeighborAdvertMinimumSize+optionSize)
	src, dst := tcpip.AddrFrom16(addr), header.IPv6AllNodesMulticastAddress
	header.IPv6(packet).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(packet) - header.IPv6MinimumSize), TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit: header.NDPHopLimit, SrcAddr: src, DstAddr: dst,
	})
	message := header.ICMPv6(packet[header.IPv6MinimumSize:])
	message.SetType(header.ICMPv6NeighborAdvert)
	advert := header.NDPNeighborAdvert(message.MessageBody())
	advert.SetOverrideFlag(true)
	advert.SetTargetAddress(src)
	advert.Options().Serialize(header.NDPOptionsSerializer{header.NDPTargetLinkLayerAddressOption(mac[:])})
	message.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: message, Src: src, Dst: dst}))
	return packet
}
