package p4src_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// tuple is a flow's addresses and ports. Of ICMP, dport is the identifier and sport of no account.
type tuple struct {
	src, dst     []byte
	sport, dport uint16
}

var (
	own    = map[bool]tuple{false: {addr("10.0.0.10"), addr("198.51.100.1"), 1111, 2222}, true: {addr("fd00::a"), addr("2001:db8::1"), 1111, 2222}}
	public = map[bool]tuple{false: {addr("203.0.113.9"), addr("10.9.9.9"), 60000, 80}, true: {addr("2001:db8:ffff::9"), addr("fd00:9::9"), 60000, 80}}
)

const (
	fin, syn, rst, ack = 1, 2, 4, 16

	reasonSYN, reasonEnd, reasonNoNAT = 17, 18, 80
)

// part tells which piece of a packet is built.
type part int

const (
	whole part = iota
	first      // fragment: 32 bytes of IP payload
	later      // the rest
)

// l4 returns the protocol number, and an L4 header and payload with checksum by gopacket.
func l4(t *testing.T, kind string, u tuple, v6 bool, flags byte) (layers.IPProtocol, []byte) {
	t.Helper()
	var network gopacket.NetworkLayer = &layers.IPv4{SrcIP: u.src, DstIP: u.dst, Version: 4}
	if v6 {
		network = &layers.IPv6{SrcIP: u.src, DstIP: u.dst, Version: 6}
	}
	payload := gopacket.Payload(bytes.Repeat([]byte{0x5a}, 41))
	switch kind {
	case "tcp":
		l := &layers.TCP{SrcPort: layers.TCPPort(u.sport), DstPort: layers.TCPPort(u.dport), SYN: flags&syn != 0, FIN: flags&fin != 0, RST: flags&rst != 0, ACK: flags&ack != 0}
		_ = l.SetNetworkLayerForChecksum(network)
		return layers.IPProtocolTCP, serialize(t, l, payload)
	case "udp":
		l := &layers.UDP{SrcPort: layers.UDPPort(u.sport), DstPort: layers.UDPPort(u.dport)}
		_ = l.SetNetworkLayerForChecksum(network)
		return layers.IPProtocolUDP, serialize(t, l, payload)
	case "icmp":
		if !v6 {
			return layers.IPProtocolICMPv4, serialize(t, &layers.ICMPv4{TypeCode: layers.ICMPv4TypeEchoRequest << 8, Id: u.dport, Seq: 1}, payload)
		}
		l := &layers.ICMPv6{TypeCode: layers.ICMPv6TypeEchoReply << 8}
		_ = l.SetNetworkLayerForChecksum(network)
		return layers.IPProtocolICMPv6, serialize(t, l, &layers.ICMPv6Echo{Identifier: u.dport, SeqNumber: 1}, payload)
	case "sctp": // no port is translated
		return layers.IPProtocolSCTP, append([]byte{1111 >> 8, 1111 & 0xff, 2222 >> 8, 2222 & 0xff, 0, 0, 0, 1, 0xc, 0xc, 0xc, 0xc}, payload...)
	}
	return layers.IPProtocolESP, payload
}

// packet builds a frame of a flow, or a fragment of it, from src to dst.
func (u tuple) packet(t *testing.T, kind string, v6 bool, flags byte, p part, src, dst []byte, ttl uint8) []byte {
	t.Helper()
	proto, body := l4(t, kind, u, v6, flags)
	eth := &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeIPv4}
	offset := uint16(0)
	switch p {
	case first:
		body = body[:32]
	case later:
		body, offset = body[32:], 4
	}
	if !v6 {
		ip := &layers.IPv4{Version: 4, TTL: ttl, Protocol: proto, SrcIP: u.src, DstIP: u.dst, FragOffset: offset}
		if p == first {
			ip.Flags = layers.IPv4MoreFragments
		}
		return serialize(t, eth, ip, gopacket.Payload(body))
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	ip := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: proto, SrcIP: u.src, DstIP: u.dst}
	if p == whole {
		return serialize(t, eth, ip, gopacket.Payload(body))
	}
	ip.NextHeader = layers.IPProtocolIPv6Fragment
	field := offset << 3
	if p == first {
		field |= 1
	}
	fragment := binary.BigEndian.AppendUint16([]byte{byte(proto), 0}, field)
	return serialize(t, eth, ip, gopacket.Payload(append(append(fragment, 0, 0, 0, 7), body...)))
}

