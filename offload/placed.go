package offload

import (
	"iter"
	"time"
	"unique"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
)

// Placed is a megaflow with its place: a handle for Replace and Remove. An edge may have a million, so it is small: what it refers to is told by numbers, which
// its Placer knows.
type Placed struct {
	Key    flow.Key
	mask   unique.Handle[flow.Mask]
	Idle   time.Duration
	Dest   flow.Dest
	Prio   int32
	Hash   uint64 // Placer.Hash of its entry
	Guards flow.Guards
	ids    localIDs
	tag    uint32
	ttlDec uint8
	Lane   Lane
	Act    Act
	flags  placedFlags
}

// placedFlags are what else a megaflow has.
type placedFlags uint8

const (
	setsMACs placedFlags = 1 << iota
	translates
	tracks
)

func newPlaced(m *Megaflow, lane Lane, ids localIDs) *Placed {
	x := &Placed{
		Key: m.Key, mask: unique.Make(m.Mask), Idle: m.Idle, Dest: m.Dest, Prio: m.Prio, Guards: m.Guards, ids: ids, tag: m.Tag, ttlDec: m.Rewrite.TTLDec, Lane: lane, Act: m.Act,
	}
	if m.Rewrite.SetMACs {
		x.flags |= setsMACs
	}
	if m.Rewrite.Translate {
		x.flags |= translates
	}
	if m.Tracked {
		x.flags |= tracks
	}
	return x
}

// Mask returns the bits that were read.
func (x *Placed) Mask() flow.Mask { return x.mask.Value() }

// Wild reports whether the entry has a priority, which is the megaflow's generation.
func (x *Placed) Wild() bool { return x.Lane == LaneWild || x.Lane == LaneWildL2 }

// Translates reports whether addresses or ports of the packets are changed.
func (x *Placed) Translates() bool { return x.flags&translates != 0 }

// Matched returns the bits in which packets agree that meet the entry.
func (x *Placed) Matched() flow.Mask { return x.Lane.Matched(x.mask.Value(), x.Key.EtherType) }

// Megaflow returns what was placed.
func (p *Placer) Megaflow(x *Placed) Megaflow {
	m := Megaflow{
		Key: x.Key, Mask: x.mask.Value(), Guards: x.Guards, Act: x.Act, Dest: x.Dest, Tracked: x.flags&tracks != 0, Tag: x.tag, Prio: x.Prio, Idle: x.Idle,
		Rewrite: flow.Rewrite{TTLDec: x.ttlDec},
	}
	if x.ids.rewrite != 0 {
		k := p.rewrites.KeyOf(x.ids.rewrite)
		m.Links = p.links.Set(k.link)
		if x.flags&setsMACs != 0 {
			m.Rewrite.SetMACs, m.Rewrite.SrcMAC, m.Rewrite.DstMAC = true, k.src, k.dst
		}
	}
	if x.flags&translates != 0 {
		nats := p.nats6
		if x.Key.Is4() {
			nats = p.nats4
		}
		k := nats.KeyOf(x.ids.nat)
		m.Rewrite.Translate, m.Rewrite.Src, m.Rewrite.Dst, m.Rewrite.SrcPort, m.Rewrite.DstPort = true, k.src, k.dst, k.srcPort, k.dstPort
	}
	return m
}

// Entry returns the flow entry of a megaflow.
func (p *Placer) Entry(x *Placed) *p4rt.Entry {
	m := p.Megaflow(x)
	return p.t.lower(&m, x.Lane, x.ids)
}

// Hash is that of an entry's key: flow entries of this Placer that have it in common are one.
func (p *Placer) Hash(e *p4rt.Entry) uint64 { return e.Hash(p.seed) }

// Beside yields the entries that what is placed needs beside the flow entries: what these refer to, and what leads to them.
func (p *Placer) Beside() iter.Seq[*p4rt.Entry] {
	return func(yield func(*p4rt.Entry) bool) {
		for k, id := range p.rewrites.All() {
			for _, e := range p.t.rewrite(id, k) {
				if !yield(e) {
					return
				}
			}
		}
		for v4, nats := range map[bool]*IDs[translationKey]{true: p.nats4, false: p.nats6} {
			for k, id := range nats.All() {
				if !yield(p.t.translation(v4, id, k)) {
					return
				}
			}
		}
		for at, id := range p.scopes.All() {
			if !yield(p.t.Scope(at.vport, at.mac, id)) {
				return
			}
		}
		for at := range p.sources.All() {
			if !yield(p.t.KnownSource(at.vport, at.mac)) {
				return
			}
		}
	}
}
