package offload

import (
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
)

// Links are an edge's local numbers for the sets of links with a rate that megaflows pass (Q1), and the references to them: the number is the cell of the set's meter. A single link's number
// is the id of its port modulo the number of cells, a larger set's follows from all of its ports; or it is the next one that is free: so an agent that begins anew finds those that its target has.
// A number whose last reference went is free when the target has confirmed that nothing refers to it.
type Links struct {
	slots map[flow.LinkSet]*slot
	sets  map[uint16]flow.LinkSet // of numbers that are not free
	size  int                     // cells: numbers are below it
}

// NewLinks returns numbers for the sets of links that a target has meters for.
func (t *Tables) NewLinks() *Links {
	return &Links{slots: map[flow.LinkSet]*slot{}, sets: map[uint16]flow.LinkSet{}, size: int(min(t.links.Size, 1<<16))}
}

// Acquire adds a reference to the set's number. Not ok: no number is left.
func (l *Links) Acquire(set flow.LinkSet) (id uint16, ok bool) {
	if s := l.slots[set]; s != nil {
		s.refs++
		return s.id, true
	}
	first := uint32(0)
	for _, port := range set.Links() {
		first = first*0x9e3779b1 + uint32(port)
	}
	for i := range l.size - 1 {
		id := uint16(1 + (int(first)+i)%(l.size-1))
		if _, taken := l.sets[id]; !taken {
			l.sets[id], l.slots[set] = set, &slot{id: id, refs: 1}
			return id, true
		}
	}
	return 0, false
}

// Free returns how many numbers are left.
func (l *Links) Free() int { return max(l.size-1-len(l.sets), 0) }

// Full reports whether no number is left.
func (l *Links) Full() bool { return l.Free() == 0 }

// Release drops a reference. Last: the number is to be given back with Confirm.
func (l *Links) Release(set flow.LinkSet) (id uint16, last bool) {
	s := l.slots[set]
	if s == nil || s.refs == 0 {
		panic("offload: reference to links released twice")
	}
	s.refs--
	if s.refs > 0 {
		return s.id, false
	}
	delete(l.slots, set)
	return s.id, true
}

// Confirm makes a number free again.
func (l *Links) Confirm(id uint16) { delete(l.sets, id) }

// Number returns the set's number, 0 if it has none.
func (l *Links) Number(set flow.LinkSet) uint16 {
	if s := l.slots[set]; s != nil {
		return s.id
	}
	return 0
}

// References returns how many references there are to the set's number.
func (l *Links) References(set flow.LinkSet) int {
	if s := l.slots[set]; s != nil {
		return s.refs
	}
	return 0
}

// Set returns what a number stands for that is not free.
func (l *Links) Set(id uint16) flow.LinkSet { return l.sets[id] }

// link adds a reference to the number of a megaflow's links; 0: it passes none that has a rate.
func (x *placing) link(m *Megaflow) (uint16, error) {
	if m.Links.IsZero() {
		return 0, nil
	}
	links, set := x.p.links, m.Links
	id, ok := links.Acquire(set)
	if !ok {
		return 0, fmt.Errorf("%w: links with a rate", ErrNoID)
	}
	x.undos = append(x.undos, func() {
		if id, last := links.Release(set); last {
			links.Confirm(id)
		}
	})
	return id, nil
}

// What may come at once: a fifth of a second's worth of bytes, and in any case some frames.
const (
	burstsASecond = 5
	leastBurst    = 15_000
)

// bytesAt is the cell of a meter of bytes for a rate in bits a second.
func bytesAt(m *p4rt.MeterArray, index uint16, rate int64) *p4rt.MeterCell {
	c := &p4rt.MeterCell{Array: m, Index: int64(index)}
	if rate > 0 {
		bytes := max(rate/8, 1)
		burst := max(bytes/burstsASecond, leastBurst)
		c.Config = &p4rt.MeterConfig{CIR: bytes, CBurst: burst, PIR: bytes, PBurst: burst}
	}
	return c
}

// SendRate bounds what the host of a local vport may send, in bits a second; 0: it may send any amount.
func (t *Tables) SendRate(vport uint16, rate int64) *p4rt.MeterCell {
	return bytesAt(t.sends, vport, rate)
}

// ReceiveRate bounds what the host of a local vport is sent, in bits a second; 0: it is sent any amount.
func (t *Tables) ReceiveRate(vport uint16, rate int64) *p4rt.MeterCell {
	return bytesAt(t.receives, vport, rate)
}

// LinkRate bounds what this edge may send over the links of a number, in bits a second; 0: any amount.
func (t *Tables) LinkRate(link uint16, rate int64) *p4rt.MeterCell {
	return bytesAt(t.links, link, rate)
}

// LinkLoads are the counters of what would pass sets of links, within their rates or not, by number.
func (t *Tables) LinkLoads() *p4rt.CounterArray { return t.linkLoad }