// natted returns an edge where VM A's flow of that kind is routed to VM B and translated.
func natted(t *testing.T, kind string, v6 bool, p part, tracked uint64) *edge {
	t.Helper()
	e := bridged(t)
	e.add("ingress.dst_class", exact(num(1), macG), "ingress.set_scope", num(9))
	e.add("ingress.l2_guard", exact(num(5)), "ingress.set_mtu", num(1400))
	e.add("egress.l2_rewrite", exact(num(5)), "egress.set_macs", macG, macB, num(0))
	e.SetClone(1, pipeline.CloneSession{Replicas: []pipeline.Replica{{Port: cpuPort}}})
	u, family := own[v6], "v4"
	if v6 {
		family = "v6"
	}
	proto, body := l4(t, kind, u, v6, 0)
	sport, dport := u.sport, u.dport
	switch {
	case kind == "icmp":
		sport = binary.BigEndian.Uint16(body)
	case kind == "esp":
		sport, dport = 0, 0
	}
	if p == later {
		sport, dport = 0, 0
	}
	e.add("ingress.flow_exact_"+family, exact(num(9), u.src, u.dst, num(uint64(proto)), num(uint64(sport)), num(uint64(dport)), num(uint64(p))),
		"ingress.forward_flow_exact_"+family, num(destB), num(5), num(1), num(11), num(tracked))
	return e
}

// translation adds the entry of the flow's translation, and the way to VM B.
func (e *edge) translation(v6 bool) *edge {
	family := "v4"
	if v6 {
		family = "v6"
	}
	x := public[v6]
	e.add("egress.nat_"+family, exact(num(11)), "egress.translate_"+family, x.src, x.dst, num(uint64(x.sport)), num(uint64(x.dport)))
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(0), num(0))
	return e
}

// TestTranslate: of each protocol and family, whole and in fragments, what leaves is what gopacket builds with the translated addresses and ports.
func TestTranslate(t *testing.T) {
	for _, kind := range []string{"tcp", "udp", "icmp", "sctp", "esp"} {
		for _, v6 := range []bool{false, true} {
			for _, p := range []part{whole, first, later} {
				t.Run(fmt.Sprintf("%s, v6 %v, part %d", kind, v6, p), func(t *testing.T) {
					e := natted(t, kind, v6, p, 0).translation(v6)
					in := own[v6].packet(t, kind, v6, ack, p, macA, macG, 64)
					if got, want := e.one(1, in), public[v6].packet(t, kind, v6, ack, p, macG, macB, 63); got.port != 2 || !bytes.Equal(got.frame, want) {
						t.Errorf("port %d\n got %x\nwant %x", got.port, got.frame, want)
					}
				})
			}
		}
	}
}

// TestTranslateNoUDPChecksum: a checksum of 0 says that there is none, and stays; one that becomes 0 is sent as 0xffff (RFC 768).
func TestTranslateNoUDPChecksum(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		e := natted(t, "udp", v6, whole, 0).translation(v6)
		in, want := own[v6].packet(t, "udp", v6, 0, whole, macA, macG, 64), public[v6].packet(t, "udp", v6, 0, whole, macG, macB, 63)
		at := 40 // of the checksum
		if v6 {
			at = 60
		}
		had, has := binary.BigEndian.Uint16(in[at:]), binary.BigEndian.Uint16(want[at:])
		copy(in[at:], []byte{0, 0})
		copy(want[at:], []byte{0, 0})
		if got := e.one(1, in); !bytes.Equal(got.frame, want) {
			t.Errorf("v6 %v, none:\n got %x\nwant %x", v6, got.frame, want)
		}
		// A word of payload that takes what the translated packet's checksum is makes it 0.
		add := func(a, b uint16) uint16 { s := uint32(a) + uint32(b); return uint16(s + s>>16) }
		word := in[at+2:]
		filler := binary.BigEndian.Uint16(word)
		filled := add(filler, has)
		for _, b := range [][]byte{in, want} {
			binary.BigEndian.PutUint16(b[at+2:], filled)
		}
		binary.BigEndian.PutUint16(in[at:], add(had, ^has)) // had - has
		copy(want[at:], []byte{0xff, 0xff})
		if got := e.one(1, in); !bytes.Equal(got.frame, want) {
			t.Errorf("v6 %v, result 0:\n got %x\nwant %x", v6, got.frame, want)
		}
	}
}

