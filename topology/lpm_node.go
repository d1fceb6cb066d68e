package topology

import (
	"math/bits"
	"unique"
	"unsafe"
)

// lpmNode is a fork of the trie: it tells apart, by the six bits that follow, what shares its own prefix. The zero value is the empty table. One cache line.
//
// A fork's depth is a multiple of six. A prefix of up to six more bits is at home in it: those of up to five are counted as nodes of a binary tree, where 1 is the prefix of none,
// 2i and 2i+1 are one bit longer than i; those of six are its leaves. (Only at depth 0 there is one of none.) What is longer is behind one of its 64 kids, a fork of greater depth.
// Valid iff a prefix is at home in it, or it has two kids.
type lpmNode struct {
	hi, lo   uint64   // the prefix; bits behind it are zero, but for the lowest 8 of lo, which no fork's prefix needs: see depth and owned. IPv4 in the upper half of hi
	kids     uint64   // which of the 64 are there
	leaves   uint64   // which of its prefixes of six bits are there
	prefixes uint64   // which of the shorter ones are there
	tree     uint64   // prefixes, and all that a prefix, a leaf or a kid is behind
	forks    *lpmNode // the first of an array of kids
	entries  *lpmLeaf // the first of an array of what is at home here: prefixes, then leaves
}

// lpmLeaf is a prefix of the table.
type lpmLeaf struct {
	entry *lpmEntry
	hop   unique.Handle[Hop] // where the only route of entry leads; zero: more than that are to be looked at. In big tables many entries share one, so that it is in the cache
}

const (
	strideBits = 6
	loOwned    = 1 << 0 // its arrays were made by the edit that is under way
	loDeepest  = 1 << 1 // its depth is 126; else that is in the 7 bits from here on, and this one, as it is even, is 0
	maxDepth   = 126
)

// newFork returns a fork at depth, on the way to (hi, lo), with nothing in it.
func newFork(hi, lo uint64, depth uint8) lpmNode {
	n := lpmNode{}
	if n.hi, n.lo = maskKey(hi, lo, depth); depth == maxDepth {
		n.lo |= loDeepest
	} else {
		n.lo |= uint64(depth) << 1
	}
	return n
}

func (n *lpmNode) depth() uint8 {
	if n.lo&loDeepest != 0 {
		return maxDepth
	}
	return uint8(n.lo) >> 1
}

// home returns the depth of the fork that a prefix is at home in.
func home(size uint8) uint8 {
	if size == 0 {
		return 0
	}
	return (size - 1) / strideBits * strideBits
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

// number returns which prefix of a fork at depth p is: one of up to five bits more.
func (p *lpmPrefix) number(depth uint8) uint {
	n := p.size - depth
	return 1<<n | stride(p.hi, p.lo, depth)>>(strideBits-n)
}

// kid returns the fork behind the six bits x. Valid iff it is there.
func (n *lpmNode) kid(x uint) *lpmNode { return at(n.forks, rank(n.kids, x)) }

// prefix returns the prefix with number i. Valid iff it is there.
func (n *lpmNode) prefix(i uint) *lpmLeaf { return at(n.entries, rank(n.prefixes, i)) }

// leaf returns the prefix of the six bits x. Valid iff it is there.
func (n *lpmNode) leaf(x uint) *lpmLeaf {
	return at(n.entries, bits.OnesCount64(n.prefixes)+rank(n.leaves, x))
}

// at returns element i of the array that begins with first.
func at[T any](first *T, i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(first), uintptr(i)*unsafe.Sizeof(*first)))
}

// fork returns how many of the six bits x tell what is on the way to x from all that is not. above: ancestors[x]. Valid iff there is neither kid nor leaf x, but something.
func (n *lpmNode) fork(x uint, above uint64) uint8 {
	last := highest(n.tree & above)
	level := uint(bits.Len(last)) - 1
	if level == strideBits-1 {
		return uint8(level) + uint8((n.kids|n.leaves)>>(x^1)&1)
	}
	next := last<<1 | x>>(strideBits-1-level)&1
	return uint8(level) + uint8(n.tree>>(next^1)&1)
}

// each calls yield with all groups of routes below n, by destination, until it returns false.
func (n *lpmNode) each(yield func(*routeGroup) bool) bool {
	return n.eachEntry(func(en *lpmEntry) bool {
		for i := range en.groups {
			if !yield(&en.groups[i]) {
				return false
			}
		}
		return true
	})
}

// eachEntry calls yield with all entries below n, by destination, until it returns false.
func (n *lpmNode) eachEntry(yield func(*lpmEntry) bool) bool {
	return n.tree == 0 || n.eachBelow(1, yield)
}

// eachBelow does the same for one of the nodes of a fork's binary tree; 64 and more are the six bits.
func (n *lpmNode) eachBelow(i uint, yield func(*lpmEntry) bool) bool {
	if x := i - 64; i >= 64 {
		return (n.leaves>>x&1 == 0 || yield(n.leaf(x).entry)) && (n.kids>>x&1 == 0 || n.kid(x).eachEntry(yield))
	}
	if n.tree>>i&1 == 0 {
		return true
	}
	if n.prefixes>>i&1 != 0 && !yield(n.prefix(i).entry) {
		return false
	}
	return n.eachBelow(2*i, yield) && n.eachBelow(2*i+1, yield)
}
