package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// TestRuleHits: packets are counted by rule, and no more rules than there is room for; rules that are gone are forgotten, those of a chain that is not loaded are kept.
func TestRuleHits(t *testing.T) {
	s, err := topology.Load("chain.yaml", []byte(`
apiVersion: weft/v1
kind: Chain
metadata: {name: web, tenant: red}
spec: {rules: [{name: open, action: accept}, {action: drop}], default: drop}
`))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := s.ID(topology.Ref{Kind: topology.KindChain, Tenant: "red", Name: "web"})
	chain := topology.DeviceID(id)
	h := ruleHits{}
	h.add([]sim.RuleMet{{Chain: chain, Rule: "open"}, {Chain: chain}}, tallied(2, 200))
	h.add([]sim.RuleMet{{Chain: chain, Rule: "open"}, {Chain: chain, Rule: "#2"}, {Chain: chain, Rule: "old"}, {Chain: 999, Rule: "far"}}, tallied(3, 300))
	list, gone := h.name(s)
	want := []RuleHits{
		{Rule: "", Packets: 2, Bytes: 200}, {Rule: "#2", Packets: 3, Bytes: 300}, {Rule: "open", Packets: 5, Bytes: 500},
	}
	if d := cmp.Diff(want, list, cmpopts.IgnoreFields(RuleHits{}, "Chain", "Tenant", "Name")); d != "" || list[0].Tenant != "red" || list[0].Name != "web" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]sim.RuleMet{{Chain: chain, Rule: "old"}}, gone); d != "" {
		t.Errorf("gone -want +got:\n%s", d)
	}
	for i := range maxRuleHits {
		h.add([]sim.RuleMet{{Chain: 999, Rule: fmt.Sprint(i)}}, tallied(1, 1))
	}
	h.add([]sim.RuleMet{{Chain: chain, Rule: "open"}}, tallied(1, 1))
	if n := h[sim.RuleMet{Chain: chain, Rule: "open"}].Packets; len(h) != maxRuleHits || n != 6 {
		t.Errorf("%d rules, %d packets of one that is known; want %d and 6", len(h), n, maxRuleHits)
	}
	if _, gone = h.name(s); len(gone) != maxRuleHits-3 {
		t.Errorf("%d rules are forgotten when there is little room, want %d", len(gone), maxRuleHits-3)
	}
}

// TestRuleHitsAreCredited: where every packet of a vport meets one rule, that has as many as the vport has sent, whatever becomes of entries (O2): read, gone and read for the last time, back.
func TestRuleHitsAreCredited(t *testing.T) {
	c := newCached(t, 10, 100, 64)
	agree := func(what string, want uint64) {
		t.Helper()
		hits := amount{}
		for r, n := range c.ruleHits {
			if r.Rule != "#1" {
				t.Errorf("%s: packets met %+v", what, r)
			}
			hits.Add(n)
		}
		if sent := c.usage.of(c.ids[1]).total.In; hits != sent || sent.Packets != want {
			t.Errorf("%s: the rule has %+v, the vport sent %+v; want %d packets", what, hits, sent, want)
		}
	}
	for range 9 {
		c.send(1, 7)
	}
	c.later(roundTime)
	c.settled()
	agree("read in a round", 9)
	c.later(roundTime)
	c.settled()
	agree("read again", 9)
	c.send(1, 7)
	c.remove(c.flowOf(t))
	c.settled()
	agree("read as it went", 10)
	for range 3 {
		c.send(1, 7)
	}
	c.later(roundTime)
	c.settled()
	agree("it is back", 13)
}

// flowOf is the one flow that there is.
func (c *cached) flowOf(t *testing.T) *installedFlow {
	t.Helper()
	for f := range c.core.flows.all() {
		return f
	}
	t.Fatal("there is no flow")
	return nil
}
