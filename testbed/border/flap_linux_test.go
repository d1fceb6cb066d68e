package border

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/host"
)

// TestFlaps: prefixes that a neighbour tells and withdraws a hundred times a second are held back, and the database has few writes of them, however long it goes on; others, and the session, are not
// concerned. When they are quiet they are routes again.
func TestFlaps(t *testing.T) {
	t.Parallel()
	b := newBorder(t, testConfig{stack: bgp.Userspace, sessions: session("first", "up1", 64501, isp1v4, "")})
	router, err := b.host("isp1").Machine.(*host.Host).ServeBGP(host.BGPConfig{AS: 64501, PeerAS: own})
	b.must(err)
	flapping, quiet := prefixes("198.51.100.0/24", "2001:db8:51::/48"), prefixes("198.51.101.0/24", "2001:db8:52::/48")
	b.must(router.Announce(false, nil, append(flapping, quiet...)...))
	before := b.up("e1", "first", 4)
	flap := func(times int) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range times {
			<-tick.C
			b.must(router.Announce(i%2 == 0, nil, flapping...))
		}
	}
	flap(200)
	held := b.await("e1", "first", "without the prefixes that flap", func(st *bgp.Status) bool {
		return st.Damped == 2 && st.DampedTotal == 2 && st.Routes == 2 && st.Pending == 0
	})
	if writes := held.Written - before.Written; writes > 40 {
		t.Errorf("%d blocks were written for 200 changes of two prefixes within two seconds", writes)
	}
	flap(200)
	after := b.up("e1", "first", 2)
	if after.Written != held.Written || after.Flaps != 0 {
		t.Errorf("%d blocks were written, %d before: of prefixes that are held back", after.Written, held.Written)
	}
	t.Logf("400 changes of two prefixes: %d blocks written", after.Written-before.Written)
	speaker, err := b.Speaker("e1")
	b.must(err)
	var rejected []bgp.Route
	if !b.eventually(func() bool { // the last change may be on its way
		rejected, err = speaker.Routes("isp/first", false, bgp.Choice{Rejected: true})
		return err == nil && len(rejected) == 2
	}) {
		t.Errorf("rejected: %+v, %v", rejected, err)
	}
	for _, r := range rejected {
		if r.Verdict != bgp.RejectedDamped || !strings.Contains(r.Why, "held back for ") {
			t.Errorf("%+v", r)
		}
	}
	b.up("e1", "first", 4)
	flap(200)
	b.up("e1", "first", 2)
	b.apply(session("first", "up1", 64501, isp1v4, "noDamping: true"))
	if st := b.up("e1", "first", 4); st.Damped != 0 || st.Flaps != 0 {
		t.Errorf("nothing is to be held back: %+v", st)
	}
}
