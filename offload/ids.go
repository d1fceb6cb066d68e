package offload

// ids hands out local numbers for keys and counts the references to them. A number whose last reference went is free again only when
// the caller says that the target has confirmed the delete: until then it could still be met by packets.
type ids[K comparable] struct {
	slots map[K]*slot
	free  []uint16
	next  uint16 // numbers from next up were never used
	max   uint16
}

type slot struct {
	id   uint16
	refs int
}

func newIDs[K comparable](maximum uint16) *ids[K] {
	return &ids[K]{slots: make(map[K]*slot), next: 1, max: maximum}
}

// acquire adds a reference to k's number. Fresh: k had none, and its entry must be written. Not ok: no number is left.
func (a *ids[K]) acquire(k K) (id uint16, fresh, ok bool) {
	if s := a.slots[k]; s != nil {
		s.refs++
		return s.id, false, true
	}
	switch {
	case len(a.free) > 0:
		id = a.free[len(a.free)-1]
		a.free = a.free[:len(a.free)-1]
	case a.next != 0 && a.next <= a.max:
		id = a.next
		a.next++
	default:
		return 0, false, false
	}
	a.slots[k] = &slot{id: id, refs: 1}
	return id, true, true
}

// release drops a reference. Last: the entry must be deleted, and the number given back with confirm.
func (a *ids[K]) release(k K) (id uint16, last bool) {
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

// confirm makes a number free again.
func (a *ids[K]) confirm(id uint16) { a.free = append(a.free, id) }

func (a *ids[K]) lookup(k K) (uint16, bool) {
	if s := a.slots[k]; s != nil {
		return s.id, true
	}
	return 0, false
}
