package offload

import "iter"

// IDs hands out local numbers for keys and counts the references to them. A number whose last reference went is free again only when
// the caller says that the target has confirmed the delete: until then it could still be met by packets. Of the free numbers the one that was used
// longest ago is given, and one that never was before any other: a packet that is late is then rarely taken for another's.
type IDs[K comparable] struct {
	slots map[K]*slot
	keys  []K // by number
	free  []uint16
	next  uint16 // numbers from next up were never used, but for those in ahead
	max   uint16

	reserved map[K]uint16
	ahead    map[uint16]struct{} // numbers from next up that are or were reserved
	withheld []uint16
}

type slot struct {
	id   uint16
	refs int
}

// NewIDs returns numbers from 1 to maximum.
func NewIDs[K comparable](maximum uint16) *IDs[K] {
	return &IDs[K]{slots: make(map[K]*slot), next: 1, max: maximum}
}

// Acquire adds a reference to k's number. Fresh: k had none, and its entry must be written. Not ok: no number is left.
func (a *IDs[K]) Acquire(k K) (id uint16, fresh, ok bool) {
	if s := a.slots[k]; s != nil {
		s.refs++
		return s.id, false, true
	}
	for ; a.next != 0 && a.next <= a.max; a.next++ {
		if _, taken := a.ahead[a.next]; !taken {
			break
		}
		delete(a.ahead, a.next)
	}
	own, has := a.reserved[k]
	switch {
	case has:
		id = own
		delete(a.reserved, k)
	case a.next != 0 && a.next <= a.max:
		id = a.next
		a.next++
	case len(a.free) > 0:
		id, a.free = a.free[0], a.free[1:]
	default:
		return 0, false, false
	}
	for len(a.keys) <= int(id) {
		var none K
		a.keys = append(a.keys, none)
	}
	a.keys[id], a.slots[k] = k, &slot{id: id, refs: 1}
	return id, true, true
}

// Reserve keeps a number for a key that had it before, as a target says. It is for a space of which no number was given yet; of two keys with one number the first gets it.
func (a *IDs[K]) Reserve(k K, id uint16) {
	if a.reserved == nil {
		a.reserved, a.ahead = map[K]uint16{}, map[uint16]struct{}{}
	}
	_, had := a.reserved[k]
	if _, taken := a.ahead[id]; had || taken || id < a.next || id > a.max {
		return
	}
	a.reserved[k], a.ahead[id] = id, struct{}{}
}

// Withhold keeps a number from being given that a target has for something else, which goes; that of a key stays the key's.
func (a *IDs[K]) Withhold(id uint16) {
	if a.ahead == nil {
		a.reserved, a.ahead = map[K]uint16{}, map[uint16]struct{}{}
	}
	if _, taken := a.ahead[id]; !taken && id >= a.next && id <= a.max {
		a.ahead[id] = struct{}{}
		a.withheld = append(a.withheld, id)
	}
}

// Unreserve gives free what was reserved and is not used, and what was withheld: the target has it no more.
func (a *IDs[K]) Unreserve() {
	unused := a.withheld
	for k, id := range a.reserved {
		delete(a.reserved, k)
		unused = append(unused, id)
	}
	a.withheld = nil
	for _, id := range unused {
		if _, ahead := a.ahead[id]; ahead {
			delete(a.ahead, id)
		} else {
			a.free = append(a.free, id)
		}
	}
}

// Release drops a reference. Last: the entry must be deleted, and the number given back with Confirm.
func (a *IDs[K]) Release(k K) (id uint16, last bool) {
	s := a.slots[k]
	if s == nil || s.refs == 0 {
		panic("offload: reference released twice")
	}
	s.refs--
	if s.refs > 0 {
		return s.id, false
	}
	delete(a.slots, k)
	return s.id, true
}

// Confirm makes a number free again.
func (a *IDs[K]) Confirm(id uint16) { a.free = append(a.free, id) }

// KeyOf returns what a number that is not free is for.
func (a *IDs[K]) KeyOf(id uint16) K { return a.keys[id] }

// All yields the keys that have a number, and the numbers.
func (a *IDs[K]) All() iter.Seq2[K, uint16] {
	return func(yield func(K, uint16) bool) {
		for k, s := range a.slots {
			if !yield(k, s.id) {
				return
			}
		}
	}
}

// Lookup returns k's number, if it has one.
func (a *IDs[K]) Lookup(k K) (uint16, bool) {
	if s := a.slots[k]; s != nil {
		return s.id, true
	}
	return 0, false
}

// References returns how many references there are to k's number.
func (a *IDs[K]) References(k K) int {
	if s := a.slots[k]; s != nil {
		return s.refs
	}
	return 0
}
