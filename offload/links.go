package offload

import (
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
)

// Links are an edge's local numbers for directions of links that have a rate (Q1), each named by the port at which its packets come in, and the references to them: the number is the
// cell of the link's meter. A port's number is its id modulo the number of cells, or the next one that is free, so that an agent that begins anew finds those that its target has.
// A number whose last reference went is free when the target has confirmed that nothing refers to it.
type Links struct {
	slots map[flow.VPortID]*slot
	ports map[uint16]flow.VPortID // of numbers that are not free
	size  int                     // cells: numbers are below it
}

// NewLinks returns numbers for the links that a target has meters for.
func (t *Tables) NewLinks() *Links {
	return &Links{slots: map[flow.VPortID]*slot{}, ports: map[uint16]flow.VPortID{}, size: int(min(t.links.Size, 1<<16))}
}

// Acquire adds a reference to the link's number. Not ok: no number is left.
func (l *Links) Acquire(port flow.VPortID) (id uint16, ok bool) {
	if s := l.slots[port]; s != nil {
		s.refs++
		return s.id, true
	}
	for i := range l.size - 1 {
		id := uint16(1 + (int(port)+i)%(l.size-1))
		if _, taken := l.ports[id]; !taken {
			l.ports[id], l.slots[port] = port, &slot{id: id, refs: 1}
			return id, true
		}
	}
	return 0, false
}

// Full reports whether no number is left.
func (l *Links) Full() bool { return len(l.ports) >= l.size-1 }

// Release drops a reference. Last: the number is to be given back with Confirm.
func (l *Links) Release(port flow.VPortID) (id uint16, last bool) {
	s := l.slots[port]
	if s == nil || s.refs == 0 {
		panic("offload: reference to a link released twice")
	}
	s.refs--
	if s.refs > 0 {
		return s.id, false
	}
	delete(l.slots, port)
	return s.id, true
}

// Confirm makes a number free again.
func (l *Links) Confirm(id uint16) { delete(l.ports, id) }

// Number returns the link's number, 0 if it has none.
func (l *Links) Number(port flow.VPortID) uint16 {
	if s := l.slots[port]; s != nil {
		return s.id
	}
	return 0
}

// References returns how many references there are to the link's number.
func (l *Links) References(port flow.VPortID) int {
	if s := l.slots[port]; s != nil {
		return s.refs
	}
	return 0
}

// Port returns the link of a number that is not free.
func (l *Links) Port(id uint16) flow.VPortID { return l.ports[id] }

// link adds a reference to the number of a megaflow's link; 0: it passes none that has a rate.
func (x *placing) link(m *Megaflow) (uint16, error) {
	if m.Link == 0 {
		return 0, nil
	}
	links := x.p.links
	id, ok := links.Acquire(m.Link)
	if !ok {
		return 0, fmt.Errorf("%w: links with a rate", ErrNoID)
	}
	x.undos = append(x.undos, func() {
		if id, last := links.Release(m.Link); last {
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

// LinkRate bounds what this edge may send over the link of a number, in bits a second; 0: any amount.
func (t *Tables) LinkRate(link uint16, rate int64) *p4rt.MeterCell {
	return bytesAt(t.links, link, rate)
}

// LinkLoads are the counters of what would pass links, within their rates or not, by number.
func (t *Tables) LinkLoads() *p4rt.CounterArray { return t.linkLoad }
