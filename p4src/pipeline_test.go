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

// Ids of the test network: vport 0x000101 is local port 1 of edge one (VM A), 0x000202 local port 2 (VM B); local ids 1 and 2. Underlay port 256.
const (
	destA, destB = 0x101, 0x202
	group        = 0x300
	underlay     = 256
	vxlan        = 1
	gre          = 2
	geneve       = 3
)

// bridged returns an edge with VM A on port 1, which knows the way to VM B's MAC.
func bridged(t *testing.T) *edge {
	e := newEdge(t)
	e.add("ingress.port_map", exact(num(1), num(0), num(0)), "ingress.set_vport", num(1))
	e.add("ingress.port_map", exact(num(2), num(7), num(1)), "ingress.set_vport", num(2))
	e.add("ingress.src_class", exact(num(1), macA), "ingress.known_source")
	e.add("ingress.src_class", exact(num(2), macB), "ingress.known_source")
	e.add("ingress.dst_class", exact(num(1), macB), "ingress.forward_dst_class", num(destB), num(0), num(0))
	return e
}

// wildToB has all flows of scope 9 go to VM B, with rewrite 5 and so many routers passed.
func (e *edge) wildToB(routers []byte) {
	for _, table := range []string{"v4", "v6"} {
		match := make([]pipeline.FieldMatch, 7)
		for i := range match {
			match[i].Any = true
		}
		match[0] = pipeline.FieldMatch{Value: []byte{9}, Mask: []byte{0xff, 0xff}}
		e.addPrio("ingress.flow_wild_"+table, 10, match, "ingress.forward_flow_wild_"+table, num(destB), num(5), routers)
	}
}

// routed returns an edge where VM A's frames to its gateway are routed to VM B: wild flow, new MACs, two routers passed, path MTU 1400.
func routed(t *testing.T) *edge {
	e := bridged(t)
	e.add("ingress.dst_class", exact(num(1), macG), "ingress.set_scope", num(9))
	e.wildToB(num(2))
	e.add("ingress.l2_guard", exact(num(5)), "ingress.set_mtu", num(1400))
	e.add("egress.l2_rewrite", exact(num(5)), "egress.set_macs", macG, macB, num(0))
	return e
}

// tunnels adds the way to a peer edge, and the end of tunnels from it, for one encapsulation.
func (e *edge) tunnels(kind uint64, v6 bool, mtu uint64) {
	family, action, own, peer := "v4", "egress.encap_v4", addr("192.0.2.1"), addr("192.0.2.2")
	if v6 {
		family, action, own, peer = "v6", "egress.encap_v6", addr("2001:db8::1"), addr("2001:db8::2")
	}
	for b := range uint64(16) {
		e.add("ingress.peer", exact(num(3), num(b)), "ingress.set_path", num(4), num(underlay))
	}
	e.add("egress.underlay", exact(num(4)), action, num(kind), own, peer, []byte{2, 1, 0, 0, 0, 1}, []byte{2, 1, 0, 0, 0, 2}, num(mtu))
	e.add("ingress.tunnel_term_"+family, exact(num(kind), peer), "ingress.terminate") // the far end, for round trips
	e.add("ingress.peer_list_"+family, exact(own), "ingress.known_peer")
}

