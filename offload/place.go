package offload

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

type macAt struct {
	vport uint16
	mac   packet.MAC
}

// rewriteKey is what a rewrite id is for.
type rewriteKey struct {
	src, dst packet.MAC // zero: MACs stay
	mtu      uint16     // bytes of IP packet
	link     uint16     // number of the links whose rates are taken from; 0: none
}

// Placer keeps what megaflows need at one edge: room in the lanes, scopes, rewrites and known sources, with references. It sends nothing: it
// returns updates in stages, each to be acknowledged before the next is sent, as p4rt.Writer does. Not safe for concurrent use.
type Placer struct {
	t        *Tables
	scopes   *IDs[macAt]
	sources  *IDs[macAt] // ids are not used, references are
	rewrites *IDs[rewriteKey]
	nats4    *IDs[translationKey] // of egress.nat_v4
	nats6    *IDs[translationKey]
	links    *Links
	classes  map[macAt]int          // megaflows that are a dst_class entry
	entries  map[uint64]sharedEntry // by hash
	seed     maphash.Seed
	rooms
}

// sharedEntry is a flow entry with the megaflows that need it: those that differ only in a source MAC, which src_class checks, share one.
type sharedEntry struct {
	placed *Placed // one of them, or one that was
	refs   int
}

// NewPlacer returns a Placer for an edge whose tables hold no flows. No vport gets more than share percent of a table, so that what one sends to or from
// leaves room for the others.
func NewPlacer(t *Tables, share int) *Placer {
	return &Placer{
		t: t, rooms: newRooms(t, share), scopes: NewIDs[macAt](65535), sources: NewIDs[macAt](65535), rewrites: NewIDs[rewriteKey](numbersFor(t.l2Rewrite, t.l2Guard)),
		nats4: NewIDs[translationKey](65535), nats6: NewIDs[translationKey](65535), links: t.NewLinks(),
		classes: make(map[macAt]int), entries: make(map[uint64]sharedEntry), seed: maphash.MakeSeed(),
	}
}

// numbersFor is how many numbers there are for what has an entry in each of some tables.
func numbersFor(tables ...table) uint16 {
	n := int64(65535)
	for _, t := range tables {
		if t.Size > 0 {
			n = min(n, t.Size)
		}
	}
	return uint16(n)
}

// Links are the numbers of links that the placed megaflows refer to. Others may, too.
func (p *Placer) Links() *Links { return p.links }

// maxMTU stands for "no limit" in a rewrite: more than any IP packet's length field can say.
const maxMTU = 65535

// Place finds a lane for a megaflow of a local vport and returns the updates that install it: first what the flow entry refers to, then the
// entry, then what lets packets reach it. An error leaves the Placer as it was.
func (p *Placer) Place(m Megaflow, vport uint16) (*Placed, [][]p4rt.Update, error) {
	return p.PlaceIn(m, vport, 0)
}

// PlaceIn is Place of a megaflow that had a lane before: it has it again if there is room.
func (p *Placer) PlaceIn(m Megaflow, vport uint16, before Lane) (*Placed, [][]p4rt.Update, error) {
	m.settle()
	candidates, err := lanes(&m)
	if err != nil {
		return nil, nil, err
	}
	if i := slices.Index(candidates, before); i > 0 {
		candidates[0], candidates[i] = candidates[i], candidates[0]
	}
	at := macAt{vport, m.Key.DstMAC}
	lane, err := p.choose(candidates, &m, at)
	if err != nil {
		return nil, nil, err
	}
	if _, scoped := p.scopes.Lookup(at); lane != LaneClass && !scoped {
		err = p.room(vport, p.t.dstClass.Table)
	}
	if _, known := p.sources.Lookup(macAt{vport, m.Key.SrcMAC}); m.Guards.KnownSource && !known && err == nil {
		err = p.room(vport, p.t.srcClass.Table)
	}
	if err == nil {
		err = p.roomToTranslate(&m, vport)
	}
	if err != nil {
		return nil, nil, err
	}
	x := &placing{p: p, lane: lane, ids: localIDs{vport: vport}, at: at}
	if err = x.refer(&m); err == nil {
		err = x.reached(&m)
	}
	var placed *Placed
	if err == nil {
		placed, err = x.enter(&m)
	}
	if err != nil {
		x.undo()
		return nil, nil, err
	}
	return placed, [][]p4rt.Update{x.refers, x.entry, x.reach}, nil
}

