package border

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestReflector: a route reflector tells each of two sessions what the other told it, which is the router's own and no route of it; what it has from others is.
func TestReflector(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		config := upstream(maker, own, func(n *peer.Neighbour) { n.V4, n.V6, n.Reflect = true, true, true }, up1v4, up1v6)
		for i := range config.Neighbours {
			config.Neighbours[i].AS = own
		}
		internal := func(name string, neighbour string, advertise string) string {
			return strings.Replace(session(name, "up1", own, isp1v4, advertise), isp1v4.String(), neighbour, 1)
		}
		b := newBorder(t, testConfig{
			stack: bgp.Kernel,
			sessions: internal("four", isp1v4.String(), `advertise: [{prefix: 203.0.113.0/24}]`) +
				internal("six", isp1v6.String(), `advertise: [{prefix: "2001:db8:113::/48"}]`),
			peers: map[string]peer.Config{"isp1": config},
		})
		for _, name := range []string{"four", "six"} {
			b.await("e1", name, "up with what the reflector has", func(st *bgp.Status) bool {
				return st.State == bgp.Established && st.Routes == 2 && st.Pending == 0
			})
			speaker, err := b.Speaker("e1")
			b.must(err)
			var rejected []bgp.Route
			if !b.eventually(func() bool { // FRR also tells a session what it told itself
				rejected, err = speaker.Routes("isp/"+name, false, bgp.Choice{Rejected: true})
				return err == nil && len(rejected) > 0
			}) {
				t.Errorf("session %s is told nothing back", name)
			}
			for _, r := range rejected {
				if !slices.Contains(inside, r.Prefix) || r.Verdict != bgp.RejectedOwn || r.Why != "it is the router's own, told back by a route reflector" {
					t.Errorf("session %s rejects %+v", name, r)
				}
			}
		}
		b.learns("isp1", inside...)
		b.reaches("isp1")
	})
}
