package engine

import (
	"cmp"
	"slices"

	"github.com/weft-sdn/weft/p4rt"
)

// entitySet is a number of parts, by key within their stage.
type entitySet [layoutStages]map[p4rt.Key]p4rt.Entity

func (s *entitySet) set(stage int, k p4rt.Key, e p4rt.Entity) {
	if s[stage] == nil {
		s[stage] = map[p4rt.Key]p4rt.Entity{}
	}
	s[stage][k] = e
}

// note adds what a part concerns, and what stood for it before its claims change.
func (l *layout) note(p *part, before, concerned *entitySet) {
	for i, stage := range p.stages {
		for _, e := range stage {
			k := e.Key()
			if _, ok := concerned[i][k]; ok {
				continue
			}
			concerned.set(i, k, e)
			if claims := l.claims[k]; len(claims) > 0 {
				before.set(i, k, claims[0].entity)
			}
		}
	}
}

// now returns what stands for the concerned.
func (l *layout) now(concerned *entitySet) (after entitySet) {
	for i := range concerned {
		for k := range concerned[i] {
			if claims := l.claims[k]; len(claims) > 0 {
				after.set(i, k, claims[0].entity)
			}
		}
	}
	return after
}

func (l *layout) claim(s subject, p *part) {
	for _, stage := range p.stages {
		for _, e := range stage {
			k := e.Key()
			at, own := slices.BinarySearchFunc(l.claims[k], s, claim.compare)
			if own {
				l.claims[k][at].entity = e
				continue
			}
			if len(l.claims[k]) == 0 {
				l.room.wanted(k, e)
			}
			l.claims[k] = slices.Insert(l.claims[k], at, claim{s, e})
		}
	}
}

func (l *layout) unclaim(s subject, p *part) {
	for _, stage := range p.stages {
		for _, e := range stage {
			k := e.Key()
			if at, own := slices.BinarySearchFunc(l.claims[k], s, claim.compare); own {
				if l.claims[k] = slices.Delete(l.claims[k], at, at+1); len(l.claims[k]) == 0 {
					l.room.unwanted(k, e)
				}
			}
			if len(l.claims[k]) == 0 {
				delete(l.claims, k)
			}
		}
	}
}

func (c claim) compare(s subject) int { return compareSubjects(c.by, s) }

// diff returns the updates that turn before into after: what is referred to first, deletes last and in reverse.
func diff(before, after entitySet) [][]p4rt.Update {
	stages := make([][]p4rt.Update, 2*layoutStages)
	for i := range after {
		for key, want := range after[i] {
			switch have, ok := before[i][key]; {
			case key.Kind == p4rt.KindMeterCell: // always there, it can only be set
				if !ok || !same(have, want) {
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
	case *p4rt.MeterCell:
		b, ok := b.(*p4rt.MeterCell)
		return ok && (a.Config == nil) == (b.Config == nil) && (a.Config == nil || *a.Config == *b.Config)
	case *p4rt.CloneSession:
		b, ok := b.(*p4rt.CloneSession)
		return ok && slices.Equal(a.Replicas, b.Replicas)
	}
	return false
}

func sorted(r []p4rt.Replica) []p4rt.Replica {
	return slices.SortedFunc(slices.Values(r), func(a, b p4rt.Replica) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Instance, b.Instance))
	})
}