// placing is a megaflow that is being placed: what it has acquired so far, and the updates for it.
type placing struct {
	p     *Placer
	lane  Lane
	ids   localIDs
	at    macAt
	undos []func()
	held  []*p4rt.Table // by fresh entries, beside the flow's own

	refers, entry, reach []p4rt.Update
}

// undo gives back what was acquired.
func (x *placing) undo() {
	for _, f := range x.undos {
		f()
	}
}

// acquire takes an id for a key; fresh: nobody had one.
func acquire[K comparable](x *placing, ids *IDs[K], k K, what string) (id uint16, fresh bool, err error) {
	id, fresh, ok := ids.Acquire(k)
	if !ok {
		return 0, false, fmt.Errorf("%w: %s", ErrNoID, what)
	}
	x.undos = append(x.undos, func() { unacquire(ids, k) })
	return id, fresh, nil
}

// refer acquires what the flow entry refers to: its rewrite and its translation.
func (x *placing) refer(m *Megaflow) error {
	p := x.p
	if m.Act == Drop && m.guarded() && m.Guards.MinTTL > flow.MaxTTLDec {
		return fmt.Errorf("%w: passes too many routers before it is dropped", ErrNotCovered)
	}
	link, err := x.link(m)
	if err != nil {
		return err
	}
	if k, rewrites := rewriteOf(m, link); rewrites {
		id, fresh, err := acquire(x, p.rewrites, k, "rewrites")
		if err != nil {
			return err
		}
		if x.ids.rewrite = id; fresh {
			x.refers = inserts(x.refers, p.t.rewrite(id, k)...)
		}
	}
	if m.translated() {
		k, nats := p.translation(m, x.ids.vport)
		id, fresh, err := acquire(x, nats, k, "translations")
		if err != nil {
			return err
		}
		if x.ids.nat = id; fresh {
			x.refers = inserts(x.refers, p.t.translation(m.Key.Is4(), id, k))
			x.held = append(x.held, p.t.natTable(m.Key.Is4()).Table)
		}
	}
	return nil
}

// rewriteOf returns the rewrite that the entry of a megaflow refers to, whose link has a number; false: none. A drop with a limit of length has one, for the limit, and what
// passes a link that has a rate, for that.
func rewriteOf(m *Megaflow, link uint16) (k rewriteKey, ok bool) {
	if !m.Rewrite.SetMACs && link == 0 && (m.Act != Drop || m.Guards.MaxLen == 0) {
		return k, false
	}
	k = rewriteKey{m.Rewrite.SrcMAC, m.Rewrite.DstMAC, m.Guards.MaxLen, link}
	if k.mtu == 0 {
		k.mtu = maxMTU
	}
	return k, true
}

// reached acquires what lets packets reach the flow entry: its scope, and its source.
func (x *placing) reached(m *Megaflow) error {
	p, vport := x.p, x.ids.vport
	if x.lane != LaneClass {
		id, fresh, err := acquire(x, p.scopes, x.at, "scopes")
		if err != nil {
			return err
		}
		if x.ids.scope = id; fresh {
			x.reach = inserts(x.reach, p.t.Scope(vport, m.Key.DstMAC, id))
			x.held = append(x.held, p.t.dstClass.Table)
		}
	}
	if m.Guards.KnownSource {
		_, fresh, err := acquire(x, p.sources, macAt{vport, m.Key.SrcMAC}, "known sources")
		if err != nil {
			return err
		}
		if fresh {
			x.reach = inserts(x.reach, p.t.KnownSource(vport, m.Key.SrcMAC))
			x.held = append(x.held, p.t.srcClass.Table)
		}
	}
	return nil
}

