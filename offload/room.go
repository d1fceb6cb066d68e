package offload

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/p4rt"
)

// Pool is where entries are counted that a limit is for.
type Pool struct {
	Table *p4rt.Table // flow tables, src_class, dst_class, nat_v4, nat_v6; nil: the flow entries of all of them
	VPort uint16      // local number; 0: the entries of all vports
}

// rooms count what there is, and know how much there may be.
type rooms struct {
	held    map[Pool]int64
	leaving map[*p4rt.Table]int64 // deleted, and the target has not said so
	whys    map[*p4rt.Table]roomErrors
	instead map[*p4rt.Table]*p4rt.Table // where what has no room in one goes: the former is full to no harm while the latter has room
	share   int64                       // percent of each table that one vport may hold
	limit   int64                       // flow entries of the edge; 0: what the tables hold
	scarce  int                         // pools that are filled to within an eighth
	tight   int                         // pools that are filled to within a sixteenth
}

func newRooms(t *Tables, share int) rooms {
	return rooms{
		held: map[Pool]int64{}, leaving: map[*p4rt.Table]int64{}, whys: map[*p4rt.Table]roomErrors{}, share: int64(share),
		instead: map[*p4rt.Table]*p4rt.Table{t.wild4.Table: t.exact4.Table, t.wild6.Table: t.exact6.Table},
	}
}

// Limit bounds the flow entries of all tables together; 0: the tables' sizes do. It is for a Placer that has placed nothing yet.
func (r *rooms) Limit(entries int64) { r.limit = entries }

// most is the limit of a pool; 0: it has none.
func (r *rooms) most(p Pool) int64 {
	size := r.limit
	if p.Table != nil {
		size = p.Table.Size
	}
	switch {
	case size == 0 || p.VPort == 0:
		return size
	case r.share >= 100:
		return 0
	}
	return max(1, size*r.share/100)
}

// scarceAt, tightAt and relievedAt are marks of a pool with a limit: from where on a flow must come twice to get an entry, from where on entries are evicted, and
// down to where. Where there is room for one, that stays: nothing else would be left.
func scarceAt(limit int64) int64   { return limit - limit/8 }
func tightAt(limit int64) int64    { return max(2, limit-limit/16) }
func relievedAt(limit int64) int64 { return limit - max(1, limit/8) }

// room says why a vport can have no further entry in a table; nil: it can. Table nil: no further flow entry in any.
func (r *rooms) room(vport uint16, t *p4rt.Table) error {
	if limit := r.most(Pool{Table: t}); limit > 0 && r.held[Pool{Table: t}]+r.leaving[t] >= limit {
		return r.reasons(t).full
	}
	if own := (Pool{t, vport}); r.most(own) > 0 && r.held[own] >= r.most(own) {
		return r.reasons(t).share
	}
	return nil
}

// scarcity says why a vport's further entries in a table are few; nil: they are not.
func (r *rooms) scarcity(vport uint16, t *p4rt.Table) error {
	if own := (Pool{t, vport}); r.most(own) > 0 && r.held[own] >= scarceAt(r.most(own)) {
		return r.reasons(t).share
	}
	if limit := r.most(Pool{Table: t}); limit > 0 && r.held[Pool{Table: t}] >= scarceAt(limit) {
		return r.reasons(t).full
	}
	return nil
}

// roomErrors are made once for a table: each decision meets them while a lane is full.
type roomErrors struct{ full, share error }

func (r *rooms) reasons(t *p4rt.Table) roomErrors {
	why, ok := r.whys[t]
	if !ok {
		name := "all flow entries"
		if t != nil {
			name = t.Name
		}
		why = roomErrors{fmt.Errorf("%w: %s", ErrFull, name), fmt.Errorf("%w: %s", ErrShare, name)}
		r.whys[t] = why
	}
	return why
}

// hold counts n entries of a vport more.
func (r *rooms) hold(vport uint16, t *p4rt.Table, n int64) {
	for _, p := range [2]Pool{{t, 0}, {t, vport}} {
		before := r.held[p]
		after := before + n
		if r.held[p] = after; after == 0 {
			delete(r.held, p)
		}
		if limit := r.most(p); limit > 0 && r.instead[t] == nil {
			r.scarce += crossed(before, after, scarceAt(limit))
			r.tight += crossed(before, after, tightAt(limit))
		}
	}
}

func crossed(before, after, mark int64) int {
	switch {
	case before < mark && after >= mark:
		return 1
	case before >= mark && after < mark:
		return -1
	}
	return 0
}

// holdFlow is hold of flow entries.
func (r *rooms) holdFlow(vport uint16, t *p4rt.Table, n int64) {
	r.hold(vport, t, n)
	r.hold(vport, nil, n)
}

// leave notes that an entry is being deleted, and returns what is to be called when it was: until then its room is not there. Nil: the table has no limit.
func (r *rooms) leave(t *p4rt.Table) (confirm func()) {
	if t.Size == 0 {
		return nil
	}
	r.leaving[t]++
	return func() { r.leaving[t]-- }
}

