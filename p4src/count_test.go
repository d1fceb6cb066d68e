package p4src_test

import (
	"testing"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// TestEveryFrameIsCountedOnce: by where it came from and what became of it; forwarded frames have reason 0.
func TestEveryFrameIsCountedOnce(t *testing.T) {
	e := bridged(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
	e.tunnels(vxlan, false, 1500)
	known := build(t, frameOptions{src: macA, dst: macB})
	unknown := build(t, frameOptions{src: macA, dst: macG})
	e.send(1, known)
	e.send(1, known)
	e.punted(1, unknown, 2)
	e.send(9, known)              // no such port
	e.send(1, known[:20])         // truncated
	e.punted(underlay, known, 15) // no tunnel
	for _, src := range [][]byte{{1, 0, 0x5e, 0, 0, 1}, make([]byte, 6), {255, 255, 255, 255, 255, 255}} {
		e.dropped(1, build(t, frameOptions{src: src, dst: macB}), "ingress", 79)
	}
	for _, v6 := range []bool{false, true} {
		land := build(t, frameOptions{src: macA, dst: macB, v6: v6})
		if v6 {
			copy(land[38:54], land[22:38])
		} else {
			copy(land[30:34], land[26:30])
		}
		e.dropped(1, land, "ingress", 82)
	}
	e.send(cpuPort, make([]byte, 12)) // a packet-out without a frame
	total := uint64(0)
	for index := range 1024 {
		total += e.count("ingress", index)
	}
	for index, want := range map[int]uint64{0: 2, 2: 1, 64: 1, 65: 1, 79: 3, 82: 2, sideUnderlay + 15: 1, 2*sideUnderlay + 64: 1} {
		if got := e.count("ingress", index); got != want {
			t.Errorf("ingress.reasons[%d]: %d, want %d", index, got, want)
		}
	}
	if total != 12 {
		t.Errorf("%d counted of 12 frames", total)
	}
}

// TestPuntsAreMetered: what a vport has punted beyond its rate is dropped and counted; another vport's punts and the vport's own forwarded frames are not.
func TestPuntsAreMetered(t *testing.T) {
	e := bridged(t)
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
	punts, ok := e.Meter("ingress.punts")
	if !ok {
		t.Fatal("no meter ingress.punts")
	}
	if err := punts.Write(1, pipeline.MeterConfig{CIR: 1, CBurst: 3, PIR: 1, PBurst: 3}); err != nil {
		t.Fatal(err)
	}
	unknown := build(t, frameOptions{src: macA, dst: macG})
	for range 3 {
		e.punted(1, unknown, 2)
	}
	e.dropped(1, unknown, "ingress", 78)
	if got := e.one(1, build(t, frameOptions{src: macA, dst: macB})); got.port != 2 {
		t.Errorf("a frame with an entry left by port %d, want 2", got.port)
	}
	for range 5 {
		e.punted(2, build(t, frameOptions{src: macB, dst: macG, vid: 7}), 2)
	}
}

// TestFloodsAreMetered: what a vport says to all beyond its rate is dropped and counted where it comes in, whatever would become of it; unknown unicast that has
// no entry yet is, where the engine floods it. Unicast, other vports and what the network itself says are not concerned.
func TestFloodsAreMetered(t *testing.T) {
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	unknown := []byte{2, 0, 0, 0, 0, 0x77}
	limited := func(t *testing.T) *edge {
		e := bridged(t)
		e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
		e.add("ingress.location", exact(num(group), num(0)), "ingress.to_group", num(8))
		e.add("ingress.dst_class", exact(num(1), broadcast), "ingress.forward_dst_class", num(group), num(0), num(0))
		e.add("ingress.dst_class", exact(num(1), unknown), "ingress.forward_dst_class", num(group), num(0), num(0))
		e.add("egress.replica", exact(num(2)), "egress.local_copy", num(2), num(1), num(7))
		e.SetMulticast(8, []pipeline.Replica{{Port: 2, RID: 2}})
		floods, ok := e.Meter("ingress.floods")
		if !ok {
			t.Fatal("no meter ingress.floods")
		}
		if err := floods.Write(1, pipeline.MeterConfig{CIR: 1, CBurst: 3, PIR: 1, PBurst: 3}); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for name, dst := range map[string][]byte{"broadcast": broadcast, "multicast": {1, 0, 0x5e, 0, 0, 1}, "multicast of IPv6": {0x33, 0x33, 0, 0, 0, 1}, "unknown unicast": unknown} {
		t.Run(name, func(t *testing.T) {
			e := limited(t)
			for i := range 3 {
				e.one(1, build(t, frameOptions{src: macA, dst: dst, v6: i == 1}))
			}
			e.dropped(1, build(t, frameOptions{src: macA, dst: dst}), "ingress", 81)
			e.dropped(1, build(t, frameOptions{src: macA, dst: dst, v6: true}), "ingress", 81)
			if got := e.one(1, build(t, frameOptions{src: macA, dst: macB})); got.port != 2 {
				t.Errorf("unicast left by port %d, want 2", got.port)
			}
			for range 5 {
				e.punted(2, build(t, frameOptions{src: macB, dst: broadcast, vid: 7}), 2)
			}
		})
	}
	t.Run("what is punted", func(t *testing.T) {
		e := limited(t)
		arp := build(t, frameOptions{src: macG, dst: broadcast}) // of a source that is not known
		for range 3 {
			e.punted(1, arp, 1)
		}
		e.dropped(1, arp, "ingress", 81)
	})
	t.Run("what the engine floods", func(t *testing.T) {
		e := limited(t)
		out := func(vport byte, dst []byte) []byte {
			header := []byte{1, 0, 0, 0, 0, vport, 0, 0, 0, 0, group >> 8, group & 0xff}
			return append(header, build(t, frameOptions{src: macA, dst: dst})...)
		}
		for range 3 {
			e.one(cpuPort, out(1, unknown))
		}
		e.dropped(cpuPort, out(1, unknown), "ingress", 81)
		for range 5 {
			e.one(cpuPort, out(1, broadcast)) // metered where it came in
			e.one(cpuPort, out(0, unknown))   // of no vport
		}
	})
}

// TestDropsAreCountedByVPort: what the target drops of a vport's frames is counted by its local number and reason, malformed ones too if their port and tag are whole; what
// no vport sent is number 0's.
func TestDropsAreCountedByVPort(t *testing.T) {
	e := bridged(t)
	e.add("ingress.port_map", exact(num(3), num(0), num(0)), "ingress.set_vport", num(3))
	e.add("ingress.port_tags", exact(num(3)), "ingress.keep_tag", num(3))
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(1), num(7))
	want := map[string]map[int]uint64{"ingress": {}, "egress": {}}
	drops := func(port uint16, frame []byte, control string, vport, reason int) {
		t.Helper()
		e.dropped(port, frame, control, reason)
		want[control][vport<<4|reason&0xf]++
	}
	check := func() {
		t.Helper()
		for control, cells := range want {
			c, ok := e.Counter(control + ".vport_drops")
			if !ok {
				t.Fatalf("no counter %s.vport_drops", control)
			}
			for i := range 1 << 16 {
				if n, err := c.Read(i); err != nil || n.Packets != cells[i] {
					t.Errorf("%s.vport_drops[%d<<4 | %d]: %d, %v, want %d", control, i>>4, i&0xf, n.Packets, err, cells[i])
				}
			}
		}
	}
	for _, v6 := range []bool{false, true} {
		plain := build(t, frameOptions{src: macA, dst: macB, v6: v6})
		tagged := build(t, frameOptions{src: macB, dst: macA, v6: v6, vid: 7})
		alien := build(t, frameOptions{src: macB, dst: macA, v6: v6, vid: 9})
		drops(1, plain[:40], "ingress", 1, 64)
		drops(2, tagged[:40], "ingress", 2, 64)
		drops(3, alien[:40], "ingress", 3, 64)
		drops(2, alien[:40], "ingress", 0, 64)
		drops(2, tagged[:16], "ingress", 0, 64) // its tag is cut off
		drops(1, plain[:12], "ingress", 0, 64)
		drops(9, plain[:40], "ingress", 0, 64)
		drops(9, plain, "ingress", 0, 65)
		drops(1, build(t, frameOptions{src: make([]byte, 6), dst: macB, v6: v6}), "ingress", 1, 79)
	}
	check()
	e = routed(t)
	clear(want["ingress"])
	e.add("ingress.location", exact(num(destB), num(0)), "ingress.to_port", num(2), num(2), num(0), num(0))
	for _, v6 := range []bool{false, true} {
		frame := build(t, frameOptions{src: macA, dst: macG, v6: v6})
		e.one(1, frame)
		drops(1, frame[:len(frame)-1], "egress", 1, 83)
		header := []byte{1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 77} // packet-out for vport 2 to where nobody knows
		if out := e.send(cpuPort, append(header, frame...)); len(out) != 0 {
			t.Errorf("%d frames left", len(out))
		}
		want["ingress"][2<<4|77&0xf]++
	}
	check()
}
