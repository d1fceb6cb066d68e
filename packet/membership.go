package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Membership is a version of the protocol by which a host tells the routers and switches of its link which multicast groups it wants.
type Membership uint8

// Versions: RFC 2236, RFC 3376, RFC 2710, RFC 3810.
const (
	IGMPv2 Membership = iota + 1
	IGMPv3
	MLDv1
	MLDv2
)

func (m Membership) String() string {
	return [...]string{IGMPv2: "IGMPv2", IGMPv3: "IGMPv3", MLDv1: "MLDv1", MLDv2: "MLDv2"}[m]
}

// Old reports whether reports of the version name one group each.
func (m Membership) Old() bool { return m == IGMPv2 || m == MLDv1 }

// Message types.
const (
	igmpQuery    = 0x11
	igmpV2Report = 0x16
	igmpV2Leave  = 0x17
	igmpV3Report = 0x22
	mldQuery     = 130
	mldV1Report  = 131
	mldV1Done    = 132
	mldV2Report  = 143
)

// RecordType says what a record of a report tells of its group, from any source (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
type RecordType uint8

// Types of records.
const (
	IsMember RecordType = 2 // MODE_IS_EXCLUDE {}: answers a query
	Leaves   RecordType = 3 // CHANGE_TO_INCLUDE_MODE {}
	Joins    RecordType = 4 // CHANGE_TO_EXCLUDE_MODE {}
)

// GroupRecord is what a report tells of one group.
type GroupRecord struct {
	Type  RecordType
	Group netip.Addr
}

// Groups to which reports go: RFC 3376 section 4.2.14, RFC 2236 section 9; RFC 3810 section 5.2.14, RFC 2710 section 8.
var (
	igmpRouters3 = netip.AddrFrom4([4]byte{224, 0, 0, 22})
	igmpRouters2 = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	mldRouters2  = netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 0x16})
	mldRouters1  = netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2})
)

