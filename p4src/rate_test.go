package p4src_test

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// limit has a meter of bytes pass so many bytes at once, and no more for long.
func (e *edge) limit(meter string, cell, bytes int) {
	e.t.Helper()
	m, ok := e.Meter(meter)
	if !ok {
		e.t.Fatalf("no meter %s", meter)
	}
	burst := uint64(bytes)
	if err := m.Write(cell, pipeline.MeterConfig{CIR: 1, CBurst: burst, PIR: 1, PBurst: burst}); err != nil {
		e.t.Fatal(err)
	}
}

// vportDrops reads what is counted of a local vport's drops for a reason.
func (e *edge) vportDrops(control string, vport, reason int) uint64 {
	e.t.Helper()
	c, ok := e.Counter(control + ".vport_drops")
	if !ok {
		e.t.Fatalf("no counter %s.vport_drops", control)
	}
	n, err := c.Read(vport<<4 | reason&0xf)
	if err != nil {
		e.t.Fatal(err)
	}
	return n.Packets
}

var families = map[string]bool{"IPv4": false, "IPv6": true}

// TestSendRate: what a vport sends beyond its rate is dropped and counted ahead of all tables, be it forwarded or punted; other vports, and frames that are dropped anyway, are not concerned.
func TestSendRate(t *testing.T) {
	for name, v6 := range families {
		t.Run(name, func(t *testing.T) {
			e := bridged(t)
			e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
			frame, unknown := build(t, frameOptions{src: macA, dst: macB, v6: v6}), build(t, frameOptions{src: macA, dst: macG, v6: v6})
			e.limit("ingress.sends", 1, 3*len(frame)+len(unknown))
			e.dropped(1, build(t, frameOptions{src: make([]byte, 6), dst: macB, v6: v6}), "ingress", 79)
			for range 3 {
				e.one(1, frame)
			}
			e.punted(1, unknown, 2)
			e.dropped(1, frame, "ingress", 84)
			e.dropped(1, unknown, "ingress", 84)
			if n := e.vportDrops("ingress", 1, 84); n != 2 {
				t.Errorf("%d drops of the vport, want 2", n)
			}
			for range 5 {
				e.punted(2, build(t, frameOptions{src: macB, dst: macG, vid: 7, v6: v6}), 2)
			}
		})
	}
}

// TestLinkRate: what passes a link beyond its rate is dropped and counted for who sent it, routed or not, and what the agent sends on takes from the same; other links, and what passes none, do
// not. What comes to the meter is counted, dropped there or not.
func TestLinkRate(t *testing.T) {
	for name, v6 := range families {
		t.Run(name, func(t *testing.T) {
			e := bridged(t)
			e.add("ingress.dst_class", exact(num(1), macG), "ingress.set_scope", num(9))
			e.wildToB(num(1))
			e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(0), num(0))
			macC, macD := []byte{2, 0, 0, 0, 0, 0xc}, []byte{2, 0, 0, 0, 0, 0xd}
			for id, to := range map[uint64][]byte{6: macC, 7: macD} {
				e.add("ingress.dst_class", exact(num(1), to), "ingress.forward_dst_class", num(destB), num(id), num(0))
				e.add("ingress.l2_guard", exact(num(id)), "ingress.set_mtu", num(65535))
			}
			e.add("ingress.l2_guard", exact(num(5)), "ingress.set_mtu", num(1400))
			e.add("egress.l2_rewrite", exact(num(5)), "egress.set_macs", macG, macB, num(3))
			e.add("egress.l2_rewrite", exact(num(6)), "egress.keep_macs", num(3))
			e.add("egress.l2_rewrite", exact(num(7)), "egress.keep_macs", num(4))

			routed, bridgedToo, other := build(t, frameOptions{src: macA, dst: macG, v6: v6}), build(t, frameOptions{src: macA, dst: macC, v6: v6}), build(t, frameOptions{src: macA, dst: macD, v6: v6})
			out := append([]byte{1, 0, 0, 3, 0, 1, 0, 0, 0, 0, destB >> 8, destB & 0xff}, routed...) // for vport 1, over link 3
			e.limit("egress.links", 3, len(routed)+len(bridgedToo)+len(out))
			if got := e.one(1, routed); !bytes.Equal(got.frame[:6], macB) || !bytes.Equal(got.frame[6:12], macG) {
				t.Errorf("MACs of what is routed: % x", got.frame[:12])
			}
			if got := e.one(1, bridgedToo); !bytes.Equal(got.frame, bridgedToo) {
				t.Errorf("what is bridged becomes % x", got.frame)
			}
			if got := e.one(cpuPort, out); !bytes.Equal(got.frame, routed) {
				t.Errorf("a packet-out becomes % x", got.frame)
			}
			for range 3 {
				e.dropped(1, routed, "egress", 85)
				e.dropped(1, bridgedToo, "egress", 85)
				e.dropped(cpuPort, out, "egress", 85)
			}
			if n := e.vportDrops("egress", 1, 85); n != 9 {
				t.Errorf("%d drops of the vport, want 9", n)
			}
			for range 5 {
				e.one(1, other)
				e.one(1, build(t, frameOptions{src: macA, dst: macB, v6: v6}))
			}
			load, ok := e.Counter("egress.link_load")
			if !ok {
				t.Fatal("no counter egress.link_load")
			}
			for link, want := range []uint64{0, 0, 0, 12, 5} {
				if n, err := load.Read(link); err != nil || n.Packets != want || (n.Bytes > 0) != (want > 0) {
					t.Errorf("link %d: %+v, %v, want %d packets", link, n, err, want)
				}
			}
		})
	}
}

