package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ARP operations.
const (
	ARPRequest = 1
	ARPReply   = 2
)

const arpLen = 28

// ARP is an ARP message for IPv4 over Ethernet (RFC 826). Addresses are IPv4.
type ARP struct {
	Op        uint16
	SenderMAC MAC
	SenderIP  netip.Addr // 0.0.0.0 in a probe (RFC 5227)
	TargetMAC MAC        // unset in a request
	TargetIP  netip.Addr
}

// Gratuitous reports whether the message announces its sender's address (RFC 5227 section 3).
func (a *ARP) Gratuitous() bool { return a.SenderIP == a.TargetIP }

// Probe reports whether the message asks for its sender's own future address (RFC 5227 section 2.1.1): its sender is not to be learnt.
func (a *ARP) Probe() bool { return a.Op == ARPRequest && a.SenderIP.IsUnspecified() }

// ARP returns the frame's ARP message. It is checked: hardware and protocol type, lengths, operation, a sender that is one station.
func (f *Frame) ARP() (ARP, error) {
	if f.EtherType != EtherTypeARP {
		return ARP{}, ErrNotARP
	}
	b := f.Data[f.L2Len():]
	if len(b) < arpLen {
		return ARP{}, fmt.Errorf("ARP of %d bytes: %w", len(b), ErrTruncated)
	}
	if binary.BigEndian.Uint64(b)>>16 != 0x0001_0800_06_04 {
		return ARP{}, ErrNotARP
	}
	a := ARP{
		Op:        binary.BigEndian.Uint16(b[6:]),
		SenderMAC: MAC(b[8:]),
		SenderIP:  netip.AddrFrom4([4]byte(b[14:])),
		TargetMAC: MAC(b[18:]),
		TargetIP:  netip.AddrFrom4([4]byte(b[24:])),
	}
	if a.Op != ARPRequest && a.Op != ARPReply {
		return ARP{}, fmt.Errorf("ARP operation %d: %w", a.Op, ErrInvalid)
	}
	if !a.SenderMAC.IsUnicast() {
		return ARP{}, fmt.Errorf("ARP sender MAC %v: %w", a.SenderMAC, ErrInvalid)
	}
	if notHost4(a.SenderIP) {
		return ARP{}, fmt.Errorf("ARP sender address %v: %w", a.SenderIP, ErrInvalid)
	}
	return a, nil
}

// notHost4 reports whether a can't be a station's address nor unspecified: multicast, class E, limited broadcast.
func notHost4(a netip.Addr) bool { return a.As4()[0] >= 224 }

// AppendARP appends a frame to dst with the message. IP addresses must be IPv4.
func AppendARP(b []byte, dst MAC, a *ARP) []byte {
	b = appendEthernet(b, dst, a.SenderMAC, EtherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, byte(a.Op>>8), byte(a.Op))
	sender, target := a.SenderIP.As4(), a.TargetIP.As4()
	b = append(b, a.SenderMAC[:]...)
	b = append(b, sender[:]...)
	b = append(b, a.TargetMAC[:]...)
	return append(b, target[:]...)
}

// AppendARPRequest appends a broadcast frame in which (mac, ip) asks who has target. With target = ip it is an announcement; with ip = 0.0.0.0 a probe.
func AppendARPRequest(b []byte, mac MAC, ip, target netip.Addr) []byte {
	return AppendARP(b, Broadcast(), &ARP{Op: ARPRequest, SenderMAC: mac, SenderIP: ip, TargetIP: target})
}

// AppendARPReply appends the answer to request q: q.TargetIP is at mac.
func AppendARPReply(b []byte, q *ARP, mac MAC) []byte {
	return AppendARP(b, q.SenderMAC, &ARP{Op: ARPReply, SenderMAC: mac, SenderIP: q.TargetIP, TargetMAC: q.SenderMAC, TargetIP: q.SenderIP})
}
