package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	g4 = netip.MustParseAddr("239.192.1.2")
	h4 = netip.MustParseAddr("239.192.1.3")
	g6 = netip.MustParseAddr("ff05::1:2")
	h6 = netip.MustParseAddr("ff05::1:3")
)

// groupsOf are the records of a report as gopacket reads them.
func groupsOf(t *testing.T, p gopacket.Packet) (all []GroupRecord) {
	t.Helper()
	add := func(typ RecordType, group []byte, sources uint16) {
		if sources != 0 {
			t.Errorf("%d sources of group %x", sources, group)
		}
		a, _ := netip.AddrFromSlice(group)
		all = append(all, GroupRecord{typ, a.Unmap()})
	}
	for _, l := range p.Layers() {
		switch m := l.(type) {
		case *layers.IGMP:
			for _, r := range m.GroupRecords {
				add(RecordType(r.Type), r.MulticastAddress, r.NumberOfSources)
			}
		case *layers.MLDv2MulticastListenerReportMessage:
			for _, r := range m.MulticastAddressRecords {
				add(RecordType(r.RecordType), r.MulticastAddress, r.N)
			}
		}
	}
	return all
}

// alerted fails the test unless routers are to look at a packet that does not leave the link, and its checksum is right.
func alerted(t *testing.T, p gopacket.Packet, dst netip.Addr) {
	t.Helper()
	eth := layer[*layers.Ethernet](t, p)
	if MAC(eth.DstMAC) != MulticastMAC(dst) || MAC(eth.SrcMAC) != macA {
		t.Errorf("from %v to %v", eth.SrcMAC, eth.DstMAC)
	}
	if dst.Is4() {
		ip := layer[*layers.IPv4](t, p)
		if ip.TTL != 1 || len(ip.Options) != 1 || ip.Options[0].OptionType != 0x94 || ip.DstIP.String() != dst.String() {
			t.Errorf("TTL %d, options %v, to %v", ip.TTL, ip.Options, ip.DstIP)
		}
		if sum := Checksum(ip.Payload); sum != 0 {
			t.Errorf("IGMP checksum is off by %#x", sum)
		}
		return
	}
	ip := layer[*layers.IPv6](t, p)
	hop := layer[*layers.IPv6HopByHop](t, p)
	if ip.HopLimit != 1 || hop.Options[0].OptionType != 5 || ip.DstIP.String() != dst.String() {
		t.Errorf("hop limit %d, options %v, to %v", ip.HopLimit, hop.Options, ip.DstIP)
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		src, dst netip.Addr
		records  []GroupRecord
	}{
		{a4, igmpRouters3, []GroupRecord{{IsMember, g4}, {Joins, h4}}},
		{a4, igmpRouters3, []GroupRecord{{Leaves, g4}}},
		{LinkLocal(macA), mldRouters2, []GroupRecord{{IsMember, g6}, {Leaves, h6}, {Joins, g6}}},
	} {
		p := decode(t, AppendReport(nil, macA, c.src, c.records))
		alerted(t, p, c.dst)
		if diff := cmp.Diff(c.records, groupsOf(t, p), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOldReport(t *testing.T) {
	for _, c := range []struct {
		src, group, dst netip.Addr
		leaves          bool
	}{{a4, g4, g4, false}, {a4, g4, igmpRouters2, true}, {ll6, g6, g6, false}, {ll6, g6, mldRouters1, true}} {
		p := decode(t, AppendOldReport(nil, macA, c.src, c.group, c.leaves))
		alerted(t, p, c.dst)
		var got netip.Addr
		for _, l := range p.Layers() {
			switch m := l.(type) {
			case *layers.IGMPv1or2:
				got, _ = netip.AddrFromSlice(m.GroupAddress.To4())
				if (m.Type == layers.IGMPLeaveGroup) != c.leaves {
					t.Errorf("type %v", m.Type)
				}
			case *layers.MLDv1MulticastListenerReportMessage:
				got, _ = netip.AddrFromSlice(m.MulticastAddress)
			case *layers.MLDv1MulticastListenerDoneMessage:
				got, _ = netip.AddrFromSlice(m.MulticastAddress)
			}
		}
		if got != c.group {
			t.Errorf("report of %v says %v", c.group, got)
		}
	}
}

// query builds a query by hand: of IGMP by its bytes, of MLD likewise, as RFC 3376 section 4.1 and RFC 3810 section 5.1 draw them.
func query(src, dst, group netip.Addr, code uint16, newer bool) []byte {
	m := []byte{igmpQuery, byte(code), 0, 0}
	if !src.Is4() {
		m = binary.BigEndian.AppendUint16([]byte{mldQuery, 0, 0, 0}, code)
		m = append(m, 0, 0)
	}
	m = append(m, group.AsSlice()...)
	if newer {
		m = append(m, 2, 125, 0, 0)
	}
	return appendMembership(nil, macB, src, dst, m)
}

func TestGroupQuery(t *testing.T) {
	all4, all6, none4, none6 := netip.MustParseAddr("224.0.0.1"), AllNodes(), netip.IPv4Unspecified(), netip.IPv6Unspecified()
	for name, c := range map[string]struct {
		frame []byte
		want  GroupQuery
	}{
		"v3, all":              {query(r4, all4, none4, 100, true), GroupQuery{IGMPv3, 10 * time.Second, netip.Addr{}}},
		"v3, a group":          {query(r4, g4, g4, 10, true), GroupQuery{IGMPv3, time.Second, g4}},
		"v3, an exponent":      {query(r4, all4, none4, 0x8f, true), GroupQuery{IGMPv3, 248 * time.Second / 10, netip.Addr{}}},
		"v2, all":              {query(r4, all4, none4, 100, false), GroupQuery{IGMPv2, 10 * time.Second, netip.Addr{}}},
		"v1":                   {query(r4, all4, none4, 0, false), GroupQuery{IGMPv2, 10 * time.Second, netip.Addr{}}},
		"MLDv2, all":           {query(ll6, all6, none6, 10000, true), GroupQuery{MLDv2, 10 * time.Second, netip.Addr{}}},
		"MLDv2, a group":       {query(ll6, g6, g6, 1000, true), GroupQuery{MLDv2, time.Second, g6}},
		"MLDv2, with exponent": {query(ll6, all6, none6, 0x9800, true), GroupQuery{MLDv2, 98304 * time.Millisecond, netip.Addr{}}},
		"MLDv1, all":           {query(ll6, all6, none6, 10000, false), GroupQuery{MLDv1, 10 * time.Second, netip.Addr{}}},
	} {
		var f Frame
		if err := Parse(c.frame, &f); err != nil {
			t.Fatal(name, err)
		}
		if got, err := f.GroupQuery(); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	// As an independent implementation builds it.
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 1, SrcIP: ll6.AsSlice(), DstIP: all6.AsSlice()}
	m := &layers.MLDv2MulticastListenerQueryMessage{MulticastAddress: none6.AsSlice(), QueriersRobustnessVariable: 2}
	if err := errors.Join(m.SetMLDv2MaximumResponseDelay(5*time.Second), m.SetQQI(125*time.Second)); err != nil {
		t.Fatal(err)
	}
	ip.HopByHop = &layers.IPv6HopByHop{}
	ip.HopByHop.NextHeader = layers.IPProtocolICMPv6
	ip.HopByHop.Options = append(ip.HopByHop.Options, &layers.IPv6HopByHopOption{OptionType: 5, OptionLength: 2, OptionData: []byte{0, 0}},
		&layers.IPv6HopByHopOption{OptionType: 1, OptionData: []byte{}})
	frame := serialize(t, &layers.Ethernet{SrcMAC: macB[:], DstMAC: []byte{0x33, 0x33, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv6}, ip,
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(mldQuery, 0)}, m)
	var f Frame
	if err := Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	if got, err := f.GroupQuery(); err != nil || got != (GroupQuery{MLDv2, 5 * time.Second, netip.Addr{}}) {
		t.Errorf("gopacket's query: %+v, %v", got, err)
	}
}

func TestGroupQueryRefused(t *testing.T) {
	all4, none4 := netip.MustParseAddr("224.0.0.1"), netip.IPv4Unspecified()
	good4, good6 := query(r4, all4, none4, 100, true), query(ll6, AllNodes(), netip.IPv6Unspecified(), 1000, true)
	longer := func(frame []byte, n int) []byte { // with more bytes, n of them, of which each checksum is right still
		b := append(append([]byte(nil), frame...), make([]byte, n)...)
		if b[12] == 8 {
			b[EthernetLen+3] += byte(n)
			binary.BigEndian.PutUint16(b[EthernetLen+10:], 0)
			binary.BigEndian.PutUint16(b[EthernetLen+10:], Checksum(b[EthernetLen:EthernetLen+24]))
			return b
		}
		b[EthernetLen+5] += byte(n)
		m := b[EthernetLen+IPv6Len+8:]
		m[2], m[3] = 0, 0
		binary.BigEndian.PutUint16(m[2:], PseudoSum(ll6, AllNodes(), ProtoICMPv6, len(m)).Add(m).Fold())
		return b
	}
	spoil := func(frame []byte, at int, by byte) []byte {
		b := append([]byte(nil), frame...)
		b[at] ^= by
		return b
	}
	for name, frame := range map[string][]byte{
		"IGMP checksum":            spoil(good4, len(good4)-1, 1),
		"MLD checksum":             spoil(good6, len(good6)-1, 1),
		"IPv4 header":              spoil(good4, EthernetLen+4, 1),
		"a report":                 AppendReport(nil, macA, a4, []GroupRecord{{Joins, g4}}),
		"an MLD report":            AppendReport(nil, macA, ll6, []GroupRecord{{Joins, g6}}),
		"all groups, to one":       query(r4, g4, none4, 100, true),
		"a group that is none":     query(r4, b4, b4, 100, true),
		"from beyond the link":     query(a6, AllNodes(), netip.IPv6Unspecified(), 1000, true),
		"hop limit":                spoil(good6, EthernetLen+7, 2),
		"length of the extension":  spoil(good6, EthernetLen+IPv6Len+1, 0xff),
		"no ICMPv6 in the options": spoil(good6, EthernetLen+IPv6Len, 1),
		"no router alert":          spoil(good6, EthernetLen+IPv6Len+2, 5^1),
		"the alert of RSVP":        spoil(good6, EthernetLen+IPv6Len+5, 1),
		"an option cut off":        spoil(spoil(good6, EthernetLen+IPv6Len+2, 5^1), EthernetLen+IPv6Len+3, 2^5),
		"of 10 bytes of IGMP":      longer(query(r4, all4, none4, 100, false), 2),
		"of 26 bytes of MLD":       longer(query(ll6, AllNodes(), netip.IPv6Unspecified(), 1000, false), 2),
	} {
		var f Frame
		if err := Parse(frame, &f); err != nil {
			t.Fatal(name, err)
		}
		if q, err := f.GroupQuery(); err == nil {
			t.Errorf("%s: taken as %+v", name, q)
		}
	}
}

func FuzzGroupQuery(f *testing.F) {
	f.Add(query(r4, netip.MustParseAddr("224.0.0.1"), netip.IPv4Unspecified(), 100, true))
	f.Add(query(ll6, g6, g6, 0x9800, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		var frame Frame
		if Parse(b, &frame) != nil {
			return
		}
		if q, err := frame.GroupQuery(); err == nil && (q.Within < 0 || q.Group.IsValid() && !q.Group.IsMulticast() || q.Version == 0) {
			t.Errorf("%+v", q)
		}
	})
}
