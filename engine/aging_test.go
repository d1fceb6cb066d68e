package engine

import (
	"net/netip"
	"testing"
	"time"
)

// TestAgeBeginsWithLastFlow (B3): a MAC lives for the age time after its last flow went, however short that flow lived and however long the agent runs.
func TestAgeBeginsWithLastFlow(t *testing.T) {
	c := detached(t, idleStore(t))
	clock := c.clock
	c.clock = func() time.Duration { return time.Hour + clock() }
	fromVM1(t, c, gwMAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("192.0.2.1"), 1)
	if len(c.aging.entries) != 1 {
		t.Fatalf("%d MACs are watched, want that of vm1", len(c.aging.entries))
	}
	for f := range c.flows.all() {
		c.remove(f)
	}
	c.age(c.now())
	if len(c.aging.entries) != 1 {
		t.Error("the MAC is forgotten as its flow goes")
	}
	c.age(c.now() + c.aging.time)
	if len(c.aging.entries) != 0 {
		t.Error("the MAC is never forgotten")
	}
}
