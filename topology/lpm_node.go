package topology

import (
	"math/bits"
	"unsafe"

	"github.com/weft-sdn/weft/flow"
)

// lpmNode is a part of the trie: a leaf, which is one prefix with its entry, or a fork, which tells apart what shares its own prefix by the six bits
// that follow. The zero value is the empty table. One cache line.
//
// A fork's depth is a multiple of six. Its prefixes, those of up to five of the six bits, are counted as nodes of a binary tree: 1 is the prefix of none,
// 2i and 2i+1 are one bit longer than i. Those that are longer are behind one of its 64 kids, a leaf or a fork of greater depth. Valid iff it holds two things at least.
type lpmNode struct {
	hi, lo   uint64    // the prefix; bits behind it are zero. IPv4 in the upper half of hi
	meta     uint64    // length of the prefix in the lowest 8 bits; above, in a leaf, metaSole; in a fork, the version of the table whose edit may change child in place
	kids     uint64    // fork: which of the 64 are there; leaf: see setHop
	prefixes uint64    // fork: which of its prefixes are there
	tree     uint64    // fork: prefixes, and all that a prefix or a kid is behind
	child    *lpmNode  // fork: the first of an array of leaves for prefixes, then kids
	entry    *lpmEntry // leaf
}

const (
	strideBits = 6
	metaSole   = 1 << 8 // leaf: entry.sole is valid, and its hop is in kids, prefixes and tree
)

// setHop notes in a leaf where its only route leads: the gateway in kids and prefixes, as an address in a dependency; port, kind and the gateway's family in tree.
func (n *lpmNode) setHop(h Hop) {
	a := flow.AddrOf(h.Via)
	n.kids, n.prefixes = lpmKey(&a, h.Via.Is6())
	n.tree = uint64(h.Port)<<32 | uint64(h.Kind)<<8 | uint64(h.Via.BitLen())
	n.meta |= metaSole
}

// hop returns where the only route of a leaf leads.
func (n *lpmNode) hop() Hop {
	h := Hop{Port: flow.VPortID(n.tree >> 32), Kind: RouteKind(n.tree >> 8)}
	switch uint8(n.tree) {
	case 32:
		h.Via = addrOfKey(n.kids, n.prefixes, false)
	case 128:
		h.Via = addrOfKey(n.kids, n.prefixes, true)
	}
	return h
}

// ancestors has the numbers of the prefixes of a stride, by the stride.
var ancestors = func() (t [64]uint64) {
	for x := range t {
		for n := range strideBits {
			t[x] |= 1 << (1<<n | x>>(strideBits-n))
		}
	}
	return t
}()

func (n *lpmNode) bits() uint8 { return uint8(n.meta) }

func highest(set uint64) uint { return uint(63 - bits.LeadingZeros64(set)) }
func lowest(set uint64) uint  { return uint(bits.TrailingZeros64(set)) }

// rank returns how many of a set are less than i.
func rank(set uint64, i uint) int { return bits.OnesCount64(set & (1<<i - 1)) }

// stride returns the six bits of a key at depth.
func stride(hi, lo uint64, depth uint8) uint {
	switch {
	case depth <= 64-strideBits:
		return uint(hi>>(64-strideBits-depth)) & 63
	case depth < 64:
		return uint(hi<<(depth-(64-strideBits))|lo>>(128-strideBits-depth)) & 63
	case depth <= 128-strideBits:
		return uint(lo>>(128-strideBits-depth)) & 63
	}
	return uint(lo<<(depth-(128-strideBits))) & 63
}

// number returns which prefix of a fork at depth (hi, lo)/size is: depth ≤ size < depth + 6.
func number(hi, lo uint64, size, depth uint8) uint {
	n := size - depth
	return 1<<n | stride(hi, lo, depth)>>(strideBits-n)
}

// len returns the number of nodes at child.
func (n *lpmNode) len() int { return bits.OnesCount64(n.prefixes) + bits.OnesCount64(n.kids) }

// at returns node i of the array at child.
func (n *lpmNode) at(i int) *lpmNode {
	return (*lpmNode)(unsafe.Add(unsafe.Pointer(n.child), uintptr(i)*unsafe.Sizeof(lpmNode{})))
}

// children returns the array at child.
func (n *lpmNode) children() []lpmNode { return unsafe.Slice(n.child, n.len()) }

// kid returns the node behind the six bits x. Valid iff it is there.
func (n *lpmNode) kid(x uint) *lpmNode {
	return n.at(bits.OnesCount64(n.prefixes) + rank(n.kids, x))
}

// fork returns how many of the six bits x tell what is on the way to x from all that is not. above: ancestors[x]. Valid iff there is no kid x.
func (n *lpmNode) fork(x uint, above uint64) uint8 {
	last := highest(n.tree & above)
	level := uint(bits.Len(last)) - 1
	if level == strideBits-1 {
		return uint8(level) + uint8(n.kids>>(x^1)&1)
	}
	next := last<<1 | x>>(strideBits-1-level)&1
	return uint8(level) + uint8(n.tree>>(next^1)&1)
}

// each calls yield with all groups of routes below n, by destination, until it returns false.
func (n *lpmNode) each(yield func(*routeGroup) bool) bool {
	switch {
	case n.child != nil:
		return n.eachBelow(1, yield)
	case n.entry == nil:
		return true
	}
	for i := range n.entry.groups {
		if !yield(&n.entry.groups[i]) {
			return false
		}
	}
	return true
}

// eachBelow does the same for one of a fork's prefixes.
func (n *lpmNode) eachBelow(i uint, yield func(*routeGroup) bool) bool {
	if i >= 64 {
		return n.kids>>(i-64)&1 == 0 || n.kid(i-64).each(yield)
	}
	if n.tree>>i&1 == 0 {
		return true
	}
	if n.prefixes>>i&1 != 0 && !n.at(rank(n.prefixes, i)).each(yield) {
		return false
	}
	return n.eachBelow(2*i, yield) && n.eachBelow(2*i+1, yield)
}