func TestForwardLocally(t *testing.T) {
	e := bridged(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
	for _, v6 := range []bool{false, true} {
		in := build(t, frameOptions{src: macA, dst: macB, v6: v6})
		got := e.one(1, in)
		if want := build(t, frameOptions{src: macA, dst: macB, v6: v6, vid: 7}); got.port != 2 || !bytes.Equal(got.frame, want) {
			t.Errorf("v6=%v: port %d\n got %x\nwant %x", v6, got.port, got.frame, want)
		}
	}
}

// TestTunnelRoundTrip: what one edge encapsulates, by each kind and family, another decapsulates to the same frame; gopacket reads the outside.
func TestTunnelRoundTrip(t *testing.T) {
	for _, kind := range []uint64{vxlan, gre, geneve} {
		for _, v6 := range []bool{false, true} {
			for _, inner6 := range []bool{false, true} {
				t.Run(fmt.Sprintf("kind %d, underlay v6 %v, inner v6 %v", kind, v6, inner6), func(t *testing.T) {
					e := bridged(t)
					e.tunnels(kind, v6, 1600)
					e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
					e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
					in := build(t, frameOptions{src: macA, dst: macB, v6: inner6, tos: 0xb8, payload: 1000})
					tunneled := e.one(1, in)
					if tunneled.port != underlay {
						t.Fatalf("left on port %d", tunneled.port)
					}
					checkOuter(t, tunneled.frame, kind, v6, in)
					if got := e.one(underlay, tunneled.frame); got.port != 2 || !bytes.Equal(got.frame, in) {
						t.Errorf("decapsulated on port %d\n got %x\nwant %x", got.port, got.frame, in)
					}
				})
			}
		}
	}
}

// checkOuter reads an encapsulated frame with gopacket as an independent decoder.
func checkOuter(t *testing.T, frame []byte, kind uint64, v6 bool, inner []byte) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if v6 {
		ip, ok := p.NetworkLayer().(*layers.IPv6)
		if !ok || int(ip.Length) != len(frame)-54 || ip.TrafficClass != 0xb8 {
			t.Fatalf("outer %v", p)
		}
	} else {
		ip, ok := p.NetworkLayer().(*layers.IPv4)
		if !ok || int(ip.Length) != len(frame)-14 || ip.TOS != 0xb8 {
			t.Fatalf("outer %v", p)
		}
		if sum := onesSum(frame[14:34]); sum != 0xffff {
			t.Fatalf("outer header checksum adds up to %#x", sum)
		}
	}
	switch kind {
	case vxlan:
		if l, ok := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN); !ok || l.VNI != destB || !l.ValidIDFlag || !bytes.Equal(l.Payload, inner) {
			t.Fatalf("VXLAN %+v in %v", l, p)
		}
	case geneve:
		if l, ok := p.Layer(layers.LayerTypeGeneve).(*layers.Geneve); !ok || l.VNI != destB || l.Protocol != layers.EthernetTypeTransparentEthernetBridging || !bytes.Equal(l.Payload, inner) {
			t.Fatalf("Geneve %+v in %v", l, p)
		}
	case gre:
		if l, ok := p.Layer(layers.LayerTypeGRE).(*layers.GRE); !ok || l.Key != destB || !l.KeyPresent || !bytes.Equal(l.Payload, inner) {
			t.Fatalf("GRE %+v in %v", l, p)
		}
	}
	if udp, ok := p.TransportLayer().(*layers.UDP); ok && kind != gre && (udp.SrcPort < 0xc000 || udp.Checksum != 0 || int(udp.Length) != len(udp.Payload)+8) {
		t.Fatalf("outer UDP ports %d, %d, checksum %d, length %d of %d", udp.SrcPort, udp.DstPort, udp.Checksum, udp.Length, len(udp.Payload)+8)
	}
}

func onesSum(b []byte) uint32 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return sum>>16 + sum&0xffff
}

func TestRouted(t *testing.T) {
	e := routed(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(0), num(0))
	for _, v6 := range []bool{false, true} {
		got := e.one(1, build(t, frameOptions{src: macA, dst: macG, v6: v6}))
		if want := build(t, frameOptions{src: macG, dst: macB, v6: v6, ttl: 62}); got.port != 2 || !bytes.Equal(got.frame, want) {
			t.Errorf("v6=%v: port %d\n got %x\nwant %x", v6, got.port, got.frame, want)
		}
		// Guards: each edge of TTL and length, and the frame reaches the engine as it came.
		e.one(1, build(t, frameOptions{src: macA, dst: macG, v6: v6, ttl: 3}))
		e.punted(1, build(t, frameOptions{src: macA, dst: macG, v6: v6, ttl: 2}), 9)
		ip := 28
		if v6 {
			ip = 48
		}
		if got := e.one(1, build(t, frameOptions{src: macA, dst: macG, v6: v6, payload: 1400 - ip})); got.port != 2 {
			t.Errorf("1400 bytes left on port %d", got.port)
		}
		e.punted(1, build(t, frameOptions{src: macA, dst: macG, v6: v6, payload: 1401 - ip}), 10)
	}
}