// TestTranslateInTunnel: the flow hash, and with it path and outer source port, is that of the packet as it came in.
func TestTranslateInTunnel(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		in := own[v6].packet(t, "udp", v6, 0, whole, macA, macG, 64)
		outer := map[uint64][]byte{}
		for _, nat := range []uint64{0, 11} {
			e := bridged(t)
			e.tunnels(vxlan, false, 1600)
			e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
			e.add("ingress.dst_class", exact(num(1), macG), "ingress.set_scope", num(9))
			family, u, x := "v4", own[v6], public[v6]
			if v6 {
				family = "v6"
			}
			e.add("egress.nat_"+family, exact(num(11)), "egress.translate_"+family, x.src, x.dst, num(uint64(x.sport)), num(uint64(x.dport)))
			e.add("ingress.flow_exact_"+family, exact(num(9), u.src, u.dst, num(17), num(uint64(u.sport)), num(uint64(u.dport)), num(0)),
				"ingress.forward_flow_exact_"+family, num(destB), num(0), num(0), num(nat), num(0))
			outer[nat] = e.one(1, in).frame
		}
		if !bytes.Equal(outer[0][:50], outer[11][:50]) {
			t.Errorf("v6 %v: outer headers differ:\n%x\n%x", v6, outer[0][:50], outer[11][:50])
		}
		if want := public[v6].packet(t, "udp", v6, 0, whole, macA, macG, 64); !bytes.Equal(outer[11][50:], want) {
			t.Errorf("v6 %v: inside\n got %x\nwant %x", v6, outer[11][50:], want)
		}
	}
}

// TestNoTranslation: what should be translated never leaves as it is.
func TestNoTranslation(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		e := natted(t, "tcp", v6, whole, 0).translation(v6)
		for _, name := range []string{"egress.nat_v4", "egress.nat_v6"} {
			table, _ := e.Table(name)
			table.Clear()
		}
		e.dropped(1, own[v6].packet(t, "tcp", v6, ack, whole, macA, macG, 64), "egress", reasonNoNAT)
	}
}

// copied counts copies to the CPU by reason.
func (e *edge) copied(reason int) uint64 {
	e.t.Helper()
	c, ok := e.Counter("ingress.copies")
	if !ok {
		e.t.Fatal("no counter ingress.copies")
	}
	n, err := c.Read(reason)
	if err != nil {
		e.t.Fatal(err)
	}
	return n.Packets
}

