package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// maxRuleHits bounds of how many rules an edge counts packets: of more it does not.
const maxRuleHits = 16_384

// ruleHits count the packets that met a rule of a chain and came in at this edge (O2), as usage accounts them: those of a flow from its entry's counter, in rounds and when it goes, and
// those that the agent decided. So they only grow, whatever becomes of entries. A packet that meets a rule several times, as copies of a flooded one do, counts each time.
type ruleHits map[sim.RuleMet]amount

func (h ruleHits) add(rules []sim.RuleMet, n amount) {
	for _, r := range rules {
		sum, known := h[r]
		if !known && len(h) == maxRuleHits {
			continue
		}
		sum.Add(n)
		h[r] = sum
	}
}

// RuleHits is how many packets that came in at an edge met a rule, whichever agent counted them.
type RuleHits struct {
	Chain          topology.DeviceID
	Tenant, Name   string // of the chain
	Rule           string // its name; empty: the chain's default
	Packets, Bytes uint64
}

// RuleHits returns those of all rules that were met and are still there, in order, as they are stored: what is not stored yet may be lost with the agent, and what is told never decreases. Of a
// chain of which it is not known yet what is stored there are none.
func (a *Agent) RuleHits(ctx context.Context) ([]RuleHits, error) {
	var met ruleHits
	var s *topology.Snapshot
	if err := a.mail.call(ctx, func() { met, s = a.core.ruleStore.told(), a.core.snap }); err != nil {
		return nil, err
	}
	list, gone := met.name(s)
	if len(gone) > 0 {
		a.mail.post(func() {
			for _, r := range gone {
				delete(a.core.ruleHits, r)
			}
		})
	}
	return list, nil
}

// name gives what was counted the names of chains. Rules that their chain has no more are gone, and if there is little room those of chains that are not loaded, which may come back.
func (h ruleHits) name(s *topology.Snapshot) (list []RuleHits, gone []sim.RuleMet) {
	rules := map[topology.DeviceID]map[string]struct{}{}
	for r, n := range h {
		c := s.Chain(r.Chain)
		if c == nil {
			if len(h) > maxRuleHits/4*3 {
				gone = append(gone, r)
			}
			continue
		}
		has := rules[r.Chain]
		if has == nil {
			has = map[string]struct{}{"": {}}
			for i := range c.Rules {
				has[c.Rules[i].Name] = struct{}{}
			}
			rules[r.Chain] = has
		}
		if _, is := has[r.Rule]; !is {
			gone = append(gone, r)
			continue
		}
		list = append(list, RuleHits{Chain: r.Chain, Tenant: c.Tenant, Name: c.Name, Rule: r.Rule, Packets: n.Packets, Bytes: n.Bytes})
	}
	slices.SortFunc(list, func(a, b RuleHits) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Rule, b.Rule))
	})
	return list, gone
}
