package p4rt

import (
	"cmp"
	"slices"
)

// InOrder splits updates into stages so that each refers only to what earlier stages have made
// (Spec 12.1: a batch has no order of its own). Inserts and modifies come first:
//
//	multicast groups, clone sessions, members → action groups → tables, by @refers_to → the rest
//
// where the rest is what belongs to entries (direct counters and meters); then deletes, in reverse.
// Within a stage the updates keep their order; updates of one key never change places: one that
// would is in a stage of its own behind the others.
func InOrder(updates []Update) [][]Update {
	type ranked struct {
		rank   int
		update Update
	}
	list := make([]ranked, 0, len(updates))
	last := make(map[Key]int, len(updates)) // rank of the key's latest update
	late := 0
	for _, u := range updates {
		if u.Entity == nil {
			list = append(list, ranked{0, u}) // Write refuses it
			continue
		}
		r, k := rank(u), u.Entity.Key()
		if before, ok := last[k]; ok && before > r {
			late++
			r = lateRank + late
		}
		last[k] = r
		list = append(list, ranked{r, u})
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	var out [][]Update
	for i, x := range list {
		if i == 0 || list[i-1].rank != x.rank {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], x.update)
	}
	return out
}

// lateRank is beyond all ranks of deletes.
const lateRank = 1 << 22

// rank orders kinds of entities by what they refer to; that of deletes is beyond all others and
// falls where that of sets rises.
func rank(u Update) int {
	r := 0
	switch e := u.Entity.(type) {
	case *ActionGroup:
		r = 1
	case *Entry:
		r = 2 + e.Table.level
	case *DirectCounter:
		r = lateRank/4 - 1
	case *DirectMeter:
		r = lateRank/4 - 1
	}
	if u.Op == Delete {
		return lateRank/2 - r
	}
	return r
}
