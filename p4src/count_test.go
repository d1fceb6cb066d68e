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
	e.send(cpuPort, make([]byte, 12)) // a packet-out without a frame
	total := uint64(0)
	for index := range 1024 {
		total += e.count("ingress", index)
	}
	for index, want := range map[int]uint64{0: 2, 2: 1, 64: 1, 65: 1, 79: 3, sideUnderlay + 15: 1, 2*sideUnderlay + 64: 1} {
		if got := e.count("ingress", index); got != want {
			t.Errorf("ingress.reasons[%d]: %d, want %d", index, got, want)
		}
	}
	if total != 10 {
		t.Errorf("%d counted of 10 frames", total)
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
