package border

import (
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestDefaults: a neighbour is told a default route, always or while the router has a route that another one tells, as that comes and goes.
func TestDefaults(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		second := upstream(maker, 64502, nil, up2v6)
		second.Announce = prefixes("198.51.105.0/24")
		const conditional = `advertise: [{prefix: 0.0.0.0/0, ifRoute: 198.51.100.0/24}, {prefix: "::/0", ifRoute: "2001:db8:51::/48"}, {prefix: 203.0.113.0/24}]`
		b := newBorder(t, testConfig{
			stack:    bgp.Kernel,
			sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v6, conditional),
			peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, nil, up1v4), "isp2": second},
		})
		b.up("e1", "first", 2)
		began := b.up("e2", "second", 1)
		b.learns("isp2", prefixes("0.0.0.0/0", "::/0", "203.0.113.0/24")...)
		b.must(b.peer("isp1").Withdraw(b.limited(), outside[:1]...))
		b.learns("isp2", prefixes("::/0", "203.0.113.0/24")...)
		speaker, err := b.Speaker("e2")
		b.must(err)
		not, err := speaker.Routes("isp/second", true, bgp.Choice{Rejected: true})
		b.must(err)
		if len(not) != 1 || not[0].Why != "the router has no route to 198.51.100.0/24" || not[0].From != "advertise[0]" {
			t.Errorf("not told: %+v", not)
		}
		b.must(b.peer("isp1").Announce(b.limited(), outside[:1]...))
		b.must(b.peer("isp1").Withdraw(b.limited(), outside[1:]...))
		b.learns("isp2", prefixes("0.0.0.0/0", "203.0.113.0/24")...)
		b.apply(session("second", "up2", 64502, isp2v6, conditional+", defaultOriginate: true, export: [{action: permit, prefix: 203.0.113.0/24}]"))
		b.learns("isp2", prefixes("0.0.0.0/0", "::/0", "203.0.113.0/24")...)
		b.apply(session("second", "up2", 64502, isp2v6, ""))
		b.learns("isp2", inside...)
		if st := b.up("e2", "second", 1); st.Flaps != 0 || !st.Since.Equal(began.Since) {
			t.Errorf("the session did not stay up: %+v", st)
		}
	})
}