// TestWrongChecksumStaysWrong: what only translates updates a checksum, and does not make it anew (RFC 1624).
func TestWrongChecksumStaysWrong(t *testing.T) {
	e := routed(t)
	e.tunnels(vxlan, false, 1600)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
	e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
	in := build(t, frameOptions{src: macA, dst: macB, tos: 2})
	in[24] ^= 0x40
	tunneled := e.one(1, in).frame
	tunneled[15] |= 3 // congestion on the way: the inner header is changed
	if got := e.one(underlay, tunneled); got.frame[15]&3 != 3 || onesSum(got.frame[14:34]) == 0xffff {
		t.Errorf("a wrong header checksum was repaired: %x", got.frame)
	}
}

func TestPuntReasons(t *testing.T) {
	e := routed(t)
	class := make([]pipeline.FieldMatch, 7)
	for i := range class {
		class[i].Any = true
	}
	class[1] = pipeline.FieldMatch{Value: []byte{8, 6}, Mask: []byte{0xff, 0xff}}
	e.addPrio("ingress.punt_class", 1, class, "ingress.class_punt", num(4))
	arp := serialize(t, &layers.Ethernet{SrcMAC: macA, DstMAC: []byte{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeARP}, gopacket.Payload(make([]byte, 46)))
	stranger := []byte{2, 0, 0, 0, 0, 0xee}

	header := e.punted(1, build(t, frameOptions{src: stranger, dst: macG}), 1)
	if vport := binary.BigEndian.Uint16(header[2:]); vport != 1 {
		t.Errorf("vport %d", vport)
	}
	e.punted(1, build(t, frameOptions{src: macA, dst: stranger}), 2)
	e.punted(1, serialize(t, &layers.Ethernet{SrcMAC: macA, DstMAC: macG, EthernetType: 0x9000}, gopacket.Payload(make([]byte, 46))), 3)
	e.punted(1, arp, 4)
	e.punted(1, build(t, frameOptions{src: macA, dst: macG}), 12) // no location
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
	e.punted(1, build(t, frameOptions{src: macA, dst: macG}), 13) // no path to the peer
	e.punted(underlay, arp, 15)

	e.dropped(77, arp, "ingress", 65)
	e.dropped(1, build(t, frameOptions{src: macA, dst: macB, vid: 5}), "ingress", 65)
	e.dropped(1, build(t, frameOptions{src: macA, dst: macB})[:30], "ingress", 64)
	e.dropped(1, []byte{1, 2, 3}, "ingress", 64)
}

// TestIsolation: VXLAN from a tenant is payload, whatever its addresses; tunnels end only at own addresses and come only from peers.
func TestIsolation(t *testing.T) {
	e := bridged(t)
	e.tunnels(vxlan, false, 1600)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
	e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
	tunneled := e.one(1, build(t, frameOptions{src: macA, dst: macB})).frame

	forged := bytes.Clone(tunneled)
	copy(forged, macB)
	copy(forged[6:], macA)
	if got := e.one(1, forged); got.port != underlay || !bytes.Equal(got.frame[50:], forged) {
		t.Errorf("forged VXLAN left on port %d: %x", got.port, got.frame)
	}
	wrongPeer := bytes.Clone(tunneled)
	wrongPeer[29] ^= 0x7f
	e.dropped(underlay, wrongPeer, "ingress", 67)
	wrongVTEP := bytes.Clone(tunneled)
	wrongVTEP[33] ^= 0x7f
	e.dropped(underlay, wrongVTEP, "ingress", 66)
	e.dropped(underlay, tunneled[:70], "ingress", 64)
	unknownKey := bytes.Clone(tunneled)
	unknownKey[48] ^= 0x7f
	header := e.punted(underlay, unknownKey, 12)
	if flags, key := header[5], binary.BigEndian.Uint32(header[6:]); flags != 1 || key != destB^0x7f {
		t.Errorf("flags %d, key %#x", flags, key)
	}
}

// TestMoved: the former edge of a vport forwards once; what it forwarded never leaves by a tunnel again.
func TestMoved(t *testing.T) {
	for _, kind := range []uint64{vxlan, gre, geneve} {
		e := bridged(t)
		e.tunnels(kind, false, 1600)
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
		e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_peer", num(3))
		first := e.one(1, build(t, frameOptions{src: macA, dst: macB}))
		again := e.one(underlay, first.frame)
		if again.port != underlay || len(again.frame) != len(first.frame) {
			t.Fatalf("kind %d: port %d, %d bytes", kind, again.port, len(again.frame))
		}
		e.dropped(underlay, again.frame, "ingress", 68)
	}
}

// TestGroup: copies to local members and peers, never back to the source; from a tunnel to local members only (E10).
func TestGroup(t *testing.T) {
	e := bridged(t)
	e.tunnels(vxlan, false, 1600)
	e.add("ingress.port_map", exact(num(3), num(0), num(0)), "ingress.set_vport", num(3))
	broadcast := []byte{255, 255, 255, 255, 255, 255}
	e.add("ingress.dst_class", exact(num(1), broadcast), "ingress.forward_dst_class", num(group), num(0), num(0))
	e.add("ingress.location", exact(num(group), num(0)), "ingress.to_group", num(1))
	e.add("ingress.location", exact(num(group), num(1)), "ingress.to_group", num(2))
	for _, member := range []uint64{1, 2, 3} {
		tagged, vid := uint64(0), uint64(0)
		if member == 2 {
			tagged, vid = 1, 7
		}
		e.add("egress.replica", exact(num(member)), "egress.local_copy", num(member), num(tagged), num(vid))
	}
	e.add("egress.replica", exact(num(0x8004)), "egress.peer_copy", num(4))
	local := []pipeline.Replica{{Port: 1, RID: 1}, {Port: 2, RID: 2}, {Port: 3, RID: 3}}
	e.SetMulticast(1, append([]pipeline.Replica{{Port: underlay, RID: 0x8004}}, local...))
	e.SetMulticast(2, local)

	in := build(t, frameOptions{src: macA, dst: broadcast})
	ports := map[uint16][]byte{}
	for _, s := range e.send(1, in) {
		ports[s.port] = s.frame
	}
	if len(ports) != 3 || !bytes.Equal(ports[3], in) || !bytes.Equal(ports[2], build(t, frameOptions{src: macA, dst: broadcast, vid: 7})) || ports[underlay] == nil {
		t.Fatalf("copies on %v", ports)
	}
	if n := e.count("egress", 71); n != 1 {
		t.Errorf("%d copies pruned, want 1", n)
	}
	if out := e.send(underlay, ports[underlay]); len(out) != 3 {
		t.Errorf("%d copies of a tunneled frame, want the 3 local members", len(out))
	}
}

// TestECN: RFC 6040, encapsulation and the decapsulation table of section 4.2.
func TestECN(t *testing.T) {
	const drop = 0xff
	cases := []struct{ inner, outer, want uint8 }{
		{0, 0, 0}, {0, 1, 0}, {0, 2, 0}, {0, 3, drop}, {2, 0, 2}, {2, 1, 1}, {2, 2, 2}, {2, 3, 3},
		{1, 0, 1}, {1, 1, 1}, {1, 2, 1}, {1, 3, 3}, {3, 0, 3}, {3, 1, 3}, {3, 2, 3}, {3, 3, 3},
	}
	for _, inner6 := range []bool{false, true} {
		for _, c := range cases {
			e := bridged(t)
			e.tunnels(vxlan, true, 1600)
			e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
			e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
			tunneled := e.one(1, build(t, frameOptions{src: macA, dst: macB, v6: inner6, tos: c.inner})).frame
			if got := tunneled[15] >> 4 & 3; got != c.inner {
				t.Errorf("encapsulated ECN %d as %d", c.inner, got)
			}
			tunneled[15] = tunneled[15]&^0x30 | c.outer<<4
			if c.want == drop {
				e.dropped(underlay, tunneled, "ingress", 73)
				continue
			}
			got := e.one(underlay, tunneled)
			if want := build(t, frameOptions{src: macA, dst: macB, v6: inner6, tos: c.want}); !bytes.Equal(got.frame, want) {
				t.Errorf("v6 %v, inner %d, outer %d:\n got %x\nwant %x", inner6, c.inner, c.outer, got.frame, want)
			}
		}
	}
}

// TestUnderlayMTU: the outer packet must fit; both sides of the limit.
func TestUnderlayMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		e := bridged(t)
		e.tunnels(vxlan, v6, 1500)
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
		overhead := 50
		if v6 {
			overhead = 70
		}
		fits := 1500 - overhead - 28
		e.one(1, build(t, frameOptions{src: macA, dst: macB, payload: fits}))
		e.dropped(1, build(t, frameOptions{src: macA, dst: macB, payload: fits + 1}), "egress", 72)
	}
}

