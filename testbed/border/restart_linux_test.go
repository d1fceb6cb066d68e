package border

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// graceful has the speaker forward while it restarts, and say so.
func graceful(n *peer.Neighbour) { n.Graceful = true }

// TestNeighbourRestarts: the only upstream restarts gracefully: its routes stay until it is back, what goes by them goes on, and what it does not tell again goes then. One whose
// cable is pulled does not restart: its routes go with the hold time.
func TestNeighbourRestarts(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		config := upstream(maker, 64501, func(n *peer.Neighbour) { short(n); graceful(n) }, up1v4)
		config.Announce = append(config.Announce, prefixes("198.51.101.0/24")...)
		b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("first", "up1", 64501, isp1v4, "holdTime: 3"), peers: map[string]peer.Config{"isp1": config}})
		before := b.up("e1", "first", 3)
		for _, back := range [][]string{{"203.0.113.0/24", "via", "192.0.2.1"}, {"2001:db8:113::/48", "via", "2001:db8:a::1"}} { // how the neighbour forwards is not what is tested
			_, said, err := b.peer("isp1").Exec(b.Context(), "ip", append(append([]string{"route", "add"}, back...), "metric", "5000")...)
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
		}
		if before.Restart == 0 {
			t.Errorf("the neighbour restarts gracefully, but %+v", before)
		}
		flows := b.echoes("isp1")
		for i, gap := range b.through(flows, func() {
			flaps := b.up("e1", "first", 3).Flaps // with a hold time so short, a busy machine makes some
			b.peer("isp1").Kill()
			st := b.await("e1", "first", "lost", func(st *bgp.Status) bool { return st.State != bgp.Established })
			if st.Routes != 3 || st.Flaps != flaps+1 || !strings.Contains(st.Why, "closed") && !strings.Contains(st.Why, "reset") {
				t.Errorf("a neighbour that restarts: %+v", st)
			}
			for _, s := range flows {
				s.flows() // by the routes that stay
			}
			b.must(b.peer("isp1").Restart())
			b.await("e1", "first", "up again with all routes", func(st *bgp.Status) bool { return st.State == bgp.Established && st.Routes == 3 && st.Received == 3 })
		}) {
			t.Logf("the speaker restarts gracefully: flow %d: %v", i, gap)
			if gap.silence > 3*time.Second {
				t.Errorf("the speaker restarts gracefully: flow %d had %v", i, gap)
			}
		}
		b.host("isp1").pull()
		st := b.await("e1", "first", "without routes", func(st *bgp.Status) bool { return st.Routes == 0 })
		if !strings.Contains(st.Why, "hold time") && !strings.Contains(st.Why, "connect") {
			t.Errorf("why a session is lost whose cable is pulled: %+v", st)
		}
		b.host("isp1").plug()
		b.up("e1", "first", 3)
		for _, s := range flows {
			s.flows()
		}
	})
}

// TestAgentRestarts: the agent of the edge with the better upstream ends and begins again. The edge leaves, so flows go by the other one meanwhile; upstreams keep what they
// were told, and flows come back.
func TestAgentRestarts(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		b := newBorder(t, testConfig{
			stack:    bgp.Kernel,
			sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v6, ""),
			peers: map[string]peer.Config{
				"isp1": upstream(maker, 64501, graceful, up1v4),
				"isp2": upstream(maker, 64502, prepended(graceful), up2v6),
			},
		})
		b.up("e1", "first", 2)
		b.up("e2", "second", 2)
		flows := b.echoes("isp1", "isp2")
		b.goes("isp1", flows...)
		for i, gap := range b.through(flows, func() {
			b.must(b.StopAgent("e1"))
			b.goes("isp2", flows...)
		}) {
			t.Logf("the agent ends: flow %d: %v", i, gap)
		}
		b.learns("isp1", inside...) // it was told so by a router that restarts gracefully
		looked, missed := b.keeps("isp1", inside, func() {
			for i, gap := range b.through(flows, func() {
				b.must(b.StartAgent("e1"))
				b.up("e1", "first", 2)
				b.goes("isp1", flows...)
			}) {
				t.Logf("the agent is back: flow %d: %v", i, gap)
			}
		})
		if t.Logf("the neighbour was asked for its routes %d times meanwhile", looked); looked == 0 || missed > 0 {
			t.Errorf("of %d looks, the neighbour had not all routes at %d", looked, missed)
		}
		b.learns("isp1", inside...)
	})
}

