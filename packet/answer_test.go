package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
)

var addrEqual = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestARP(t *testing.T) {
	b := AppendARPRequest(nil, macA, a4, b4)
	l := layer[*layers.ARP](t, decode(t, b))
	if l.Operation != 1 || !bytes.Equal(l.SourceHwAddress, macA[:]) || !bytes.Equal(l.DstProtAddress, b4.AsSlice()) || !bytes.Equal(l.SourceProtAddress, a4.AsSlice()) {
		t.Errorf("gopacket reads %+v", l)
	}
	f := mustParse(t, tagged(b, 5))
	q, err := f.ARP()
	if diff := cmp.Diff(ARP{Op: ARPRequest, SenderMAC: macA, SenderIP: a4, TargetIP: b4}, q, addrEqual); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if !f.Dst().IsBroadcast() || f.Src() != macA || q.Gratuitous() || q.Probe() {
		t.Errorf("request %v to %v", f.Src(), f.Dst())
	}
	f = mustParse(t, AppendARPReply(nil, &q, macB))
	r, err := f.ARP()
	if diff := cmp.Diff(ARP{Op: ARPReply, SenderMAC: macB, SenderIP: b4, TargetMAC: macA, TargetIP: a4}, r, addrEqual); err != nil || diff != "" || f.Dst() != macA || f.Src() != macB {
		t.Error(err, diff)
	}
	probe, _ := mustParse(t, AppendARPRequest(nil, macA, netip.IPv4Unspecified(), b4)).ARP()
	announce, _ := mustParse(t, AppendARPRequest(nil, macA, a4, a4)).ARP()
	if !probe.Probe() || probe.Gratuitous() || announce.Probe() || !announce.Gratuitous() {
		t.Error("probe and announcement are not told apart")
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"not ARP": {udp4(t, 30), ErrNotARP}, "short": {b[:41], ErrTruncated}, "hardware type": {with(b, 15, 6), ErrNotARP}, "protocol type": {with(b, 17, 1), ErrNotARP},
		"hardware length": {with(b, 18, 8), ErrNotARP}, "protocol length": {with(b, 19, 16), ErrNotARP}, "operation 3": {with(b, 21, 3), ErrInvalid}, "operation 0": {with(b, 21, 0), ErrInvalid},
		"group sender": {with(b, 22, 1), ErrInvalid}, "zero sender": {with(b, 22, 0, 0, 0, 0, 0, 0), ErrInvalid}, "multicast address": {with(b, 28, 224), ErrInvalid},
	} {
		if _, err := mustParse(t, tt.b).ARP(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestNeighbourDiscovery(t *testing.T) {
	zero := netip.IPv6Unspecified()
	sol := ND{Type: ICMPv6NeighSol, Src: a6, Dst: netip.MustParseAddr("ff02::1:ff00:2"), Target: b6, LinkAddr: macA}
	probe := ND{Type: ICMPv6NeighSol, Src: zero, Dst: sol.Dst, Target: b6}
	adv := ND{Type: ICMPv6NeighAdv, Src: b6, Dst: a6, Target: b6, LinkAddr: macB, Solicited: true, Override: true}
	tests := []struct {
		name string
		b    []byte
		want ND
		to   MAC
	}{
		{"solicitation", AppendNS(nil, macA, a6, b6), sol, MustParseMAC("33:33:ff:00:00:02")},
		{"probe", AppendNS(nil, macA, zero, b6), probe, MustParseMAC("33:33:ff:00:00:02")},
		{"unicast solicitation", AppendUnicastNS(nil, macB, macA, a6, b6), ND{Type: ICMPv6NeighSol, Src: a6, Dst: b6, Target: b6, LinkAddr: macA}, macB},
		{"advertisement", AppendNA(nil, &sol, macA, macB, false), adv, macA},
		{"advertisement, no source option", AppendNA(nil, &ND{Src: a6, Target: b6}, macA, macB, false), adv, macA},
		{"answer to a probe", AppendNA(nil, &probe, macA, macB, true), ND{Type: ICMPv6NeighAdv, Src: b6, Dst: AllNodes(), Target: b6, LinkAddr: macB, Router: true, Override: true}, MustParseMAC("33:33:00:00:00:01")},
		{"unsolicited", AppendUnsolicitedNA(nil, macB, b6, true), ND{Type: ICMPv6NeighAdv, Src: b6, Dst: AllNodes(), Target: b6, LinkAddr: macB, Router: true, Override: true}, MustParseMAC("33:33:00:00:00:01")},
		{"router advertisement", AppendRA(nil, &RA{SrcMAC: macA, Src: ll6, Lifetime: 1800, MTU: 1430, Valid: 86400, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}),
			ND{Type: ICMPv6RouterAdv, Src: ll6, Dst: AllNodes(), LinkAddr: macA}, MustParseMAC("33:33:00:00:00:01")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decode(t, tt.b)
			f := mustParse(t, tt.b)
			got, err := f.ND()
			if diff := cmp.Diff(tt.want, got, addrEqual); err != nil || diff != "" {
				t.Error(err, diff)
			}
			if f.Dst() != tt.to || !f.IsND() {
				t.Errorf("to %v, want %v; IsND %v", f.Dst(), tt.to, f.IsND())
			}
		})
	}
	p := decode(t, tests[3].b)
	if l := layer[*layers.ICMPv6NeighborAdvertisement](t, p); l.Flags != 0x60 || !l.TargetAddress.Equal(b6.AsSlice()) || len(l.Options) != 1 || !bytes.Equal(l.Options[0].Data, macB[:]) {
		t.Errorf("gopacket reads %+v", l)
	}
	p = decode(t, tests[0].b)
	if l := layer[*layers.ICMPv6NeighborSolicitation](t, p); !l.TargetAddress.Equal(b6.AsSlice()) || len(l.Options) != 1 || l.Options[0].Type != layers.ICMPv6OptSourceAddress {
		t.Errorf("gopacket reads %+v", l)
	}
	p = decode(t, tests[7].b)
	if l := layer[*layers.ICMPv6RouterAdvertisement](t, p); l.RouterLifetime != 1800 || l.HopLimit != 64 || len(l.Options) != 3 || l.Options[2].Data[1] != 0xc0 {
		t.Errorf("gopacket reads %+v", l)
	}
	rs := serialize(t, ethernet(layers.EthernetTypeIPv6), &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: 58, SrcIP: ll6.AsSlice(), DstIP: netip.MustParseAddr("ff02::2").AsSlice()},
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(133, 0)}, &layers.ICMPv6RouterSolicitation{Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: macA[:]}}})
	if n, err := mustParse(t, rs).ND(); err != nil || n.LinkAddr != macA || n.Src != ll6 || n.Type != ICMPv6RouterSol {
		t.Errorf("router solicitation: %+v, %v", n, err)
	}
}

