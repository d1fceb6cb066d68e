package border

import (
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/osrg/gobgp/v4/pkg/packet/bfd"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/peer"
)

// watched has the upstream watch the way by BFD: 100 ms, three lost.
func watched(n *peer.Neighbour) { n.BFD = true }

// slowly does so with 1 s, so that nothing is lost that is there, however busy the machine is.
func slowly(n *peer.Neighbour) { n.BFD, n.BFDTime = true, 1000 }

// bfdUp waits until BFD has the way of an edge's session up, as agreed on with no poll under way, and returns how it is.
func (b *border) bfdUp(edge, session string, tx, rx float64) bgp.Status {
	b.Helper()
	return b.await(edge, session, "watched by BFD", func(st *bgp.Status) bool {
		return st.BFD != nil && st.BFD.State == "Up" && !st.BFD.Polls && st.BFD.Tx == tx && st.BFD.Rx == rx
	})
}

// TestBFD: sessions over each IP version are watched, with each of the stacks. When a way is lost that no cable tells of, the session goes, and what went by it goes by the other; when it is back, so is the session.
// It runs before those that run beside each other: its times are short.
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
						"isp2": upstream(maker, 64502, prepended(slowly), up2v6),
					},
				})
				b.up("e1", "four", 2)
				b.up("e2", "six", 2)
				four, six := b.bfdUp("e1", "four", 100, 100), b.bfdUp("e2", "six", 1000, 1000)
				if four.BFD.Detection != 300 || six.BFD.Detection != 3000 || four.BFD.Remote == 0 {
					t.Errorf("watched: %+v, %+v", four.BFD, six.BFD)
				}
				b.must(b.peer("isp1").Watched(b.limited(), up1v4))
				b.must(b.peer("isp2").Watched(b.limited(), up2v6))
				flows := b.echoes("isp1", "isp2")
				b.goes("isp1", flows...)
				var lost bgp.Status
				var pulled time.Time
				for i, gap := range b.through(flows, func() {
					pulled = time.Now()
					b.host("isp1").pull()
					lost = b.await("e1", "four", "lost", func(st *bgp.Status) bool { return st.Routes == 0 && st.State != bgp.Established })
					b.goes("isp2", flows...)
				}) {
					t.Logf("the way is lost: flow %d: %v", i, gap)
				}
				t.Logf("BFD told after %v that the way is lost", lost.BFD.LastLost.Sub(pulled).Round(time.Millisecond))
				if lost.LastWhy != "BFD: control detection time expired" || lost.BFD.Losses == 0 {
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
				if st := b.up("e2", "six", 2); st.Flaps != six.Flaps {
					t.Errorf("the session beside: %+v, %+v", st, st.BFD)
				}
			})
		}
	})
}

// changed applies a session's object, and tells if the session did not stay up.
func (b *border) changed(session, object string, began bgp.Status) {
	b.Helper()
	b.apply(object)
	b.changedNot(session, began)
}

func (b *border) changedNot(session string, began bgp.Status) {
	b.Helper()
	if st := b.up("e1", session, 2); st.Flaps != began.Flaps || !st.Since.Equal(began.Since) {
		b.Errorf("session %s did not stay up: %+v, %+v", session, st, st.BFD)
	}
}

// TestBFDChanges: BFD is switched on, changed and switched off while the session is up; over several hops, too. Packets that somebody forges do nothing.
func TestBFDChanges(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		for _, x := range []struct {
			name, more string
			edit       func(*peer.Neighbour)
			kind       uint16
		}{
			{"one hop", "", slowly, bfd.SingleHop},
			{"several hops", "multihop: 3, ", func(n *peer.Neighbour) { slowly(n); n.Multihop = 3 }, bfd.Multihop},
		} {
			t.Run(x.name, func(t *testing.T) {
				b := newBorder(t, testConfig{
					sessions: session("first", "up1", 64501, isp1v4, strings.TrimSuffix(x.more, ", ")),
					peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, x.edit, up1v4)},
				})
				began := b.up("e1", "first", 2)
				if began.BFD != nil {
					t.Errorf("watched without a word: %+v", began.BFD)
				}
				change := func(spec string) {
					t.Helper()
					b.changed("first", session("first", "up1", 64501, isp1v4, x.more+spec), began)
				}
				change("bfd: {minTx: 50, minRx: 60}")
				b.bfdUp("e1", "first", 1000, 1000)
				b.must(b.peer("isp1").Watched(b.limited(), up1v4))
				change("bfd: {minTx: 1500, minRx: 60, multiplier: 5}")
				b.bfdUp("e1", "first", 1500, 1000)
				change("bfd: {minTx: 1500, minRx: 2000}")
				b.bfdUp("e1", "first", 1500, 2000)
				change("bfd: {minTx: 50, minRx: 50, strict: true}")
				st := b.bfdUp("e1", "first", 1000, 1000)
				b.forge("isp1", x.kind, st.BFD)
				b.changedNot("first", began)
				if st := b.bfdUp("e1", "first", 1000, 1000); st.BFD.Losses != 0 || st.BFD.Refused < forged || st.BFD.Multihop != (x.kind == bfd.Multihop) {
					t.Errorf("%+v", st.BFD)
				}
				b.apply(session("first", "up1", 64501, isp1v4, strings.TrimSuffix(x.more, ", ")))
				b.await("e1", "first", "up and not watched any more", func(st *bgp.Status) bool {
					return st.BFD == nil && st.State == bgp.Established && st.Routes == 2 // again, perhaps: both makers take who switches BFD off for lost
				})
			})
		}
	})
}

// forged is how many packets forge sends at least.
const forged = 3

