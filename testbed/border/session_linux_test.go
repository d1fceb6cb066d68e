package border

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestSessions: a session over each IP version, and one over IPv6 for both families; routes go both ways, and a VM at a third edge talks to what is behind both upstreams,
// most of it by entries alone. Neighbours find the router's addresses, and ping them, ahead of what the agent decides.
func TestSessions(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		for _, stack := range []bgp.Stack{bgp.Kernel, bgp.Userspace} {
			t.Run(string(stack), func(t *testing.T) {
				b := newBorder(t, testConfig{
					stack: stack,
					sessions: session("four", "up1", 64501, isp1v4, "families: [ipv4], advertise: [{prefix: 203.0.113.0/24}]") +
						session("six", "up1", 64501, isp1v6, `families: [ipv6], advertise: [{prefix: "2001:db8:113::/48"}]`) +
						session("both", "up2", 64502, isp2v6, ""),
					peers: map[string]peer.Config{
						"isp1": upstream(maker, 64501, nil, up1v4, up1v6),
						"isp2": upstream(maker, 64502, nil, up2v6),
					},
				})
				for session, want := range map[string]struct {
					edge   string
					routes int
				}{"four": {"e1", 1}, "six": {"e1", 1}, "both": {"e2", 2}} {
					st := b.up(want.edge, session, want.routes)
					if st.Stack != string(stack) || st.Flaps != 0 || st.Why != "" || st.Problem != "" || !st.PeerID.IsValid() || st.Hold != 90 {
						t.Errorf("session %s: %+v", session, st)
					}
				}
				b.learns("isp1", inside...)
				b.learns("isp2", inside...)
				b.answersAhead("isp1", "e1", up1v4, up1v6)
				b.answersAhead("isp2", "e2", up2v4, up2v6)
				for _, name := range []string{"isp1", "isp2"} {
					b.reaches(name)
					b.must(b.host(name).ServeHTTP(80))
				}
				traffic := "ping vm 198.51.100.1 count=10 interval=5ms\nping vm 2001:db8:51::1 count=10 interval=5ms\n"
				for range 4 { // flows are spread over both
					traffic += "http vm 198.51.100.1:80 bytes=500KB\nhttp vm [2001:db8:51::1]:80 bytes=500KB\n"
				}
				b.steps(fmt.Sprintf("leg learned fast=0.5\n%s", traffic))
			})
		}
	})
}

// answersAhead has an upstream that has forgotten its neighbours find addresses of the router's port, and ping them: the edge answers each question as it comes.
func (b *border) answersAhead(name, edge string, addrs ...netip.Addr) {
	b.Helper()
	answered := func() uint64 {
		n, err := b.Counter(b.limited(), edge, "answered")
		b.must(err)
		return n
	}
	const pings = 3
	before := answered()
	for _, addr := range addrs {
		if _, said, err := b.peer(name).Exec(b.Context(), "ip", "neighbour", "flush", "to", addr.String()); err != nil {
			b.Fatalf("%s forgets %s: %v: %s", name, addr, err, said)
		}
		result, err := b.host(name).PingWith(b.limited(), addr, host.PingConfig{Count: pings})
		if err != nil || result.Received() != pings {
			b.Errorf("%s pings %s: %d answers, want %d: %v", name, addr, result.Received(), pings, err)
		}
	}
	if n := answered() - before; n < uint64(len(addrs)*(1+pings)) {
		b.Errorf("%d questions of %s were answered as they came, want one and %d pings of each of %v", n, name, pings, addrs)
	}
}
