package engine

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

// connected runs what an agent's detached core needs to program a target, and waits until it does.
func connected(t *testing.T, c *core, target *p4rttest.Server) context.Context {
	t.Helper()
	stop := programmed(t, c, target)
	t.Cleanup(func() {
		stop()
		target.Close()
	})
	return c.ctx
}

// TestIdleWhileAway: a flow that went idle while the agent was not connected goes when it is again, though the target does not say so once more; one that
// was hit meanwhile stays.
func TestIdleWhileAway(t *testing.T) {
	target := p4rttest.NewServer()
	c := detachedFrom(t, idleStore(t), target.Dial)
	ctx := connected(t, c, target)
	fixed := target.View().Entries
	call := func(f func()) {
		t.Helper()
		if err := c.a.mail.call(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	call(func() { fromVM1(t, c, gwMAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("192.0.2.1"), 1) })
	if !target.Wait(ctx, func(v p4rttest.View) bool { return v.Entries == fixed+3 }) { // its scope, its rewrite, and last the flow
		t.Fatal("no flow was installed")
	}
	target.Count(1, 100, time.Second)
	call(c.missedIdle)
	c.effects.wait()
	call(func() {
		if n := c.flows.len(); n != 1 {
			t.Errorf("%d flows, want the one that was hit", n)
		}
	})
	target.Count(1, 100, time.Hour)
	target.Restart(true)
	if !target.Wait(ctx, func(v p4rttest.View) bool { return v.Entries == fixed }) {
		t.Errorf("%d entries are left, want the %d fixed ones: %v", target.View().Entries, fixed, context.Cause(ctx))
	}
}