// keeps looks again and again, while f runs, whether an upstream has routes.
func (b *border) keeps(name string, want []netip.Prefix, f func()) (looked, missed int) {
	ctx, cancel := context.WithCancel(b.Context())
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			routes, err := b.peer(name).Routes(ctx)
			if err != nil {
				continue
			}
			looked++
			if slices.ContainsFunc(want, func(p netip.Prefix) bool { return len(routes[p]) == 0 }) {
				missed++
			}
		}
	})
	f()
	cancel()
	looking.Wait()
	return looked, missed
}

// TestRestartBits: a router whose agent restarts says so to its neighbour, and that it went on forwarding, for each family; one that has just begun says nothing of the kind. The connection ends without a NOTIFICATION.
func TestRestartBits(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD) // for root: hosts of others are in memory
	b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("second", "up2", 64502, isp2v4, "")})
	h := b.byHand("isp2")
	h.restarts = true
	said := func() (restarts bool, forwards []msg.Family) {
		for _, o := range h.open.OptParams {
			o, ok := o.(*msg.OptionParameterCapability)
			if !ok {
				continue
			}
			for _, c := range o.Capability {
				if c, ok := c.(*msg.CapGracefulRestart); ok {
					restarts = c.Flags&8 != 0
					for _, f := range c.Tuples {
						if f.Flags&0x80 != 0 {
							forwards = append(forwards, msg.NewFamily(f.AFI, f.SAFI))
						}
					}
				}
			}
		}
		return restarts, forwards
	}
	h.establish()
	if restarts, forwards := said(); restarts || len(forwards) > 0 {
		t.Errorf("a router that begins says that it restarts: %v, and forwards %v", restarts, forwards)
	}
	b.must(b.StopAgent("e2"))
	if err := <-h.ended; !errors.Is(err, io.EOF) {
		t.Errorf("the session ends by %v", err)
	}
	b.must(b.StartAgent("e2"))
	h.establish()
	restarts, forwards := said()
	slices.Sort(forwards)
	if !restarts || !slices.Equal(forwards, []msg.Family{msg.RF_IPv4_UC, msg.RF_IPv6_UC}) {
		t.Errorf("a router that restarts says that it does: %v, and forwards %v", restarts, forwards)
	}
}

// TestNoGracefulRestart: a router that is to keep nothing says nothing of restarts, and takes the end of a connection for the session's, whatever the neighbour can do.
func TestNoGracefulRestart(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD) // for root: hosts of others are in memory
	b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("second", "up2", 64502, isp2v4, "noGracefulRestart: true")})
	h := b.byHand("isp2")
	h.restarts = true
	h.establish()
	for _, o := range h.open.OptParams {
		if o, ok := o.(*msg.OptionParameterCapability); ok && slices.ContainsFunc(o.Capability, func(c msg.ParameterCapabilityInterface) bool { return c.Code() == msg.BGP_CAP_GRACEFUL_RESTART }) {
			t.Errorf("its OPEN says something of restarts: %+v", o)
		}
	}
	if st := b.up("e2", "second", 0); st.Restart != 0 {
		t.Errorf("of a neighbour that restarts within 90 s: %+v", st)
	}
	if _, err := h.mark(); err != nil {
		t.Fatal(err)
	}
	b.routed(2)
	b.must(h.conn.Close())
	lost := b.await("e2", "second", "lost", func(st *bgp.Status) bool { return st.Flaps == 1 }).LastLost
	if !b.eventually(func() bool { return b.learnt("e1", 0) == 0 }) || time.Since(lost) >= 90*time.Second { // the neighbour's time, after which they would go anyway
		t.Errorf("%d routes stay, or did for the neighbour's time", b.learnt("e1", 0))
	}
}
