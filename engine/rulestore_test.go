package engine

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestRuleHitsGoOn (O2): what is stored of a rule's packets only grows, and is exact: over flows that are evicted and come back, an agent that starts anew while entries count on, one that was killed
// before it stored what it read, and a target that lost its entries.
func TestRuleHitsGoOn(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	chain, err := topology.Decode("chain.yaml", []byte("{apiVersion: weft/v1, kind: Chain, metadata: {name: guard, tenant: red}, spec: {}}")) // the agents have their network from elsewhere
	if err == nil {
		_, err = store.Apply(t.Context(), chain)
	}
	if err != nil {
		t.Fatal(err)
	}
	target := p4rttest.NewServer()
	defer target.Close()
	const rules = "{match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}"
	// saved stores what there is, and returns what the database has then of the one rule.
	saved := func(c *core, when string) uint64 {
		t.Helper()
		inCore(t, c, c.round)
		untilInCore(t, c, func() bool { return !c.cache.reading })
		for range 2 { // the first may find what a predecessor stored
			inCore(t, c, func() { c.ruleStore.saved = -2 * usageTime; c.ruleStore.sweep(c.now()) })
			untilInCore(t, c, func() bool { return !c.ruleStore.saving })
		}
		all, err := store.RuleHits(t.Context(), 0)
		if err != nil || len(all) != 1 || all[0].Edge != c.a.cfg.Self.ID || len(all[0].Rules) != 1 {
			t.Fatalf("%s: stored %+v, %v", when, all, err)
		}
		list, err := c.a.RuleHits(t.Context())
		if err != nil || len(list) != 1 || list[0].Packets != all[0].Rules["#1"].Packets {
			t.Errorf("%s: %+v is told, %+v is stored: %v", when, list, all[0].Rules, err)
		}
		return all[0].Rules["#1"].Packets
	}
	var decided, flows uint64
	send := func(c *core) {
		inCore(t, c, func() {
			for port := range uint16(8) {
				fromVM1(t, c, vm2MAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.3"), 1000+port)
				fromVM1(t, c, vm2MAC, netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:1::3"), 1000+port)
				decided += 2
			}
			flows = uint64(c.flows.len())
			c.rules.flush()
		})
		untilInCore(t, c, func() bool { return len(c.target.open) == 0 && c.a.counts.ruleBlocks.Load() > 0 })
	}
	check := func(c *core, when string, want uint64) {
		t.Helper()
		if got := saved(c, when); got != want {
			t.Errorf("%s: %d packets are stored, want %d", when, got, want)
		}
	}
	c := restarted(t, store, target, rules)
	stop := programmed(t, c, target)
	send(c)
	target.Count(10, 1000, 0)
	times := saved(c, "at first") / (decided + 10*flows) // that a packet meets the rule
	if times == 0 {
		t.Fatalf("no packet met the rule, of %d decided and 10 each of %d flows", decided, flows)
	}
	check(c, "first", times*(decided+10*flows))
	stop()

	target.Count(15, 1500, 0) // nobody reads it
	again := restarted(t, store, target, rules)
	stop = programmed(t, again, target)
	if s := again.a.Stats(); s.Adopted != flows {
		t.Fatalf("%d flows were taken over, want %d", s.Adopted, flows)
	}
	if list, err := again.a.RuleHits(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("%+v is told while it is not known what is stored: %v", list, err)
	}
	check(again, "another agent", times*(decided+15*flows))
	target.Count(20, 2000, 0)
	inCore(t, again, again.round) // read, and not stored
	untilInCore(t, again, func() bool { return !again.cache.reading })
	stop()

	third := restarted(t, store, target, rules)
	stop = programmed(t, third, target)
	defer stop()
	check(third, "after a kill", times*(decided+20*flows))
	target.Restart(false)
	untilInCore(t, third, func() bool {
		return third.target.term == serving && len(third.target.open) == 0 && target.View().Pushes > 1
	})
	target.Count(4, 400, 0)
	check(third, "another target", times*(decided+24*flows))
}

// TestRuleStoreConflicts: what is not known to be stored, what another process wrote, and a chain that goes.
func TestRuleStoreConflicts(t *testing.T) {
	c := detached(t, idleStore(t))
	s := &c.ruleStore
	const chain = topology.DeviceID(7)
	n := func(packets uint64) map[string]amount { return map[string]amount{"a": tallied(packets, packets)} }
	stored := func(run int64, seq uint64, rev int64, packets, live uint64) *state.RuleHits {
		return &state.RuleHits{Chain: chain, Run: run, Seq: seq, Revision: rev, Rules: map[string]state.RuleTally{"a": {Tally: tallied(packets, packets), Live: tallied(live, live)}}}
	}
	me, other := c.usage.process, c.usage.process+1
	s.met([]sim.RuleMet{{Chain: chain, Rule: "a"}})
	x := s.chains[chain]
	s.left[sim.RuleMet{Chain: chain, Rule: "a"}] = tallied(9, 9)
	s.stored(stored(me, 1, 0, 5, 0), n(5), stored(other, 44, 3, 100, 6), nil) // a predecessor had 100, of which 6 of entries that have 9 now
	if d := cmp.Diff(n(103), x.base); d != "" || x.rev != 3 || !x.dirty || len(s.left) != 0 {
		t.Errorf("%+v: %s", x, d)
	}
	s.stored(stored(me, 2, 3, 108, 0), n(5), nil, errors.New("timeout"))
	s.stored(stored(me, 3, 3, 109, 0), n(6), stored(me, 2, 4, 108, 0), nil) // it was stored
	if d := cmp.Diff(n(5), x.kept); d != "" || x.rev != 4 || !x.dirty || x.unsure {
		t.Errorf("%+v: %s", x, d)
	}
	s.stored(stored(me, 4, 4, 109, 0), n(6), stored(other, 5, 9, 108+1000, 0), nil)
	if d := cmp.Diff(n(1103), x.base); d != "" {
		t.Errorf("%+v: %s", x, d)
	}
	s.stored(&state.RuleHits{Chain: chain, Run: me, Seq: 5}, nil, &state.RuleHits{}, nil)
	if s.chains[chain] != nil {
		t.Error("a chain that is gone is kept")
	}
}