// enter makes the flow entry, or shares one that is there, and counts what is held. It is the last that can fail.
func (x *placing) enter(m *Megaflow) (*Placed, error) {
	p := x.p
	placed := newPlaced(m, x.lane, x.ids)
	entry := p.t.lower(m, x.lane, x.ids)
	hash := p.Hash(entry)
	placed.Hash = hash
	shared, there := p.entries[hash]
	if !there {
		shared.placed = placed
		p.holdFlow(x.ids.vport, entry.Table, 1)
		x.entry = inserts(nil, entry)
	} else if other := p.Entry(shared.placed); other.Key() != entry.Key() || !other.SameEffect(entry) {
		return nil, fmt.Errorf("%w: %s", ErrOccupied, entry)
	}
	shared.refs++
	p.entries[hash] = shared
	if x.lane == LaneClass {
		p.classes[x.at]++
	}
	for _, t := range x.held {
		p.hold(x.ids.vport, t, 1)
	}
	return placed, nil
}

// choose takes the first lane with room. dst_class can hold a megaflow or a scope for one MAC at one vport, not both.
func (p *Placer) choose(candidates []Lane, m *Megaflow, at macAt) (Lane, error) {
	_, scoped := p.scopes.Lookup(at)
	if err := p.room(at.vport, nil); err != nil {
		return 0, err
	}
	err := ErrFull
	for _, lane := range candidates {
		if lane == LaneClass && scoped {
			continue
		}
		if lane != LaneClass && p.classes[at] > 0 {
			return 0, fmt.Errorf("%w: table dst_class has a flow for %v at local vport %d", ErrOccupied, at.mac, at.vport)
		}
		var name string
		why := p.room(at.vport, p.t.flowTable(lane, m.Key.Is4(), &name).Table)
		if why == nil {
			return lane, nil
		}
		if !errors.Is(err, ErrShare) {
			err = why
		}
	}
	return 0, err
}

// Remove returns the updates that take a megaflow away, in the reverse order of Place, and confirm, to be called when the target has
// acknowledged them and all that was sent before: from then on the local ids and the entry's room can be used again. It is nil if none became free.
func (p *Placer) Remove(placed *Placed) (stages [][]p4rt.Update, confirm func()) {
	at := macAt{placed.ids.vport, placed.Key.DstMAC}
	var before, entry []p4rt.Update
	var freed []func()
	if placed.Guards.KnownSource {
		source := macAt{placed.ids.vport, placed.Key.SrcMAC}
		if id, last := p.sources.Release(source); last {
			before = deletes(before, p.t.KnownSource(source.vport, source.mac))
			freed = append(freed, func() { p.sources.Confirm(id) })
		}
	}
	e := p.Entry(placed)
	if placed.Lane != LaneClass {
		if id, last := p.scopes.Release(at); last {
			before = deletes(before, p.t.Scope(at.vport, at.mac, id))
			freed = append(freed, func() { p.scopes.Confirm(id) })
		}
	} else if p.classes[at]--; p.classes[at] == 0 {
		delete(p.classes, at)
	}
	hash := placed.Hash
	if shared := p.entries[hash]; shared.refs == 1 {
		delete(p.entries, hash)
		p.holdFlow(placed.ids.vport, e.Table, -1)
		if left := p.leave(e.Table); left != nil {
			freed = append(freed, left)
		}
		entry = deletes(nil, e)
	} else {
		shared.refs--
		p.entries[hash] = shared
	}
	after, more := p.unrefer(placed)
	for _, u := range before {
		p.hold(placed.ids.vport, u.Entity.(*p4rt.Entry).Table, -1)
	}
	return [][]p4rt.Update{before, entry, after}, confirmAll(append(freed, more...))
}

// Used returns the flows in a lane's table.
func (p *Placer) Used(lane Lane, v4 bool) int64 {
	var name string
	return p.held[Pool{Table: p.t.flowTable(lane, v4, &name).Table}]
}

// unacquire takes back an acquire whose entry was never written.
func unacquire[K comparable](a *IDs[K], k K) {
	if id, last := a.Release(k); last {
		a.Confirm(id)
	}
}

func inserts(us []p4rt.Update, entries ...*p4rt.Entry) []p4rt.Update {
	for _, e := range entries {
		us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: e})
	}
	return us
}

func deletes(us []p4rt.Update, entries ...*p4rt.Entry) []p4rt.Update {
	for _, e := range entries {
		us = append(us, p4rt.Update{Op: p4rt.Delete, Entity: e})
	}
	return us
}
