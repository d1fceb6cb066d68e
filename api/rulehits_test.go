package api

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestRuleHits (O2): the packets that met a chain's rules are told over all edges, rule by rule as they are tried, those that none was met by, too.
func TestRuleHits(t *testing.T) {
	store := embedded(t)
	c := clientOf(t, serve(t, store, nil))
	r, err := c.Apply(t.Context(), client.Change{Put: objects(t, network+`---
{apiVersion: weft/v1, kind: Chain, metadata: {name: guard, tenant: acme}, spec: {default: accept, rules: [{name: web, match: {protocols: [tcp]}, action: accept}, {match: {protocols: [udp]}, action: drop}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: other, tenant: globex}, spec: {}}
`)}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WaitRevision(t.Context(), r.Revision); err != nil {
		t.Fatal(err)
	}
	ref := topology.Ref{Kind: topology.KindChain, Tenant: "acme", Name: "guard"}
	id, _ := store.View().Topology.ID(ref)
	hits := func(n uint64) state.RuleTally { return state.RuleTally{Tally: state.Tally{Packets: n, Bytes: 100 * n}} }
	var all []state.RuleHits
	for _, edge := range []string{"nic1", "nic2"} {
		all = append(all, state.RuleHits{Edge: edge, Chain: topology.DeviceID(id), Object: ref, Rules: map[string]state.RuleTally{"web": hits(5), "": hits(2), "gone": hits(9)}})
	}
	stored := make(chan error, len(all))
	store.SaveRuleHits(t.Context(), all, func(_ int, _ state.RuleHits, err error) { stored <- err })
	for range all {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	rows, err := client.View[client.RuleHits](t.Context(), c, "rulehits", url.Values{"of": {"acme/guard"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []client.RuleHits{
		{Chain: "acme/guard", Rule: "web", Action: "accept", Tally: client.Tally{Packets: 10, Bytes: 1000}}, {Chain: "acme/guard", Rule: "#2", Action: "drop"},
		{Chain: "acme/guard", Rule: "(default)", Action: "accept", Tally: client.Tally{Packets: 4, Bytes: 400}},
	}
	if d := cmp.Diff(want, rows.Items); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if rows, err = client.View[client.RuleHits](t.Context(), c, "rulehits", url.Values{"tenant": {"globex"}}); err != nil || len(rows.Items) != 1 || rows.Items[0].Chain != "globex/other" {
		t.Errorf("of another tenant: %+v, %v", rows, err)
	}
	if rows, err = client.View[client.RuleHits](t.Context(), c, "rulehits", url.Values{"of": {"acme/none"}}); err != nil || len(rows.Items) != 0 {
		t.Errorf("of a chain that is not there: %+v, %v", rows, err)
	}
}