// TestReceiveRate: what is for a vport beyond its rate is dropped where it would leave, and counted for that vport: from a neighbour, by a tunnel, from the agent, and each copy of a flood. What is
// dropped ahead of that, pruned for one, takes nothing.
func TestReceiveRate(t *testing.T) {
	for name, v6 := range families {
		t.Run(name, func(t *testing.T) {
			e := bridged(t)
			e.tunnels(vxlan, false, 1600)
			e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
			e.add("ingress.location", exact(num(destB), num(1)), "ingress.to_port", num(2), num(2), num(1), num(7))
			broadcast := []byte{255, 255, 255, 255, 255, 255}
			for vport := range uint64(2) {
				e.add("ingress.dst_class", exact(num(vport+1), broadcast), "ingress.forward_dst_class", num(group), num(0), num(0))
			}
			e.add("ingress.location", exact(num(group), num(0)), "ingress.to_group", num(1))
			e.add("egress.replica", exact(num(1)), "egress.local_copy", num(1), num(0), num(0))
			e.add("egress.replica", exact(num(2)), "egress.local_copy", num(2), num(1), num(7))
			e.SetMulticast(1, []pipeline.Replica{{Port: 1, RID: 1}, {Port: 2, RID: 2}})

			frame, all := build(t, frameOptions{src: macA, dst: macB, v6: v6}), build(t, frameOptions{src: macA, dst: broadcast, v6: v6})
			back := build(t, frameOptions{src: macB, dst: broadcast, vid: 7, v6: v6}) // its own copy is pruned
			out := append([]byte{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, destB >> 8, destB & 0xff}, frame...)
			tunnelled := vxlanTo(t, destB, frame)
			for _, x := range []struct {
				port  uint16
				frame []byte
			}{{1, frame}, {1, all}, {cpuPort, out}, {underlay, tunnelled}} {
				e.limit("egress.receives", 2, len(x.frame))
				for range 3 {
					e.one(2, back)
				}
				if got := e.one(x.port, x.frame); got.port != 2 {
					t.Fatalf("from port %d: left by port %d, want 2", x.port, got.port)
				}
				before := e.vportDrops("egress", 2, 86)
				for range 2 {
					e.dropped(x.port, x.frame, "egress", 86)
				}
				if n := e.vportDrops("egress", 2, 86) - before; n != 2 {
					t.Errorf("from port %d: %d drops of the vport, want 2", x.port, n)
				}
			}
			if n := e.vportDrops("egress", 1, 86); n != 0 {
				t.Errorf("%d drops of who sends", n)
			}
		})
	}
}

// vxlanTo puts a frame into a tunnel to the edge.
func vxlanTo(t *testing.T, dest uint32, inner []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: addr("192.0.2.1"), DstIP: addr("192.0.2.2")}
	udp := &layers.UDP{SrcPort: 0xc001, DstPort: 4789}
	_ = udp.SetNetworkLayerForChecksum(ip)
	eth := &layers.Ethernet{SrcMAC: []byte{2, 1, 0, 0, 0, 2}, DstMAC: []byte{2, 1, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv4}
	return serialize(t, eth, ip, udp, gopacket.Payload(append([]byte{8, 0, 0, 0, byte(dest >> 16), byte(dest >> 8), byte(dest), 0}, inner...)))
}
