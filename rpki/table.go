package rpki

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync"

	"github.com/gaissmai/bart"
)

// MaxCaches is of how many caches a table keeps what they tell apart.
const MaxCaches = 16

// table has the VRPs of all caches: what any of them tells counts (RFC 8210 section 10). The zero value is empty.
type table struct {
	mu       sync.RWMutex
	prefixes bart.Table[[]entry]
	counts   [MaxCaches][2]int // VRPs of each cache, of IPv4 and of IPv6
	size     [2]int            // of all: each once
}

// entry is a VRP of the prefix that it stands at.
type entry struct {
	as     uint32
	maxLen uint8
	of     uint16 // bits of the caches that tell it
	fresh  bool   // while a cache's are replaced: it told it again
}

// changes are the prefixes of VRPs that came or went.
type changes = bart.Lite

// Validate says what the VRPs say of a route, and of one that is not valid, why, by a VRP that covers it.
func (t *table) Validate(p netip.Prefix, origin uint32) (s State, why VRP) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s = NotFound
	for at, entries := range t.prefixes.Supernets(p) { // the most specific first
		for _, e := range entries {
			if e.as == origin && origin != NoOrigin && p.Bits() <= int(e.maxLen) {
				return Valid, VRP{}
			}
			if better := e.as == origin && why.AS != origin; s == NotFound || better { // one that only its length is too great for tells more
				s, why = Invalid, VRP{at, e.maxLen, e.as}
			}
		}
	}
	return s, why
}

// replace has a cache's VRPs be these, which are sorted and distinct.
func (t *table) replace(cache int, all []VRP) *changes {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := new(changes)
	for _, v := range all {
		t.announceLocked(cache, v, true, c)
	}
	var gone []VRP
	for p, entries := range t.prefixes.All() {
		for i := range entries {
			if e := &entries[i]; e.of&(1<<cache) != 0 && !e.fresh {
				gone = append(gone, VRP{p, e.maxLen, e.as})
			} else {
				e.fresh = false
			}
		}
	}
	for _, v := range gone {
		t.withdrawLocked(cache, v, c)
	}
	return c
}

// change takes an update of a cache: what it announces and withdraws. An error says what does not fit what it told before; then nothing is changed.
func (t *table) change(cache int, announced, withdrawn []VRP) (*changes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(withdrawn, VRP.compare)
	for i, v := range withdrawn {
		if !t.hasLocked(cache, v) || i > 0 && v == withdrawn[i-1] {
			return nil, &protocolError{errUnknownWithdrawal, fmt.Sprintf("it withdraws %s, which it did not announce", v)}
		}
	}
	slices.SortFunc(announced, VRP.compare)
	for i, v := range announced {
		if i > 0 && v == announced[i-1] {
			return nil, &protocolError{errDuplicate, fmt.Sprintf("it announces %s twice", v)}
		}
		if _, gone := slices.BinarySearchFunc(withdrawn, v, VRP.compare); !gone && t.hasLocked(cache, v) {
			return nil, &protocolError{errDuplicate, fmt.Sprintf("it announces %s, which it has announced before", v)}
		}
	}
	c := new(changes)
	for _, v := range withdrawn {
		t.withdrawLocked(cache, v, c)
	}
	for _, v := range announced {
		t.announceLocked(cache, v, false, c)
	}
	return c, nil
}

func (t *table) entryLocked(v VRP) *entry {
	entries, _ := t.prefixes.Get(v.Prefix)
	for i := range entries {
		if entries[i].as == v.AS && entries[i].maxLen == v.MaxLen {
			return &entries[i]
		}
	}
	return nil
}

func (t *table) hasLocked(cache int, v VRP) bool {
	e := t.entryLocked(v)
	return e != nil && e.of&(1<<cache) != 0
}

// announceLocked has a VRP be one of a cache's.
func (t *table) announceLocked(cache int, v VRP, fresh bool, c *changes) {
	e := t.entryLocked(v)
	if e == nil {
		entries, _ := t.prefixes.Get(v.Prefix)
		t.prefixes.Insert(v.Prefix, append(entries, entry{as: v.AS, maxLen: v.MaxLen, of: 1 << cache, fresh: fresh}))
		t.size[version(v.Prefix)]++
		t.counts[cache][version(v.Prefix)]++
		c.Insert(v.Prefix)
		return
	}
	e.fresh = fresh
	if e.of&(1<<cache) == 0 {
		e.of |= 1 << cache
		t.counts[cache][version(v.Prefix)]++
	}
}

// withdrawLocked takes a VRP from a cache's.
func (t *table) withdrawLocked(cache int, v VRP, c *changes) {
	e := t.entryLocked(v)
	e.of &^= 1 << cache
	t.counts[cache][version(v.Prefix)]--
	if bits.OnesCount16(e.of) > 0 {
		return
	}
	t.size[version(v.Prefix)]--
	c.Insert(v.Prefix)
	entries, _ := t.prefixes.Get(v.Prefix)
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.as == v.AS && e.maxLen == v.MaxLen })
	if len(entries) == 0 {
		t.prefixes.Delete(v.Prefix)
	} else {
		t.prefixes.Insert(v.Prefix, entries)
	}
}

// of is how many VRPs a cache has told.
func (t *table) of(cache int) (v4, v6 int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.counts[cache][0], t.counts[cache][1]
}

func version(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}