// resum computes the ICMPv6 checksum of an untagged frame anew.
func resum(b []byte) []byte {
	f := new(Frame)
	if Parse(b, f) != nil || f.L4 == 0 {
		return b
	}
	b[f.L4+2], b[f.L4+3] = 0, 0
	binary.BigEndian.PutUint16(b[f.L4+2:], PseudoSum(f.SrcAddr(), f.DstAddr(), ProtoICMPv6, len(b)-f.L4).Add(b[f.L4:]).Fold())
	return b
}

func TestNeighbourDiscoveryErrors(t *testing.T) {
	ns := AppendNS(nil, macA, a6, b6)
	probe := AppendNS(nil, macA, netip.IPv6Unspecified(), b6)
	na := AppendNA(nil, &ND{Src: a6, Target: b6}, macA, macB, false)
	ra := AppendRA(nil, &RA{SrcMAC: macA, Src: ll6})
	short := func(b []byte, n int) []byte { b = with(b[:54+n], 18, 0, byte(n)); return resum(b) }
	multi := netip.MustParseAddr("ff02::5").AsSlice()
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"not ND": {echo6(t, 30), ErrNotND}, "redirect": {resum(with(ns, 54, 137)), ErrNotND}, "IPv4": {with(echo4(t, 40), 34, 135), ErrNotND},
		"cut":                       {ns[:len(ns)-1], ErrTruncated},
		"hop limit":                 {with(ns, 21, 254), ErrInvalid},
		"code":                      {resum(with(ns, 55, 1)), ErrInvalid},
		"checksum":                  {with(ns, 56, ns[56]^1), ErrChecksum},
		"fragment":                  {fragment6(ns, 0, 0), ErrInvalid},
		"short body":                {short(ns, 23), ErrTruncated},
		"short router":              {short(ra, 15), ErrTruncated},
		"half option":               {short(ns, 25), ErrInvalid},
		"option of 0":               {resum(with(ns, 79, 0)), ErrInvalid},
		"other option of 0":         {resum(with(ns, 78, 14, 0)), ErrInvalid},
		"option of 2":               {resum(with(ns, 79, 2)), ErrInvalid},
		"group link":                {resum(with(ns, 80, 3)), ErrInvalid},
		"group target":              {resum(with(ns, 62, multi...)), ErrInvalid},
		"group source":              {resum(with(ns, 22, multi...)), ErrInvalid},
		"probe to other group":      {resum(with(probe, 53, 9)), ErrInvalid},
		"probe with link address":   {resum(with(ns, 22, make([]byte, 16)...)), ErrInvalid},
		"solicited to all":          {resum(with(na, 38, AllNodes().AsSlice()...)), ErrInvalid},
		"router with global source": {resum(with(ra, 22, a6.AsSlice()...)), ErrInvalid},
	} {
		if _, err := mustParse(t, tt.b).ND(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	// The validation must be what refuses: the frames that the errors are made of are good.
	for _, b := range [][]byte{ns, probe, na, ra, resum(with(ns, 78, 14))} {
		if _, err := mustParse(t, b).ND(); err != nil {
			t.Errorf("%v: %x", err, b)
		}
	}
}

func TestEchoReply(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		for _, req := range [][]byte{echo4(t, n), echo6(t, n), tagged(echo4(t, n), 3), tagged(echo6(t, n), 3)} {
			q := mustParse(t, append(req, 0, 0, 0)) // padding is not answered
			b, err := AppendEchoReply(nil, q)
			if err != nil {
				t.Fatal(err)
			}
			p, f := decode(t, b), mustParse(t, b)
			if f.SrcAddr() != q.DstAddr() || f.DstAddr() != q.SrcAddr() || f.Src() != macB || f.Dst() != macA || f.TTL() != 64 || f.DstPort != 0xbeef || f.TOS() != 0xb9 || f.IPLen() != q.IPLen() || f.IsEchoRequest() {
				t.Errorf("reply\n%v", p)
			}
			if !bytes.Equal(b[f.L4+4:], req[q.L4+4:]) {
				t.Errorf("reply %x to %x", b, req)
			}
		}
	}
	ping4, ping6 := echo4(t, 10), echo6(t, 10)
	reply, err := AppendEchoReply(nil, mustParse(t, fragment6(ping6, 0, 0)))
	if err != nil || len(decode(t, reply).Data()) != len(ping6) {
		t.Errorf("to an atomic fragment: %v", err)
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"not ICMP": {udp4(t, 9), ErrNotEcho}, "reply": {with(ping4, 34, 0), ErrNotEcho}, "reply 6": {with(ping6, 54, 129), ErrNotEcho},
		"other family": {with(ping4, 34, 128), ErrNotEcho}, "cut": {ping4[:len(ping4)-1], ErrTruncated}, "cut 6": {ping6[:len(ping6)-1], ErrTruncated},
		"stated short": {with(ping4, 16, 0, 21), ErrTruncated}, "first fragment": {with(ping4, 20, 0x20), ErrNotEcho}, "checksum": {with(ping4, 45, ping4[45]^1), ErrChecksum},
		"checksum 6": {with(ping6, 66, ping6[66]^1), ErrChecksum}, "header checksum": {with(ping4, 22, 3), ErrChecksum}, "from 0": {with(ping4, 26, 0, 0, 0, 0), ErrNotEcho},
		"to a group": {with(ping6, 38, 0xff), ErrNotEcho}, "broadcast frame": {with(ping4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrNotEcho},
	} {
		if b, err := AppendEchoReply([]byte{1}, mustParse(t, tt.b)); !errors.Is(err, tt.want) || len(b) != 1 {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestUDP(t *testing.T) {
	for _, u := range []UDP{
		{SrcMAC: macA, DstMAC: macB, Src: a4, Dst: b4, SrcPort: 30001, DstPort: 30002, Payload: pattern(33), DontFragment: true, TOS: 4},
		{SrcMAC: macA, DstMAC: macB, Src: a6, Dst: b6, SrcPort: 30001, DstPort: 30002, TTL: 1, TOS: 0xe7},
	} {
		b := AppendUDP(nil, &u)
		l, f := layer[*layers.UDP](t, decode(t, b)), mustParse(t, b)
		ttl := u.TTL
		if ttl == 0 {
			ttl = DefaultTTL
		}
		if !bytes.Equal(l.Payload, u.Payload) || f.SrcPort != 30001 || f.DstPort != 30002 || f.TTL() != ttl || f.TOS() != u.TOS || !f.DontFragment() || f.SrcAddr() != u.Src || f.DstAddr() != u.Dst || f.Src() != macA || f.Dst() != macB {
			t.Errorf("%+v became %+v", u, f)
		}
	}
	// A checksum that comes out as 0 is sent as 0xffff.
	u := UDP{Src: a6, Dst: b6, Payload: []byte{0, 0}}
	b := AppendUDP(nil, &u)
	u.Payload = b[60:62:62]
	if b = AppendUDP(nil, &u); b[60] != 0xff || b[61] != 0xff {
		t.Errorf("checksum %x", b[60:62])
	}
}
