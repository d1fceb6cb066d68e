package border

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// watched has the upstream watch the way by BFD: 100 ms, three lost.
func watched(n *peer.Neighbour) { n.BFD = true }

// bfdUp waits until BFD has the way of an edge's session up, as agreed on with no poll under way, and returns how it is.
func (b *border) bfdUp(edge, session string, tx, rx float64) bgp.Status {
	b.Helper()
	return b.await(edge, session, "watched by BFD", func(st *bgp.Status) bool {
		return st.BFD != nil && st.BFD.State == "Up" && !st.BFD.Polls && st.BFD.Tx == tx && st.BFD.Rx == rx
	})
}

// TestBFD: sessions over each IP version are watched, with each of the stacks. When a way is lost that no cable tells of, the session goes, and what went by it goes by the other; when it is back, so is the session.
func TestBFD(t *testing.T) {
	makers(t, func(t *testing.T, maker peer.Maker) {
		for _, stack := range []bgp.Stack{bgp.Kernel, bgp.Userspace} {
			t.Run(string(stack), func(t *testing.T) {
				b := newBorder(t, testConfig{
					stack: stack,
					sessions: session("four", "up1", 64501, isp1v4, "bfd: {minTx: 50, minRx: 50}") +
						session("six", "up2", 64502, isp2v6, "bfd: {}"),
					peers: map[string]peer.Config{
						"isp1": upstream(maker, 64501, watched, up1v4),
						"isp2": upstream(maker, 64502, prepended(watched), up2v6),
					},
				})
				b.up("e1", "four", 2)
				b.up("e2", "six", 2)
				four, six := b.bfdUp("e1", "four", 100, 100), b.bfdUp("e2", "six", 300, 300)
				if four.BFD.Detection != 300 || six.BFD.Detection != 900 || four.BFD.Remote == 0 || four.BFD.Losses != 0 {
					t.Errorf("watched: %+v, %+v", four.BFD, six.BFD)
				}
				b.must(b.peer("isp1").Watched(b.limited(), up1v4))
				b.must(b.peer("isp2").Watched(b.limited(), up2v6))
				flows := b.echoes("isp1", "isp2")
				b.goes("isp1", flows...)
				var lost bgp.Status
				began := time.Now()
				for i, gap := range b.through(flows, func() {
					b.host("isp1").pull()
					lost = b.await("e1", "four", "lost", func(st *bgp.Status) bool { return st.Routes == 0 && st.State != bgp.Established })
					b.goes("isp2", flows...)
				}) {
					t.Logf("the way is lost: flow %d: %v", i, gap)
				}
				t.Logf("BFD told after %v that the way is lost", lost.BFD.LastLost.Sub(began).Round(time.Millisecond))
				if lost.LastWhy != "BFD: control detection time expired" || lost.BFD.Losses != 1 {
					t.Errorf("why: %+v, %+v", lost, lost.BFD)
				}
				for i, gap := range b.through(flows, func() {
					b.host("isp1").plug()
					b.up("e1", "four", 2)
					b.bfdUp("e1", "four", 100, 100)
					b.goes("isp1", flows...)
				}) {
					t.Logf("and back: flow %d: %v", i, gap)
				}
				if st := b.up("e2", "six", 2); st.Flaps != 0 || st.BFD.Losses != 0 {
					t.Errorf("the session beside: %+v, %+v", st, st.BFD)
				}
			})
		}
	})
}
