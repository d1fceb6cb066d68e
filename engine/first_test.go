package engine

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestFirstPacketInstalls: the first packet of a connection, which waits until that is stored, leaves an entry for its successors: of the packet as it came in,
// not as it left. It is accounted itself, once.
func TestFirstPacketInstalls(t *testing.T) {
	tracked := strings.ReplaceAll(network, "spec: {device: bridge/lan, mac: \"02:00:00:00:00:01\"", "spec: {device: bridge/lan, filters: {ingress: track}, mac: \"02:00:00:00:00:01\"") + `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: track, tenant: red}, spec: {rules: [{match: {states: [new, established]}, action: accept}]}}
`
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	for _, tt := range []struct{ src, dst string }{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
		c := detached(t, store)
		var err error
		if c.snap, err = topology.Load("network.yaml", []byte(tracked)); err != nil {
			t.Fatal(err)
		}
		c.view.places[vportOf(t, c, "vm2")] = c.view.places[vportOf(t, c, "vm1")]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c.start(ctx, func(int64, []state.Lack) {})
		fromVM1(t, c, gwMAC, netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst), 1)
		for c.conns.known.n == 0 && ctx.Err() == nil { // looked for, then stored
			c.effects.wait()
			c.a.mail.deliver()
		}
		if n := c.flows.len(); n != 1 {
			t.Fatalf("%s: %d flows, want 1", tt.src, n)
		}
		sent, got := c.usage.of(vportOf(t, c, "vm1")).total.In, c.usage.of(vportOf(t, c, "vm2")).total.Out
		if sent.Packets != 1 || got.Packets != 1 || len(c.ruleHits) != 1 { // O4
			t.Errorf("%s: accounted: %+v sent, %+v delivered, rules %+v; want the one packet", tt.src, sent, got, c.ruleHits)
		}
		for f := range c.flows.all() {
			if k := f.placed.Key; k.DstMAC != gwMAC || k.SrcMAC != vm1MAC {
				t.Errorf("%s: the flow is of packets from %v to %v, want %v to %v", tt.src, k.SrcMAC, k.DstMAC, vm1MAC, gwMAC)
			}
		}
	}
}