// forge has an upstream's machine send packets that say that the way is down, none of which the neighbour sent: with another discriminator, from another address and, over one hop, from afar.
func (b *border) forge(name string, port uint16, st *bgp.BFD) {
	b.Helper()
	payload := func(yours uint32) []byte {
		h := wire.BFDHeader{Version: 1, State: wire.StateDown, DetectTimeMultiplier: 3, MyDiscriminator: 77, YourDiscriminator: yours, DesiredMinTxInterval: 1e6, RequiredMinRxInterval: 1e6}
		raw, err := h.MarshalBinary()
		b.must(err)
		return raw
	}
	gateway, err := b.host(name).Resolve(b.limited(), up1v4)
	b.must(err)
	right := packet.UDP{SrcMAC: b.host(name).MAC(), DstMAC: gateway, Src: isp1v4, Dst: up1v4, SrcPort: 50000, DstPort: port, TTL: 255}
	var frames [][]byte
	add := func(u packet.UDP, yours uint32) {
		u.Payload = payload(yours)
		frames = append(frames, packet.AppendUDP(nil, &u))
	}
	add(right, st.Local+1)
	other := right
	other.Src = isp1v4.Next()
	add(other, 0)
	add(other, st.Local)
	if port == bfd.SingleHop {
		far := right
		far.TTL = 254
		add(far, 0)
		add(far, st.Local)
	}
	b.must(b.host(name).InjectAll(b.limited(), slices.Values(frames)))
	b.await("e1", "first", "beyond what is forged", func(now *bgp.Status) bool {
		return now.BFD.Refused >= st.Refused+uint64(len(frames)) && now.BFD.Received > st.Received+5
	})
}

// TestBFDWithout: a neighbour that has no BFD has a session all the same, unless the session is strict.
func TestBFDWithout(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		b := newBorder(t, testConfig{
			sessions: session("first", "up1", 64501, isp1v6, "bfd: {strict: true}"),
			peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, nil, up1v6)},
		})
		b.await("e1", "first", "waiting for BFD", func(st *bgp.Status) bool {
			return st.State == bgp.Connecting && strings.Contains(st.Why, "waits for BFD") && st.BFD.Sent > 1
		})
		b.apply(session("first", "up1", 64501, isp1v6, "bfd: {}"))
		if st := b.up("e1", "first", 2); st.BFD.State != "Down" || st.BFD.Remote != 0 {
			t.Errorf("a neighbour without BFD: %+v", st.BFD)
		}
	})
}

// TestBFDStrict: a strict session comes up with BFD; when the way is lost it waits for it.
func TestBFDStrict(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		b := newBorder(t, testConfig{
			sessions: session("first", "up1", 64501, isp1v6, "bfd: {minTx: 100, minRx: 100, strict: true}"),
			peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, watched, up1v6)},
		})
		b.up("e1", "first", 2)
		b.bfdUp("e1", "first", 100, 100)
		b.host("isp1").pull()
		b.await("e1", "first", "waiting for BFD", func(st *bgp.Status) bool {
			return st.Routes == 0 && strings.HasPrefix(st.LastWhy, "BFD: ") && strings.Contains(st.Why, "waits for BFD")
		})
		b.host("isp1").plug()
		b.up("e1", "first", 2)
	})
}

// TestBFDRestarts: a neighbour that restarts gracefully, its BFD with it, is not one that is lost: its routes stay. So it is the other way round when the agent ends and begins again, if the neighbour
// is told that BFD shares the fate of who speaks.
func TestBFDRestarts(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		edit := func(n *peer.Neighbour) { slowly(n); graceful(n) }
		patient := func(n *peer.Neighbour) { edit(n); n.BFDGraceful = true }
		b := newBorder(t, testConfig{
			sessions: session("first", "up1", 64501, isp1v4, "bfd: {}") + session("second", "up2", 64502, isp2v6, "bfd: {}"),
			peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, edit, up1v4), "isp2": upstream(maker, 64502, patient, up2v6)},
		})
		b.up("e1", "first", 2)
		b.up("e2", "second", 2)
		before := b.bfdUp("e1", "first", 1000, 1000)
		b.peer("isp1").Kill()
		st := b.await("e1", "first", "lost, and BFD too", func(st *bgp.Status) bool { return st.State != bgp.Established && st.BFD.State == "Down" })
		if st.Routes != 2 || st.Flaps != before.Flaps+1 {
			t.Errorf("a neighbour that restarts: %+v, %+v", st, st.BFD)
		}
		b.must(b.peer("isp1").Restart())
		b.await("e1", "first", "up again", func(st *bgp.Status) bool { return st.State == bgp.Established && st.Routes == 2 && st.Received == 2 })
		b.bfdUp("e1", "first", 1000, 1000)
		b.learns("isp1", inside...)

		b.bfdUp("e2", "second", 1000, 1000)
		b.learns("isp2", inside...)
		b.must(b.StopAgent("e2"))
		b.must(b.peer("isp2").Down(b.limited(), up2v6))
		b.learns("isp2", inside...)
		b.must(b.StartAgent("e2"))
		b.up("e2", "second", 2)
		b.bfdUp("e2", "second", 1000, 1000)
		b.learns("isp2", inside...)
		if maker != peer.FRR { // BIRD never says that its BFD is independent
			return
		}
		b.peer("isp2").Kill()
		st = b.await("e2", "second", "without routes, though the neighbour would restart: its BFD would not", func(st *bgp.Status) bool { return st.Routes == 0 })
		if st.Restart == 0 || strings.HasPrefix(st.LastWhy, "BFD") {
			t.Errorf("a neighbour that restarts and does not forward: %+v, %+v", st, st.BFD)
		}
	})
}
