package border

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestChanges: what a session takes and tells is changed while it is up; its timers make it begin anew.
func TestChanges(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		config := upstream(maker, 64501, nil, up1v4)
		config.Announce = slices.Concat(outside, prefixes("198.51.101.0/24", "10.99.0.0/16", "2001:db8:99::/48"))
		b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("first", "up1", 64501, isp1v4, ""), peers: map[string]peer.Config{"isp1": config}})
		began := b.up("e1", "first", 5)
		b.learns("isp1", inside...)
		change := func(more string) { b.apply(session("first", "up1", 64501, isp1v4, more)) }
		same := func(what string, routes int) {
			t.Helper()
			if st := b.up("e1", "first", routes); st.Flaps != 0 || !st.Since.Equal(began.Since) {
				t.Errorf("%s: the session did not stay up: %+v", what, st)
			}
		}
		const most = `import: [{action: deny, prefix: 10.0.0.0/8, le: 32}, {action: permit, prefix: 0.0.0.0/0, le: 24}, {action: permit, prefix: "2001:db8:51::/48"}]`
		change(most)
		same("rules deny two", 3)
		verdicts := map[string]bgp.Verdict{}
		speaker, err := b.Speaker("e1")
		b.must(err)
		received, err := speaker.Routes("isp/first", false, bgp.Choice{})
		b.must(err)
		for _, r := range received {
			verdicts[r.Prefix.String()] = r.Verdict
		}
		if len(verdicts) != 5 || verdicts["10.99.0.0/16"] != bgp.RejectedFilter || verdicts["198.51.101.0/24"] != bgp.Accepted {
			t.Errorf("verdicts %v", verdicts)
		}
		b.must(b.peer("isp1").Announce(b.limited(), prefixes("10.98.0.0/16", "198.51.102.0/24")...))
		same("of two more one is denied", 4)
		change("")
		same("rules are gone", 7)

		const advertise = `advertise: [{prefix: 203.0.113.0/24, med: 7}, {prefix: 203.0.114.0/24}, {prefix: "2001:db8:113::/48"}, {prefix: "2001:db8:114::/48"}]`
		change(advertise)
		b.learns("isp1", slices.Concat(inside, prefixes("203.0.114.0/24", "2001:db8:114::/48"))...)
		change(advertise + `, export: [{action: permit, prefix: 203.0.112.0/22, le: 24}]`)
		b.learns("isp1", prefixes("203.0.113.0/24", "203.0.114.0/24")...)
		change("")
		b.learns("isp1", inside...)
		same("what is advertised changed", 7)

		change("holdTime: 30")
		b.await("e1", "first", "begun anew", func(st *bgp.Status) bool {
			return st.State == bgp.Established && st.Hold == 30 && st.Since.After(began.Since) && st.Routes == 7
		})
		b.learns("isp1", inside...)
	})
}

// TestMaxPrefixes: a neighbour that tells more than it may is stopped, with a word that says so, or goes on if that is only to be a warning.
func TestMaxPrefixes(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		config := func(as uint32, neighbour int) peer.Config {
			c := upstream(maker, as, nil, up1v4)
			if neighbour == 2 {
				c = upstream(maker, as, nil, up2v4)
			}
			c.Announce = prefixes("198.51.100.0/24", "198.51.101.0/24")
			return c
		}
		b := newBorder(t, testConfig{
			stack: bgp.Kernel,
			sessions: session("stops", "up1", 64501, isp1v4, "maxPrefixes: 2") +
				session("warns", "up2", 64502, isp2v4, "maxPrefixes: 2, maxPrefixesAction: warn"),
			peers: map[string]peer.Config{"isp1": config(64501, 1), "isp2": config(64502, 2)},
		})
		b.up("e1", "stops", 2)
		b.up("e2", "warns", 2)
		more := prefixes("198.51.102.0/24")
		b.must(b.peer("isp1").Announce(b.limited(), more...))
		b.must(b.peer("isp2").Announce(b.limited(), more...))
		b.await("e1", "stops", "stopped, and says why", func(st *bgp.Status) bool {
			return st.State == bgp.Idle && st.Routes == 0 && st.Flaps > 0 && strings.Contains(strings.ToLower(st.Why), "prefix")
		})
		if st := b.up("e2", "warns", 3); st.Flaps != 0 || !strings.Contains(st.Warning, "more than maxPrefixes, 2") {
			t.Errorf("a neighbour that may tell more: %+v", st)
		}
		if err := b.peer("isp1").Down(b.limited(), up1v4); err != nil {
			t.Error(err)
		}
		b.must(b.peer("isp1").Withdraw(b.limited(), more...))
		b.apply(session("stops", "up1", 64501, isp1v4, "maxPrefixes: 3"))
		if st := b.up("e1", "stops", 2); time.Since(st.Since) > patience || st.Exceeded != 1 {
			t.Errorf("a session that may tell more: %+v", st)
		}
		b.apply(session("stops", "up1", 64501, isp1v4, "maxPrefixes: 1, maxPrefixesAction: restart, maxPrefixesIdle: 2"))
		b.await("e1", "stops", "stopped by a limit that is less, again and again", func(st *bgp.Status) bool { return st.Exceeded >= 3 && st.Flaps >= 3 })
		b.apply(session("stops", "up1", 64501, isp1v4, "maxPrefixes: 1, maxPrefixesAction: warn"))
		b.await("e1", "stops", "up with a warning", func(st *bgp.Status) bool {
			return st.State == bgp.Established && st.Routes == 2 && strings.Contains(st.Warning, "more than maxPrefixes, 1")
		})
	})
}

// TestMaxPrefixesWithdrawn: a neighbour that tells too many and takes them back at once is stopped all the same.
func TestMaxPrefixesWithdrawn(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD) // for root: hosts of others are in memory
	b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("second", "up2", 64502, isp2v4, "maxPrefixes: 2")})
	h := b.byHand("isp2")
	h.establish()
	three := []byte{24, 198, 51, 100, 24, 198, 51, 101, 24, 198, 51, 102}
	taken := binary.BigEndian.AppendUint16(nil, uint16(len(three)))
	taken = append(append(taken, three...), 0, 0)
	h.write(slices.Concat(message(2, update(join(origin, asPath, nextHop), three), 0), message(2, taken, 0)))
	b.await("e2", "second", "stopped, and says why", func(st *bgp.Status) bool {
		return st.State == bgp.Idle && st.Routes == 0 && st.Exceeded == 1 && strings.Contains(st.Why, "more prefixes than maxPrefixes")
	})
	if err := <-h.ended; !errors.As(err, new(*notified)) {
		t.Errorf("the session ended by %v", err)
	}
	b.apply(session("second", "up2", 64502, isp2v4, "maxPrefixes: 3"))
	h.establish()
	b.up("e2", "second", 0)
}
