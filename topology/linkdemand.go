package topology

import (
	"maps"

	"github.com/weft-sdn/weft/flow"
)

// LinkDemand is what an edge wants to send over a link that has a rate (Q1), one way: edges that use the link share it by that.
type LinkDemand struct {
	Port  flow.VPortID // behind the link
	Edge  string
	Wants BitRate // 0: it does not use the link
}

// LinkDemands returns what edges want to send over the link by which packets come in at an interior port. Not to be changed.
func (s *Snapshot) LinkDemands(port flow.VPortID) map[string]BitRate {
	d, _ := s.demands.get(port)
	return d
}

// learnDemands takes what edges tell of links that they use.
func (e *edit) learnDemands(demands []LinkDemand) {
	ed := shardEdit[flow.VPortID, map[string]BitRate]{target: &e.s.demands}
	for _, d := range demands {
		was := e.s.LinkDemands(d.Port)
		if was[d.Edge] == d.Wants {
			continue
		}
		next := maps.Clone(was)
		if next == nil {
			next = map[string]BitRate{}
		}
		next[d.Edge] = d.Wants
		if d.Wants == 0 {
			delete(next, d.Edge)
		}
		if len(next) == 0 {
			ed.remove(d.Port)
		} else {
			ed.set(d.Port, next)
		}
		e.note(DemandDep(d.Port))
	}
}
