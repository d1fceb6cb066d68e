package engine

import (
	"cmp"
	"slices"

	"github.com/weft-sdn/weft/p4rt"
)

// entitySet is a number of parts, by key within their stage.
type entitySet [layoutStages]map[p4rt.Key]p4rt.Entity

func (s *entitySet) add(p *part) {
	for i, stage := range p.stages {
		if s[i] == nil && len(stage) > 0 {
			s[i] = make(map[p4rt.Key]p4rt.Entity, len(stage))
		}
		for _, e := range stage {
			s[i][e.Key()] = e
		}
	}
}

// diff returns the updates that turn before into after: what is referred to first, deletes last and in reverse.
func diff(before, after entitySet) [][]p4rt.Update {
	stages := make([][]p4rt.Update, 2*layoutStages)
	for i := range after {
		for key, want := range after[i] {
			switch have, ok := before[i][key]; {
			case key.Kind == p4rt.KindMeterCell: // always there, it can only be set
				if !ok {
					stages[i] = append(stages[i], p4rt.Update{Op: p4rt.Modify, Entity: want})
				}
			case !ok:
				stages[i] = append(stages[i], p4rt.Update{Op: p4rt.Insert, Entity: want})
			case !same(have, want):
				stages[i] = append(stages[i], p4rt.Update{Op: p4rt.Modify, Entity: want})
			}
		}
		for key, have := range before[i] {
			if _, ok := after[i][key]; !ok && key.Kind != p4rt.KindMeterCell {
				at := 2*layoutStages - 1 - i
				stages[at] = append(stages[at], p4rt.Update{Op: p4rt.Delete, Entity: have})
			}
		}
	}
	return stages
}

func same(a, b p4rt.Entity) bool {
	switch a := a.(type) {
	case *p4rt.Entry:
		b, ok := b.(*p4rt.Entry)
		return ok && a.SameEffect(b)
	case *p4rt.MulticastGroup:
		b, ok := b.(*p4rt.MulticastGroup)
		return ok && slices.Equal(sorted(a.Replicas), sorted(b.Replicas))
	}
	return false
}

func sorted(r []p4rt.Replica) []p4rt.Replica {
	return slices.SortedFunc(slices.Values(r), func(a, b p4rt.Replica) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Instance, b.Instance))
	})
}