// TestTracked: a tracked connection's SYN is punted, its FIN and RST go on and are copied to the CPU as they came in, the rest just goes on. Every frame is
// counted once.
func TestTracked(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, p := range []part{whole, first} {
			e := natted(t, "tcp", v6, p, 1).translation(v6)
			frames, copies := uint64(0), uint64(0)
			for _, flags := range []byte{ack, syn, syn | ack, fin | ack, rst, rst | ack, syn | fin, fin | rst} {
				in, want := own[v6].packet(t, "tcp", v6, flags, p, macA, macG, 64), public[v6].packet(t, "tcp", v6, flags, p, macG, macB, 63)
				frames++
				if flags&syn != 0 {
					e.punted(1, in, reasonSYN)
					continue
				}
				out := e.send(1, in)
				if flags&(fin|rst) != 0 {
					copies++
					if len(out) != 2 || out[0].port != cpuPort || !bytes.Equal(out[0].frame, append(copyHeader(1, 1), in...)) {
						t.Fatalf("v6 %v, flags %#x: left %v", v6, flags, out)
					}
					out = out[1:]
				}
				if len(out) != 1 || out[0].port != 2 || !bytes.Equal(out[0].frame, want) {
					t.Fatalf("v6 %v, flags %#x: left %v", v6, flags, out)
				}
			}
			total := uint64(0)
			for index := range 1024 {
				total += e.count("ingress", index)
			}
			if total != frames || e.count("ingress", 0) != frames-3 || e.count("ingress", reasonSYN) != 3 || e.copied(reasonEnd) != copies {
				t.Errorf("v6 %v: %d frames, %d copies: counted %d, %d forwarded, %d SYNs, %d copies", v6, frames, copies,
					total, e.count("ingress", 0), e.count("ingress", reasonSYN), e.copied(reasonEnd))
			}
			// What is punted anyway is not copied.
			e.punted(1, own[v6].packet(t, "tcp", v6, fin, p, macA, macG, 1), 9)
		}
	}
}

// copyHeader is the packet_in header of a copy.
func copyHeader(port, vport uint16) []byte {
	h := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, port), vport)
	return append(h, reasonEnd, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// TestUntracked: FIN, RST and SYN of a flow that is not tracked just go on.
func TestUntracked(t *testing.T) {
	e := natted(t, "tcp", false, whole, 0).translation(false)
	for _, flags := range []byte{syn, fin, rst} {
		if got := e.one(1, own[false].packet(t, "tcp", false, flags, whole, macA, macG, 64)); got.port != 2 {
			t.Errorf("flags %#x left on port %d", flags, got.port)
		}
	}
}

// TestCopiesAreMetered: by the vport's punt meter. Beyond the rate the frame goes on and there is no copy, counted; punts have what copies leave.
func TestCopiesAreMetered(t *testing.T) {
	e := natted(t, "tcp", true, whole, 1).translation(true)
	punts, ok := e.Meter("ingress.punts")
	if !ok {
		t.Fatal("no meter ingress.punts")
	}
	if err := punts.Write(1, pipeline.MeterConfig{CIR: 1, CBurst: 3, PIR: 1, PBurst: 3}); err != nil {
		t.Fatal(err)
	}
	in := own[true].packet(t, "tcp", true, fin|ack, whole, macA, macG, 64)
	for range 3 {
		if out := e.send(1, in); len(out) != 2 {
			t.Fatalf("%d frames left, want the frame and its copy", len(out))
		}
	}
	for range 2 {
		if got := e.one(1, in); got.port != 2 {
			t.Errorf("left on port %d", got.port)
		}
	}
	if e.copied(reasonEnd) != 3 || e.copied(78) != 2 || e.count("ingress", 0) != 5 {
		t.Errorf("%d copies, %d not made, %d forwarded", e.copied(reasonEnd), e.copied(78), e.count("ingress", 0))
	}
	e.dropped(1, own[true].packet(t, "tcp", true, syn, whole, macA, macG, 64), "ingress", 78)
}

// TestCopyKeepsTag: the frame in the copy has the VLAN tag that selected the vport.
func TestCopyKeepsTag(t *testing.T) {
	e := natted(t, "tcp", false, whole, 1).translation(false)
	e.add("ingress.port_map", exact(num(3), num(7), num(1)), "ingress.set_vport", num(1))
	in := own[false].packet(t, "tcp", false, rst, whole, macA, macG, 64)
	tagged := append(append(bytes.Clone(in[:12]), 0x81, 0, 0, 7), in[12:]...)
	out := e.send(3, tagged)
	if len(out) != 2 || !bytes.Equal(out[0].frame, append(copyHeader(3, 1), tagged...)) {
		t.Fatalf("left %v", out)
	}
	if want := public[false].packet(t, "tcp", false, rst, whole, macG, macB, 63); !bytes.Equal(out[1].frame, want) {
		t.Errorf("\n got %x\nwant %x", out[1].frame, want)
	}
}
