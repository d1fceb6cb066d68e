package border

import (
	"context"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestPasswords: a session whose neighbour has the same password comes up, over either IP version; one whose neighbour has another does not, and one that can not be signed is
// not carried out. Each says why.
func TestPasswords(t *testing.T) {
	t.Parallel()
	secret := func(_, name string) (string, error) { return "of-" + name, nil }
	signed := func(password string) func(*peer.Neighbour) {
		return func(n *peer.Neighbour) { n.Password = password }
	}
	sessions := session("right", "up1", 64501, isp1v4, "passwordSecret: right") + session("right6", "up1", 64501, isp1v6, "passwordSecret: right") +
		session("wrong", "up2", 64502, isp2v4, "passwordSecret: wrong") + session("wrong6", "up2", 64502, isp2v6, "passwordSecret: wrong")
	makers(t, func(t *testing.T, maker peer.Maker) {
		t.Run("kernel", func(t *testing.T) {
			b := newBorder(t, testConfig{stack: bgp.Kernel, secret: secret, sessions: sessions, peers: map[string]peer.Config{
				"isp1": upstream(maker, 64501, signed("of-right"), up1v4, up1v6),
				"isp2": upstream(maker, 64502, signed("of-something-else"), up2v4, up2v6),
			}})
			b.up("e1", "right", 1)
			b.up("e1", "right6", 1)
			b.learns("isp1", inside...)
			for _, name := range []string{"wrong", "wrong6"} {
				b.await("e2", name, "down for want of an answer to what is signed otherwise", func(st *bgp.Status) bool {
					return st.State == bgp.Connecting && st.Flaps == 0 && st.Problem == "" && strings.Contains(st.Why, "password")
				})
			}
			if state, err := b.peer("isp2").State(b.limited(), up2v4); err != nil || state == "Established" {
				t.Errorf("the neighbour with another password: %s, %v", state, err)
			}
		})
		t.Run("userspace", func(t *testing.T) {
			b := newBorder(t, testConfig{stack: bgp.Userspace, secret: secret, sessions: sessions, peers: map[string]peer.Config{
				"isp1": upstream(maker, 64501, signed("of-right"), up1v4, up1v6),
			}})
			for _, name := range []string{"right", "right6"} {
				st := b.await("e1", name, "not carried out", func(st *bgp.Status) bool { return st.Problem != "" })
				if !strings.Contains(st.Problem, "TCP MD5") || !strings.Contains(st.Problem, "CAP_NET_ADMIN") || st.State != bgp.Idle {
					t.Errorf("a session that is to be signed, without a kernel's stack: %+v", st)
				}
			}
			if state, err := b.peer("isp1").State(context.Background(), up1v4); err != nil || state == "Established" {
				t.Errorf("the neighbour of a session that is not carried out: %s, %v", state, err)
			}
		})
	})
}
