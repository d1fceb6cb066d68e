package view

import (
	"cmp"
	"context"
	"slices"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// RuleHits are the packets that met the rules of chains, over all edges: chains in order of name, their rules as they are tried, and what none was met by.
func RuleHits(ctx context.Context, store *state.Store, v *state.View, of Of) ([]client.RuleHits, error) {
	var chains []*topology.Chain
	for c := range v.Topology.Chains() {
		if of.has(c.Tenant, c.Name) {
			chains = append(chains, c)
		}
	}
	var one topology.DeviceID
	if of.Name != "" {
		if len(chains) == 0 {
			return []client.RuleHits{}, nil
		}
		one = chains[0].ID
	}
	stored, err := store.RuleHits(ctx, one)
	if err != nil {
		return nil, err
	}
	sums := map[topology.DeviceID]map[string]state.Tally{}
	for _, h := range stored {
		if sums[h.Chain] == nil {
			sums[h.Chain] = map[string]state.Tally{}
		}
		for rule, t := range h.Rules {
			n := sums[h.Chain][rule]
			n.Add(t.Tally)
			sums[h.Chain][rule] = n
		}
	}
	slices.SortFunc(chains, func(a, b *topology.Chain) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
	rows := []client.RuleHits{}
	for _, c := range chains {
		row := func(rule, shown string, action topology.Action) {
			n := sums[c.ID][rule]
			rows = append(rows, client.RuleHits{Chain: c.Tenant + "/" + c.Name, Rule: shown, Action: action.String(), Tally: client.Tally(n)})
		}
		for i := range c.Rules {
			row(c.Rules[i].Name, c.Rules[i].Name, c.Rules[i].Action)
		}
		row("", "(default)", c.End)
	}
	return rows, nil
}