// Scarce reports whether there is a pool of which a flow may be refused an entry at its first packet.
func (r *rooms) Scarce() bool { return r.scarce > 0 }

// Tight reports whether there is a pool from which entries are to be evicted.
func (r *rooms) Tight() bool { return r.tight > 0 }

// ScarceFor says why there is little room for a vport's megaflow, be it ErrFull or ErrShare: all lanes that could hold it, or what it needs beside its entry, are filled to within an
// eighth. Nil: there is room.
func (p *Placer) ScarceFor(m *Megaflow, vport uint16) error {
	if p.scarce == 0 {
		return nil
	}
	candidates, err := lanes(m)
	if err != nil {
		return nil // it will not be placed anyhow
	}
	if err := p.scarcity(vport, nil); err != nil {
		return err
	}
	if m.translated() {
		if err := p.scarcity(vport, p.t.natTable(m.Key.Is4()).Table); err != nil {
			return err
		}
	}
	if _, scoped := p.scopes.Lookup(macAt{vport, m.Key.DstMAC}); !scoped && candidates[0] != LaneClass {
		if err := p.scarcity(vport, p.t.dstClass.Table); err != nil {
			return err
		}
	}
	var why error
	for _, lane := range candidates {
		var name string
		err := p.scarcity(vport, p.t.flowTable(lane, m.Key.Is4(), &name).Table)
		if err == nil {
			return nil
		}
		if !errors.Is(why, ErrShare) {
			why = err
		}
	}
	return why
}

// Excess is how many entries a vport is to give back in a pool.
type Excess struct {
	Pool    // of the vport
	Entries int64
	Share   bool // it has its share; else all together have too many, and it has most of them
}

// Excess returns what is to be evicted: of a vport that has nearly its share of a table as many as bring it down by an eighth of that; and where a table, or the
// edge, is nearly full, of those vports that have most, so many that none of them has more than another that gave something. Who has less than that gives nothing: what one vport
// sends never evicts the entries of others that have fewer.
func (r *rooms) Excess() (all []Excess) {
	if r.tight == 0 {
		return nil
	}
	byTable := map[*p4rt.Table][]Excess{}
	for p, n := range r.held {
		if p.VPort == 0 || r.most(Pool{Table: p.Table}) == 0 {
			continue
		}
		x := Excess{Pool: p}
		if limit := r.most(p); r.isTight(p) {
			x.Entries, x.Share = n-relievedAt(limit), true
		}
		byTable[p.Table] = append(byTable[p.Table], x)
	}
	for t, list := range byTable {
		whole := Pool{Table: t}
		left := r.held[whole]
		for _, x := range list {
			left -= x.Entries
		}
		if r.isTight(whole) && left >= tightAt(r.most(whole)) {
			r.level(list, relievedAt(r.most(whole)))
		}
		for _, x := range list {
			if x.Entries > 0 {
				all = append(all, x)
			}
		}
	}
	slices.SortFunc(all, func(x, y Excess) int { return cmp.Or(cmp.Compare(y.Entries, x.Entries), cmp.Compare(x.VPort, y.VPort)) })
	return all
}

// isTight reports whether entries of a pool are to be evicted.
func (r *rooms) isTight(p Pool) bool {
	if other := r.instead[p.Table]; other != nil && !r.isTight(Pool{other, p.VPort}) {
		return false
	}
	limit := r.most(p)
	return limit > 0 && r.held[p] >= tightAt(limit)
}

// level cuts all to the same number, the greatest with which they have no more than target together.
func (r *rooms) level(list []Excess, target int64) {
	slices.SortFunc(list, func(x, y Excess) int {
		return cmp.Or(cmp.Compare(r.held[x.Pool]-x.Entries, r.held[y.Pool]-y.Entries), cmp.Compare(x.VPort, y.VPort))
	})
	for i := range list {
		has := r.held[list[i].Pool] - list[i].Entries
		level := max(0, target) / int64(len(list)-i)
		if has <= level {
			target -= has
			continue
		}
		for j := range list[i:] {
			x := &list[i+j]
			x.Entries = r.held[x.Pool] - level
		}
		return
	}
}

// Holds reports whether a megaflow has, or shares, an entry in the table of a pool. Table nil: it always does.
func (p *Placer) Holds(x *Placed, t *p4rt.Table) bool {
	switch t {
	case nil, p.t.dstClass.Table:
		return true
	case p.t.srcClass.Table:
		return x.Guards.KnownSource
	case p.t.nat4.Table, p.t.nat6.Table:
		return x.Translates() && (t == p.t.nat4.Table) == x.Key.Is4()
	}
	var name string
	return p.t.flowTable(x.Lane, x.Key.Is4(), &name).Table == t
}

// Local is the local number of the vport by which a megaflow's packets come in.
func (x *Placed) Local() uint16 { return x.ids.vport }
