package remote

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// TestPathMTU: what is too long for the tunnel is answered by the router with the tunnel's MTU, over both IP versions, and TCP gets through both ways.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	b, s, _ := newMeddledBench(t)
	b.pings(b.vm(), "fd50::2")
	for _, a := range []struct{ to, by string }{{"192.168.50.2", "10.1.0.1"}, {"fd50::2", "fd01::1"}} {
		r, err := b.vm().PingWith(t.Context(), netip.MustParseAddr(a.to), host.PingConfig{Count: 1, Size: 1340, DontFragment: true})
		if err == nil && len(r.Echoes) == 1 {
			err = r.Echoes[0].Err
		}
		if icmp := (*host.ICMPError)(nil); !errors.As(err, &icmp) || icmp.Kind != host.TooBig || icmp.MTU != 1300 || icmp.From.String() != a.by {
			t.Errorf("to %s: %v, %+v", a.to, err, icmp)
		}
	}
	b.fetches(s, b.vm(), "192.168.50.2", "fd50::2")
	b.fetches(b.vm(), s, "10.1.0.5", "fd01::5")
}

// TestPeerRestarts: keys are agreed on anew while a connection sends, each time that the peer has forgotten them, and the connection lives on.
func TestPeerRestarts(t *testing.T) {
	t.Parallel()
	b, s, _ := newMeddledBench(t)
	handshake := func() (last time.Time) { // whoever holds the VPN: on a machine that is too busy it may be another by now
		for _, edge := range []string{"e1", "e2"} {
			st, err := b.status(edge)
			b.must(err)
			for _, p := range st.Peers {
				if p.Handshake.After(last) {
					last = p.Handshake
				}
			}
		}
		return last
	}
	b.must(b.vm().ServeSink(9))
	const size, restarts = 1 << 20, 4
	done, first := int64(0), handshake()
	_, err := s.PushAt(t.Context(), netip.MustParseAddrPort("[fd01::5]:9"), size, func(_ context.Context, moved int64) error {
		if done < restarts && moved >= (done+1)*size/(restarts+1) {
			done++
			return s.Restart()
		}
		return nil
	})
	b.must(err)
	b.eventually("the last handshake is seen", func() error {
		if !handshake().After(first) {
			return errors.New("it is the first one")
		}
		return nil
	})
	if done != restarts {
		t.Errorf("the peer was restarted %d times", done)
	}
	b.pings(b.vm(), "192.168.50.2")
}
