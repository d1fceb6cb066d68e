package engine

import (
	"maps"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// uses are the other edges that vports and groups refer to: what moves there concerns these and no others, and there are paths to an edge only while it is referred to.
// What may come from an edge is no matter of that: every known one is let in, since it may send to what is here though nothing here is known of what is there.
type uses struct {
	of map[subject][]string // edges in order; none is not in it
	by map[string]map[subject]struct{}
}

func newUses() uses { return uses{map[subject][]string{}, map[string]map[subject]struct{}{}} }

// set has a subject refer to some edges from now on. It returns those that nothing referred to before, or nothing refers to now.
func (u *uses) set(s subject, edges []string) (turned []string) {
	before := u.of[s]
	if slices.Equal(before, edges) {
		return nil
	}
	for _, e := range edges {
		if u.by[e] == nil {
			u.by[e] = map[subject]struct{}{}
			turned = append(turned, e)
		}
		u.by[e][s] = struct{}{}
	}
	for _, e := range before {
		if slices.Contains(edges, e) {
			continue
		}
		if delete(u.by[e], s); len(u.by[e]) == 0 {
			delete(u.by, e)
			turned = append(turned, e)
		}
	}
	if u.of[s] = edges; len(edges) == 0 {
		delete(u.of, s)
	}
	return turned
}

// isUsed reports whether something refers to an edge.
func (u *uses) isUsed(edge string) bool { return len(u.by[edge]) > 0 }

// refers returns the other edges that a subject refers to, in order.
func (v *view) refers(s subject) []string {
	var members []flow.VPortID
	switch s.kind {
	case subjectVPort:
		members = []flow.VPortID{flow.VPortID(s.id)}
	case subjectGroup:
		members = v.groups[flow.Dest(s.id)]
	}
	var edges map[string]struct{}
	for _, m := range members {
		if p, ok := v.places[m]; ok && p.edge != v.self.ID {
			if edges == nil {
				edges = map[string]struct{}{}
			}
			edges[p.edge] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(edges))
}

// spread adds to the touched subjects what is concerned with them: edges to which something refers now and did not, or the other way round, and the vports and groups that refer to
// edges to which the ways differ from what those were built with.
func (l *layout) spread(v *view, touched map[subject]struct{}) {
	var peers []string
	for s := range touched {
		switch s.kind {
		case subjectVPort, subjectGroup:
			peers = append(peers, l.uses.set(s, v.refers(s))...)
		case subjectPeer:
			peers = append(peers, s.edge)
		}
	}
	for _, edge := range peers {
		peer := peerSubject(edge)
		touched[peer] = struct{}{}
		old := l.parts[peer]
		e, known := v.edges[edge]
		if old == nil || !known || old.sets != v.self.setsBy(&e) || !slices.Equal(old.names, pathNames(&e, v.routes(&e))) {
			maps.Copy(touched, l.uses.by[edge])
		}
	}
}
