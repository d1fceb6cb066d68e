package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/state"
)

// TestUsageGoesOn (O4): an agent that starts anew goes on with what is stored, and accounts what entries counted while nobody read them; what was accounted before is not again. A target that
// has lost its entries, and counts from nothing, adds what it counts.
func TestUsageGoesOn(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	target := p4rttest.NewServer()
	defer target.Close()
	const rules = "{match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}"
	var flows, decided uint64
	want := func(c *core, when string, each uint64) {
		t.Helper()
		inCore(t, c, c.round)
		untilInCore(t, c, func() bool { return !c.cache.reading })
		inCore(t, c, func() {
			u := c.usage.of(vportOf(t, c, "vm1")).total
			if n := decided + flows*each; u.In.Packets != n || u.In.Bytes < 100*flows*each {
				t.Errorf("%s: %+v is accounted, want %d packets, %d of each of %d flows", when, u, n, each, flows)
			}
			if out := c.usage.of(vportOf(t, c, "vm2")).total.Out; out != u.In {
				t.Errorf("%s: %+v is accounted to who got them, %+v to who sent them", when, out, u.In)
			}
		})
	}
	c := restarted(t, store, target, rules)
	stop := programmed(t, c, target)
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
	target.Count(10, 1000, 0)
	want(c, "first", 10)
	inCore(t, c, func() { c.sweepUsage(c.now() + 2*usageTime) })
	untilInCore(t, c, func() bool { return !c.usage.saving })
	stored, err := store.Usage(t.Context(), c.a.cfg.Self.ID)
	if err != nil || len(stored) != 2 || flows < 2 {
		t.Fatalf("%+v is stored, of %d flows: %v", stored, flows, err)
	}
	stop()

	target.Count(15, 1500, 0) // nobody reads it
	again := restarted(t, store, target, rules)
	stop = programmed(t, again, target)
	if s := again.a.Stats(); s.Adopted != flows {
		t.Fatalf("%d flows were taken over, want %d", s.Adopted, flows)
	}
	want(again, "another agent", 15)
	target.Count(20, 2000, 0)
	want(again, "another agent goes on", 20)
	stop()

	third := restarted(t, store, target, rules) // what the second one read was not stored
	stop = programmed(t, third, target)
	defer stop()
	want(third, "after a kill", 20)
	target.Restart(false)
	untilInCore(t, third, func() bool {
		return third.target.term == serving && len(third.target.open) == 0 && target.View().Pushes > 1
	})
	target.Count(4, 400, 0)
	want(third, "another target", 24)
}

// inCore runs f where the agent's own things are.
func inCore(t *testing.T, c *core, f func()) {
	t.Helper()
	if err := c.a.mail.call(c.ctx, f); err != nil {
		t.Fatal(err)
	}
}

// untilInCore waits, effect by effect, until something is so there.
func untilInCore(t *testing.T, c *core, is func() bool) {
	t.Helper()
	for done := false; !done; {
		c.effects.wait()
		inCore(t, c, func() { done = is() })
	}
}