func TestPacketOut(t *testing.T) {
	e := bridged(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
	frame := build(t, frameOptions{src: macA, dst: macB})
	header := func(mode, port uint16, dest uint32) []byte {
		h := binary.BigEndian.AppendUint16(nil, mode<<8)
		h = binary.BigEndian.AppendUint16(h, port)
		h = append(h, 0, 0, 0, 0)
		return binary.BigEndian.AppendUint32(h, dest)
	}
	if got := e.one(cpuPort, append(header(0, underlay, 0), frame...)); got.port != underlay || !bytes.Equal(got.frame, frame) {
		t.Errorf("raw: port %d, %x", got.port, got.frame)
	}
	got := e.one(cpuPort, append(header(1, 0, destB), frame...))
	if want := build(t, frameOptions{src: macA, dst: macB, vid: 7}); got.port != 2 || !bytes.Equal(got.frame, want) {
		t.Errorf("to a vport: port %d, %x", got.port, got.frame)
	}
	e.dropped(cpuPort, append(header(1, 0, 0x999), frame...), "ingress", 12)
	e.dropped(cpuPort, append(header(9, 0, 0), frame...), "ingress", 77)
}

// TestTenantTag: the tag behind the one that selects a vport is the tenant's and crosses a tunnel, with the right lengths.
func TestTenantTag(t *testing.T) {
	e := bridged(t)
	e.tunnels(vxlan, false, 1600)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
	e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(1), num(7))
	e.add("ingress.dst_class", exact(num(2), macA), "ingress.forward_dst_class", num(destB), num(0), num(0))
	own := build(t, frameOptions{src: macB, dst: macA, vid: 99})
	in := append(append(bytes.Clone(own[:12]), 0x81, 0, 0, 7), own[12:]...)
	tunneled := e.one(2, in).frame
	if !bytes.Equal(tunneled[50:], own) || int(binary.BigEndian.Uint16(tunneled[16:])) != len(tunneled)-14 {
		t.Fatalf("tunneled %x, want %x inside", tunneled, own)
	}
	if got := e.one(underlay, tunneled); !bytes.Equal(got.frame, in) {
		t.Errorf("decapsulated\n got %x\nwant %x", got.frame, in)
	}
}

