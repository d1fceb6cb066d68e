package border

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestAddPaths: a neighbour that tells several paths to a prefix has the equally good ones used together, as they come and go; one that does not is as ever.
func TestAddPaths(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		config := upstream(maker, 64501, func(n *peer.Neighbour) { n.AddPath = true }, up1v4)
		routes := 2
		if maker == peer.BIRD { // FRR tells what others told it, which the testbed has it not
			for _, via := range []string{"192.0.2.10", "192.0.2.11"} {
				config.Ways = append(config.Ways, peer.Way{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr(via)}, peer.Way{Prefix: netip.MustParsePrefix("198.51.101.0/24"), Via: netip.MustParseAddr(via)})
			}
			for _, via := range []string{"2001:db8:a::10", "2001:db8:a::11"} {
				config.Ways = append(config.Ways, peer.Way{Prefix: netip.MustParsePrefix("2001:db8:51::/48"), Via: netip.MustParseAddr(via)})
			}
			routes += 2 + 2 + 2
		}
		b := newBorder(t, testConfig{stack: bgp.Kernel, sessions: session("first", "up1", 64501, isp1v4, "addPaths: true"), peers: map[string]peer.Config{"isp1": config}})
		for _, more := range []string{"192.0.2.10/24", "192.0.2.11/24", "2001:db8:a::10/64", "2001:db8:a::11/64"} {
			_, said, err := b.peer("isp1").Exec(b.Context(), "ip", "address", "add", more, "dev", "eth0", "nodad")
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
		}
		began := b.up("e1", "first", routes)
		check := func(what string, want ...string) {
			t.Helper()
			speaker, err := b.Speaker("e1")
			b.must(err)
			received, err := speaker.Routes("isp/first", false, bgp.Choice{})
			b.must(err)
			var got []string
			ids := map[string]bool{}
			for _, r := range received {
				if r.Verdict != bgp.Accepted {
					t.Errorf("%s: %+v", what, r)
				}
				got = append(got, r.Prefix.String()+" "+r.Via.String())
				ids[r.Prefix.String()+" "+cmp.Or(r.Via.String())] = true
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || len(ids) != len(want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		own := []string{"198.51.100.0/24 192.0.2.9", "2001:db8:51::/48 2001:db8:a::9"}
		if maker == peer.FRR {
			check("one path each", own...)
			b.reaches("isp1")
			return
		}
		others := []string{"198.51.100.0/24 192.0.2.10", "198.51.100.0/24 192.0.2.11", "198.51.101.0/24 192.0.2.10", "198.51.101.0/24 192.0.2.11", "2001:db8:51::/48 2001:db8:a::10", "2001:db8:51::/48 2001:db8:a::11"}
		check("three paths", slices.Concat(own, others)...)
		for range 8 { // flows, which are spread over the ways
			b.steps("ping vm 198.51.100.1 count=2\nping vm 2001:db8:51::1 count=2\n")
		}
		b.must(b.peer("isp1").Withdraw(b.limited(), outside...))
		b.up("e1", "first", routes-2)
		check("one path is withdrawn", others...)
		b.must(b.peer("isp1").Announce(b.limited(), outside...))
		if st := b.up("e1", "first", routes); st.Received != 3 || st.Flaps != 0 || !st.Since.Equal(began.Since) {
			t.Errorf("%+v", st)
		}
	})
}