// LinkLocal returns the link-local address that an interface makes of its MAC: modified EUI-64 (RFC 4291 appendix A).
func LinkLocal(mac MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// AppendReport appends a frame in which (mac, src) reports groups of its family by IGMPv3 or MLDv2, whose src is a link-local address (RFC 3810 section 5.2.13).
func AppendReport(b []byte, mac MAC, src netip.Addr, records []GroupRecord) []byte {
	message, dst := []byte{igmpV3Report, 0, 0, 0, 0, 0}, igmpRouters3
	if !src.Is4() {
		message[0], dst = mldV2Report, mldRouters2
	}
	message = binary.BigEndian.AppendUint16(message, uint16(len(records)))
	for _, r := range records {
		message = append(message, byte(r.Type), 0, 0, 0)
		message = append(message, r.Group.AsSlice()...)
	}
	return appendMembership(b, mac, src, dst, message)
}

// MaxRecords returns how many groups a report of a packet of at most mtu bytes can name.
func MaxRecords(mtu int, v4 bool) int {
	if v4 {
		return max(1, (mtu-IPv4Len-4-8)/8)
	}
	return max(1, (mtu-IPv6Len-8-8)/20)
}

// AppendOldReport appends a frame that reports one group, or leaves it, by IGMPv2 or MLDv1.
func AppendOldReport(b []byte, mac MAC, src, group netip.Addr, leaves bool) []byte {
	message, dst := []byte{igmpV2Report, 0, 0, 0}, group
	switch {
	case src.Is4() && leaves:
		message[0], dst = igmpV2Leave, igmpRouters2
	case !src.Is4() && leaves:
		message[0], dst = mldV1Done, mldRouters1
	case !src.Is4():
		message[0] = mldV1Report
	}
	if !src.Is4() {
		message = append(message, 0, 0, 0, 0) // maximum response delay, reserved
	}
	return appendMembership(b, mac, src, dst, append(message, group.AsSlice()...))
}

// appendMembership appends a frame with a message, in which its checksum is not yet, and the option Router Alert (RFC 2113, RFC 2711).
func appendMembership(b []byte, mac MAC, src, dst netip.Addr, message []byte) []byte {
	h := ipHeader{src: src, dst: dst, proto: ProtoIGMP, ttl: 1, tos: 0xc0}
	b = appendEthernet(b, MulticastMAC(dst), mac, h.etherType())
	if src.Is4() {
		at := len(b)
		b = h.append4(b, 4+len(message))
		b[at] = 0x46
		b = append(b, 0x94, 4, 0, 0)
		binary.BigEndian.PutUint16(b[at+10:], 0)
		binary.BigEndian.PutUint16(b[at+10:], Checksum(b[at:]))
		binary.BigEndian.PutUint16(message[2:], Checksum(message))
		return append(b, message...)
	}
	h.proto, h.tos = ProtoHopByHop, 0
	b = h.append(b, 8+len(message))
	b = append(b, ProtoICMPv6, 0, 5, 2, 0, 0, 1, 0) // router alert of MLD; PadN
	binary.BigEndian.PutUint16(message[2:], PseudoSum(src, dst, ProtoICMPv6, len(message)).Add(message).Fold())
	return append(b, message...)
}

// GroupQuery is a router's question which groups have members on a link.
type GroupQuery struct {
	Version Membership
	Within  time.Duration // answers are due
	Group   netip.Addr    // the one that is asked for; the zero Addr: all
}

// Groups that all stations of a link are in.
var allHosts4 = netip.AddrFrom4([4]byte{224, 0, 0, 1})

// AppendGroupQuery appends a frame in which the router (mac, src) asks; src is link-local if it is of IPv6. Within has steps of 0.1 s, of MLD 1 ms, and is less than 12.8 and 32.8 s.
func AppendGroupQuery(b []byte, mac MAC, src netip.Addr, q GroupQuery) []byte {
	message, group, dst := []byte{igmpQuery, byte(q.Within * 10 / time.Second), 0, 0}, netip.IPv4Unspecified(), allHosts4
	if !src.Is4() {
		message, group, dst = binary.BigEndian.AppendUint16([]byte{mldQuery, 0, 0, 0}, uint16(q.Within/time.Millisecond)), netip.IPv6Unspecified(), AllNodes()
		message = append(message, 0, 0)
	}
	if q.Group.IsValid() {
		group, dst = q.Group, q.Group
	}
	message = append(message, group.AsSlice()...)
	if !q.Version.Old() {
		message = append(message, 2, 125, 0, 0) // robustness, seconds between queries, no sources
	}
	return appendMembership(b, mac, src, dst, message)
}

// GroupQuery returns the query that a frame holds, an IGMPv1 query as one of IGMPv2. It is checked as RFC 3376 sections 4.1 and 9.1, and RFC 3810 sections 5.1.14 and 6.2 ask:
// length, checksum, TTL 1, the destination; of MLD the sender's address and the router alert too, which some that ask by IGMP leave out. An error is ErrNotQuery, or says what is wrong.
func (f *Frame) GroupQuery() (GroupQuery, error) {
	p := f.complete()
	switch {
	case p == nil || f.Frag != FragNone || f.TTL() != 1:
		return GroupQuery{}, ErrNotQuery
	case f.Is4() && f.Proto == ProtoIGMP && f.ChecksumOK():
		return query4(p[int(p[0]&15)*4:], f.DstAddr())
	case f.Is6() && f.Proto == ProtoHopByHop && f.SrcAddr().IsLinkLocalUnicast():
		return query6(p, f.SrcAddr(), f.DstAddr())
	}
	return GroupQuery{}, ErrNotQuery
}

func query4(m []byte, dst netip.Addr) (GroupQuery, error) {
	if len(m) < 8 || len(m) > 8 && len(m) < 12 || m[0] != igmpQuery { // of no version between these lengths (RFC 3376 section 7.1)
		return GroupQuery{}, ErrNotQuery
	}
	if Checksum(m) != 0 {
		return GroupQuery{}, fmt.Errorf("IGMP query: %w", ErrChecksum)
	}
	q := GroupQuery{Version: IGMPv2, Within: time.Duration(m[1]) * time.Second / 10}
	switch {
	case len(m) >= 12:
		q.Version, q.Within = IGMPv3, time.Duration(floating(uint32(m[1]), 4))*time.Second/10
	case m[1] == 0: // IGMPv1
		q.Within = 10 * time.Second
	}
	return q.of(netip.AddrFrom4([4]byte(m[4:])), dst, allHosts4)
}

// query6 reads what is behind the fixed header of p.
func query6(p []byte, src, dst netip.Addr) (GroupQuery, error) {
	m := p[IPv6Len:]
	if len(m) < 8 || m[0] != ProtoICMPv6 || len(m) < 8+8*int(m[1])+24 {
		return GroupQuery{}, ErrNotQuery
	}
	options := m[2 : 8+8*int(m[1])]
	m = m[8+8*int(m[1]):]
	if m[0] != mldQuery || len(m) > 24 && len(m) < 28 || !alerts(options) { // of no version between these lengths (RFC 3810 section 8.1)
		return GroupQuery{}, ErrNotQuery
	}
	if PseudoSum(src, dst, ProtoICMPv6, len(m)).Add(m).Fold() != 0 {
		return GroupQuery{}, fmt.Errorf("MLD query: %w", ErrChecksum)
	}
	code := uint32(binary.BigEndian.Uint16(m[4:]))
	q := GroupQuery{Version: MLDv1, Within: time.Duration(code) * time.Millisecond}
	if len(m) >= 28 {
		q.Version, q.Within = MLDv2, time.Duration(floating(code, 12))*time.Millisecond
	}
	return q.of(netip.AddrFrom16([16]byte(m[8:])), dst, AllNodes())
}

// alerts reports whether hop-by-hop options have routers look at a message of MLD (RFC 2711).
func alerts(options []byte) bool {
	for len(options) > 1 {
		n := 2 + int(options[1])
		switch {
		case options[0] == 0: // Pad1
			n = 1
		case len(options) < n:
			return false
		case options[0] == 5:
			return n == 4 && options[2] == 0 && options[3] == 0
		}
		options = options[n:]
	}
	return false
}

// of completes a query. One for all groups goes to all stations.
func (q GroupQuery) of(group, dst, all netip.Addr) (GroupQuery, error) {
	switch {
	case group.IsUnspecified():
		if dst != all {
			return q, fmt.Errorf("%v query for all groups to %v: %w", q.Version, dst, ErrInvalid)
		}
		return q, nil
	case !group.IsMulticast():
		return q, fmt.Errorf("%v query for %v: %w", q.Version, group, ErrInvalid)
	}
	q.Group = group
	return q, nil
}

// floating reads a response code: its highest bit says that three bits of exponent and a mantissa follow (RFC 3376 section 4.1.1, RFC 3810 section 5.1.3). mantissa is its bits.
func floating(code uint32, mantissa int) uint32 {
	top := uint32(1) << (mantissa + 3)
	if code < top {
		return code
	}
	return (code&(1<<mantissa-1) | 1<<mantissa) << (code>>mantissa&7 + 3)
}