// TestForeignTunnels: headers that do not carry an Ethernet frame with a key are no tunnel packets of ours.
func TestForeignTunnels(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   uint64
		offset int
		value  byte
	}{
		{"VXLAN without a VNI", vxlan, 42, 0},
		{"Geneve version 1", geneve, 42, 0x40},
		{"Geneve control", geneve, 43, 0x80},
		{"Geneve critical option", geneve, 43, 0x40},
		{"Geneve with IPv4", geneve, 44, 0x08},
		{"GRE without key", gre, 34, 0},
		{"GRE with checksum", gre, 34, 0xa0},
		{"GRE with IPv4", gre, 36, 0x08},
	} {
		e := bridged(t)
		e.tunnels(c.kind, false, 1600)
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
		e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
		tunneled := e.one(1, build(t, frameOptions{src: macA, dst: macB})).frame
		if got := e.one(underlay, tunneled); got.port != 2 {
			t.Fatalf("%s: unchanged, it left on port %d", c.name, got.port)
		}
		tunneled[c.offset] = c.value
		e.punted(underlay, tunneled, 15)
	}
}

// TestGenevePeerOptions: options of a Geneve peer are skipped (RFC 8926 section 3.5).
func TestGenevePeerOptions(t *testing.T) {
	e := bridged(t)
	e.tunnels(geneve, false, 1600)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_peer", num(3))
	e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(0), num(0))
	in := build(t, frameOptions{src: macA, dst: macB})
	tunneled := e.one(1, in).frame
	const options = 42 + 8
	withOptions := append(bytes.Clone(tunneled[:options]), 1, 2, 3, 1, 0, 0, 0, 0)
	withOptions = append(withOptions, tunneled[options:]...)
	withOptions[42] = 2
	if got := e.one(underlay, withOptions); got.port != 2 || !bytes.Equal(got.frame, in) {
		t.Errorf("port %d, %x", got.port, got.frame)
	}
}

