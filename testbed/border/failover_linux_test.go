package border

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// short has a neighbour's silence noticed soon.
func short(n *peer.Neighbour) { n.HoldTime = 3 }

// prepended makes an upstream's paths the longer ones, which are used when there are no others.
func prepended(edit func(*peer.Neighbour)) func(*peer.Neighbour) {
	return func(n *peer.Neighbour) {
		n.Prepend = 2
		if edit != nil {
			edit(n)
		}
	}
}

// echoes has upstreams answer, and returns a flow to what is behind them for each IP version.
func (b *border) echoes(upstreams ...string) []*stream {
	b.Helper()
	for _, name := range upstreams {
		b.reaches(name)
		b.must(b.host(name).ServeUDPEcho(7))
	}
	return []*stream{b.begin(netip.MustParseAddr("198.51.100.1")), b.begin(netip.MustParseAddr("2001:db8:51::1"))}
}

// goes waits until all that the flows send reaches an upstream.
func (b *border) goes(name string, flows ...*stream) {
	b.Helper()
	if !b.eventually(func() bool {
		before := b.host(name).Counters().UDPReceived
		began := 0
		for _, s := range flows {
			began += s.count()
		}
		for _, s := range flows {
			s.flows()
		}
		after := 0
		for _, s := range flows {
			after += s.count()
		}
		got := b.host(name).Counters().UDPReceived - before
		return int(got) >= (after-began)*9/10
	}) {
		b.Fatalf("flows do not go by %s", name)
	}
}

// TestFailover: two upstreams announce the same prefixes, the first with shorter paths. What becomes of flows when it fails, and when it is back.
func TestFailover(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		b := newBorder(t, testConfig{
			stack:    bgp.Kernel,
			sessions: session("first", "up1", 64501, isp1v4, "holdTime: 3") + session("second", "up2", 64502, isp2v6, ""),
			peers: map[string]peer.Config{
				"isp1": upstream(maker, 64501, short, up1v4),
				"isp2": upstream(maker, 64502, prepended(nil), up2v6),
			},
		})
		b.up("e1", "first", 2)
		b.up("e2", "second", 2)
		flows := b.echoes("isp1", "isp2")
		b.goes("isp1", flows...)
		for _, failure := range []struct {
			name          string
			fail, recover func()
		}{
			{"the speaker is killed", b.peer("isp1").Kill, func() { b.must(b.peer("isp1").Restart()) }},
			{"the cable is pulled", b.host("isp1").pull, b.host("isp1").plug},
			{"the prefixes are withdrawn", func() { b.must(b.peer("isp1").Withdraw(b.limited(), outside...)) }, func() { b.must(b.peer("isp1").Announce(b.limited(), outside...)) }},
		} {
			began := time.Now()
			for i, gap := range b.through(flows, func() { failure.fail(); b.goes("isp2", flows...) }) {
				t.Logf("%s: flow %d: %v", failure.name, i, gap)
				if gap.silence > 30*time.Second {
					t.Errorf("%s: no echo for %v", failure.name, gap.silence)
				}
			}
			t.Logf("%s: all is on the other way after %v", failure.name, time.Since(began).Round(time.Millisecond))
			for i, gap := range b.through(flows, func() { failure.recover(); b.up("e1", "first", 2); b.goes("isp1", flows...) }) {
				t.Logf("%s, and back: flow %d: %v", failure.name, i, gap)
			}
		}
	})
}
