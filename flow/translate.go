package flow

import (
	"encoding/binary"
	"fmt"

	"github.com/weft-sdn/weft/packet"
)

// translate changes addresses, ports or echo identifier, and the checksums over them, as egress.nat_v4 and nat_v6 do. A checksum is updated, not computed
// (RFC 1624 equation 3): that of a fragment is right for the whole, and a wrong one stays wrong. Where there is no L4 header, or none that is known here,
// only addresses change.
func (r *Rewrite) translate(frame []byte, f *packet.Frame) {
	var addrs []byte
	switch {
	case f.Is4():
		addrs = frame[f.L3+12 : f.L3+20]
	case f.Is6():
		addrs = frame[f.L3+8 : f.L3+40]
	default:
		return
	}
	n := len(addrs) / 2
	before := packet.Checksum(addrs)
	copy(addrs[:n], r.Src[len(r.Src)-n:])
	copy(addrs[n:], r.Dst[len(r.Dst)-n:])
	after := packet.Checksum(addrs)
	if f.Is4() {
		updateChecksum(frame[f.L3+10:], ^before, ^after)
	}
	if f.L4 == 0 {
		return
	}
	l4 := frame[f.L4:]
	switch {
	case f.Proto == packet.ProtoTCP:
		updateChecksum(l4[16:], ^before, ^after)
		replaceWord(l4, l4[16:], r.SrcPort)
		replaceWord(l4[2:], l4[16:], r.DstPort)
	case f.Proto == packet.ProtoUDP:
		r.translateUDP(l4, before, after)
	case f.IsICMP():
		if f.Is6() { // ICMP has no pseudo header
			updateChecksum(l4[2:], ^before, ^after)
		}
		if hasIdentifier(f) {
			replaceWord(l4[4:], l4[2:], r.DstPort)
		}
	}
}

// translateUDP leaves the checksum 0, "none", alone: of IPv4 by RFC 768, of tunnels over IPv6 by RFC 6935. One that becomes 0 is sent as 0xffff.
func (r *Rewrite) translateUDP(l4 []byte, before, after uint16) {
	if l4[6] == 0 && l4[7] == 0 {
		binary.BigEndian.PutUint16(l4, r.SrcPort)
		binary.BigEndian.PutUint16(l4[2:], r.DstPort)
		return
	}
	updateChecksum(l4[6:], ^before, ^after)
	replaceWord(l4, l4[6:], r.SrcPort)
	replaceWord(l4[2:], l4[6:], r.DstPort)
	if l4[6] == 0 && l4[7] == 0 {
		l4[6], l4[7] = 0xff, 0xff
	}
}

// hasIdentifier reports whether f's DstPort is that of ICMP: by type alone, as state parse_icmp of p4src decides.
func hasIdentifier(f *packet.Frame) bool {
	switch t, _ := f.ICMPType(); t {
	case packet.ICMPEchoReply, packet.ICMPEchoRequest, packet.ICMPv6EchoRequest, packet.ICMPv6EchoReply:
		return true
	}
	return false
}

// translation is for Rewrite.String, which is not told the family: addresses of zeros but for the last 4 bytes are IPv4.
func (r *Rewrite) translation() string {
	etherType := uint16(packet.EtherTypeIPv4)
	if upper := r.Src.Or(r.Dst); [12]byte(upper[:12]) != [12]byte{} {
		etherType = packet.EtherTypeIPv6
	}
	return fmt.Sprintf("src=%v dst=%v sport=%d dport=%d", r.Src.Netip(etherType), r.Dst.Netip(etherType), r.SrcPort, r.DstPort)
}

// updateChecksum updates the checksum at the head of b after a word, or the sum of several, went from m to n.
func updateChecksum(b []byte, m, n uint16) {
	binary.BigEndian.PutUint16(b, packet.UpdateChecksum(binary.BigEndian.Uint16(b), m, n))
}

// replaceWord sets the word at the head of b, which the checksum covers.
func replaceWord(b, checksum []byte, v uint16) {
	updateChecksum(checksum, binary.BigEndian.Uint16(b), v)
	binary.BigEndian.PutUint16(b, v)
}
