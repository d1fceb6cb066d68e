package engine

import (
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// TestFragmentsFull: when as many packets are remembered as may be, a port that has none yet gets no place, and what is remembered goes with its time all the same.
func TestFragmentsFull(t *testing.T) {
	frags := newFragments()
	first := firstFragment{1, 2, fragmentTime}
	for i := range uint32(maxFragmented) {
		frags.note(fragmented{ingress: flow.VPortID(1 + i/maxFragmentedOf), id: i}, first, maxFragmentedOf)
	}
	late := fragmented{ingress: 1 << 20, id: 7}
	frags.note(late, first, maxFragmentedOf)
	if _, has := frags.first[late]; has || len(frags.first) != maxFragmented {
		t.Fatalf("beyond the bound: remembered %v, %d in all", has, len(frags.first))
	}
	frags.sweep(0)
	if len(frags.first) != maxFragmented {
		t.Errorf("%d are left before their time", len(frags.first))
	}
	frags.sweep(2 * fragmentTime)
	if len(frags.first)+len(frags.of) != 0 {
		t.Errorf("%d are left, of %d ports", len(frags.first), len(frags.of))
	}
}

// TestFragmentShares: fragments of one port push out its own, and nobody else's; what is remembered goes with its time.
func TestFragmentShares(t *testing.T) {
	c := detached(t, idleStore(t))
	vm1, vm2 := vportOf(t, c, "vm1"), vportOf(t, c, "vm2")
	first := packet.Frame{Frag: packet.FragFirst, SrcPort: 1, DstPort: 2}
	of := func(n uint32) fragmented { return fragmented{ingress: vm1, id: n, proto: packet.ProtoUDP} }
	other := fragmented{ingress: vm2, id: 7, proto: packet.ProtoUDP}
	c.fragments.came(c, &first, other)
	const n = 3 * maxFragmentedOf / 2
	for i := range uint32(n) {
		c.fragments.came(c, &first, of(i))
		c.fragments.came(c, &first, of(i)) // twice
	}
	has := func(f fragmented) bool { _, ok := c.fragments.first[f]; return ok }
	if !has(other) || len(c.fragments.first) != maxFragmentedOf+1 {
		t.Errorf("the other's is there: %v; %d in all", has(other), len(c.fragments.first))
	}
	for i := range uint32(n) {
		if has(of(i)) != (i >= n-maxFragmentedOf) {
			t.Fatalf("number %d of %d is there: %v", i, n, has(of(i)))
		}
	}
	c.fragments.sweep(c.now())
	if len(c.fragments.first) != maxFragmentedOf+1 {
		t.Errorf("%d are left before their time", len(c.fragments.first))
	}
	c.fragments.sweep(c.now() + 2*fragmentTime)
	if len(c.fragments.first)+len(c.fragments.of) != 0 {
		t.Errorf("%d are left, of %d ports", len(c.fragments.first), len(c.fragments.of))
	}
}