// TestTagsKept: where a port's tags are kept, a frame with one that is no vport's is that of the port's untagged vport, unchanged. What is behind the tag decides nothing, and it
// gets a second tag where the vport that it goes to has one.
func TestTagsKept(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		e := bridged(t)
		e.tunnels(vxlan, false, 1500)
		tagged := build(t, frameOptions{src: macA, dst: macB, vid: 30, v6: v6})
		e.dropped(1, tagged, "ingress", 65)

		e.add("ingress.port_tags", exact(num(1)), "ingress.keep_tag", num(1))
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(3), num(3), num(0), num(0))
		if got := e.one(1, tagged); got.port != 3 || !bytes.Equal(got.frame, tagged) {
			t.Errorf("left by port %d as\n     %x\nwant %x", got.port, got.frame, tagged)
		}
		e.punted(1, build(t, frameOptions{src: macB, dst: macB, vid: 30, v6: v6}), 1)
		e.dropped(2, build(t, frameOptions{src: macB, dst: macA, vid: 30, v6: v6}), "ingress", 65) // another port's tags are not kept

		// Flows of IP packets are not its, those of its own type are.
		e = routed(t)
		e.add("ingress.port_tags", exact(num(1)), "ingress.keep_tag", num(1))
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
		gw := build(t, frameOptions{src: macA, dst: macG, vid: 30, v6: v6})
		e.punted(1, gw, 3)
		match := make([]pipeline.FieldMatch, 4)
		for i := range match {
			match[i].Any = true
		}
		match[3] = pipeline.FieldMatch{Value: []byte{0x81, 0}, Mask: []byte{0xff, 0xff}}
		e.addPrio("ingress.flow_wild_l2", 10, match, "ingress.forward_flow_wild_l2", num(destB), num(0), num(0))
		want := append(append(append([]byte{}, gw[:12]...), 0x81, 0, 0, 7), gw[12:]...)
		if got := e.one(1, gw); got.port != 2 || !bytes.Equal(got.frame, want) {
			t.Errorf("left by port %d as\n     %x\nwant %x", got.port, got.frame, want)
		}
	}
}
