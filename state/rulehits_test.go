package state

import (
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// TestRuleHitsAreKept (O2): what an edge has counted of a chain's rules is stored if nothing newer is and there is the chain, and goes with the chain.
func TestRuleHitsAreKept(t *testing.T) {
	s := embeddedStore(t)
	objects, err := topology.Decode("chain.yaml", []byte("{apiVersion: weft/v1, kind: Chain, metadata: {name: web, tenant: red}, spec: {}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	ref := topology.Ref{Kind: topology.KindChain, Tenant: "red", Name: "web"}
	o, _, err := s.Get(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	save := func(edge string, n uint64, run, revision int64) RuleHits {
		t.Helper()
		type answer struct {
			RuleHits
			err error
		}
		told := make(chan answer, 1)
		h := RuleHits{Edge: edge, Chain: topology.DeviceID(o.Status.ID), Object: ref, Run: run, Revision: revision, Rules: map[string]RuleTally{"#1": {Tally: Tally{n, 10 * n}}}}
		s.SaveRuleHits(t.Context(), []RuleHits{h}, func(_ int, stored RuleHits, err error) { told <- answer{stored, err} })
		a := <-told
		if a.err != nil {
			t.Fatal(a.err)
		}
		return a.RuleHits
	}
	first := save("e1", 5, 1, 0)
	if first.Revision == 0 || save("e/2", 6, 1, 0).Revision == 0 {
		t.Fatalf("%+v was stored", first)
	}
	if got := save("e1", 9, 2, 0); got.Run != 1 || got.Rules["#1"].Packets != 5 || got.Revision != first.Revision || got.Edge != "e1" {
		t.Errorf("in the way is %+v, want what was stored first", got)
	}
	if got := save("e1", 14, 2, first.Revision); got.Run != 2 || got.Revision <= first.Revision {
		t.Errorf("%+v was stored", got)
	}
	count := func() (n uint64) {
		all, err := s.RuleHits(t.Context(), topology.DeviceID(o.Status.ID))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			n += h.Rules["#1"].Packets
		}
		return n
	}
	if got := count(); got != 20 {
		t.Errorf("%d packets at both edges, want 20", got)
	}
	if _, err := s.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 0 {
		t.Errorf("%d packets of a chain that is gone", got)
	}
	if got := save("e1", 3, 1, 0); got.Revision != 0 || count() != 0 {
		t.Errorf("%+v was stored of a chain that is gone", got)
	}
}
