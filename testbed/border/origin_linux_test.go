package border

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/testbed/peer"
	"github.com/weft-sdn/weft/testbed/rtr"
)

// TestOrigins: what RPKI caches say of what a neighbour tells decides by import rules, while the session is up; what they say holds while they are away.
func TestOrigins(t *testing.T) {
	t.Parallel()
	rtr.Need(t)
	vrp := func(prefix string, most uint8, as uint32) rpki.VRP {
		return rpki.VRP{Prefix: netip.MustParsePrefix(prefix), MaxLen: most, AS: as}
	}
	makers(t, func(t *testing.T, maker peer.Maker) {
		first := []rpki.VRP{vrp("198.51.100.0/22", 23, 64501), vrp("198.51.102.0/24", 24, 64501), vrp("2001:db8:51::/48", 48, 64501), vrp("2001:db8:52::/48", 48, 64502)}
		cache, err := rtr.Open(t.Output(), first)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cache.Close)
		config := upstream(maker, 64501, nil, up1v4)
		config.Announce = prefixes("198.51.100.0/24", "198.51.102.0/24", "203.0.115.0/24", "2001:db8:51::/48", "2001:db8:52::/48", "2001:db8:53::/48")
		b := newBorder(t, testConfig{
			stack: bgp.Kernel, caches: []rpki.Cache{{Address: "[::1]:1"}, {Address: cache.Address}},
			sessions: session("first", "up1", 64501, isp1v4, `import: [{action: deny, prefix: 0.0.0.0/0, le: 32, rpki: invalid}, {action: deny, prefix: "::/0", le: 128, rpki: invalid},
    {action: permit, prefix: 0.0.0.0/0, le: 24, rpki: valid, localPref: 200}, {action: permit, prefix: 0.0.0.0/0, le: 24}, {action: permit, prefix: "::/0", le: 48}]`),
			peers: map[string]peer.Config{"isp1": config},
		})
		began := b.up("e1", "first", 4)
		check := func(what string, want map[string]bgp.Route) {
			t.Helper()
			speaker, err := b.Speaker("e1")
			b.must(err)
			received, err := speaker.Routes("isp/first", false, bgp.Choice{})
			b.must(err)
			for _, r := range received {
				if w := want[r.Prefix.String()]; r.RPKI != w.RPKI || r.Verdict != w.Verdict || r.Why != w.Why {
					t.Errorf("%s: %s is %s, %s: %q; want %+v", what, r.Prefix, r.RPKI, r.Verdict, r.Why, w)
				}
			}
			if st, err := b.status("e1", "first"); err != nil || len(received) != len(want) || st.Flaps != 0 || !st.Since.Equal(began.Since) {
				t.Errorf("%s: %d routes; the session did not stay up: %+v, %v", what, len(received), st, err)
			}
		}
		valid, unknown := bgp.Route{RPKI: rpki.Valid, Verdict: bgp.Accepted}, bgp.Route{RPKI: rpki.NotFound, Verdict: bgp.Accepted}
		invalid := func(why string) bgp.Route {
			return bgp.Route{RPKI: rpki.Invalid, Verdict: bgp.RejectedFilter, Why: why}
		}
		check("at first", map[string]bgp.Route{
			"198.51.100.0/24": invalid("import[0] denies 0.0.0.0/0 le 32 rpki invalid: of AS 64501 to /23"), "198.51.102.0/24": valid, "203.0.115.0/24": unknown,
			"2001:db8:51::/48": valid, "2001:db8:52::/48": invalid("import[1] denies ::/0 le 128 rpki invalid: of AS 64502, not 64501"), "2001:db8:53::/48": unknown,
		})
		b.must(cache.Change(append(slices.Clone(first[1:3]), vrp("203.0.115.0/24", 24, 64502), vrp("2001:db8:52::/47", 48, 64501))))
		changed := map[string]bgp.Route{
			"198.51.100.0/24": unknown, "198.51.102.0/24": valid, "203.0.115.0/24": invalid("import[0] denies 0.0.0.0/0 le 32 rpki invalid: of AS 64502, not 64501"),
			"2001:db8:51::/48": valid, "2001:db8:52::/48": valid, "2001:db8:53::/48": valid,
		}
		b.up("e1", "first", 5)
		check("other VRPs", changed)
		cache.Stop()
		if !b.eventually(func() bool {
			speaker, err := b.Speaker("e1")
			return err == nil && !speaker.Caches()[1].Up
		}) {
			t.Error("the cache is not away")
		}
		b.up("e1", "first", 5)
		check("the cache is away", changed)
	})
}
