package bgp

import (
	"errors"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/state"
)

// TestLostAfterEnded: what a neighbour told before its session was ended here, for BFD or maxPrefixes, counts no more, also if the neighbour restarts gracefully and ends the connection first.
func TestLostAfterEnded(t *testing.T) {
	for _, x := range []struct {
		dropped bool
		restart time.Duration
		err     error
		counts  bool
	}{
		{false, time.Minute, errors.New("reset"), true},
		{false, time.Minute, nil, false},
		{false, 0, errors.New("reset"), false},
		{true, time.Minute, errors.New("reset"), false},
	} {
		rib, err := new(state.Store).NewRIB(state.RIBSource{Router: 1, Port: 2, Edge: "e", Session: "s"})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{spec: external(), rib: rib, stale: time.NewTimer(time.Hour), dropped: x.dropped, life: life{state: Established, restart: x.restart}}
		s.lost(x.err)
		if counts := s.taking() != nil; counts != x.counts {
			t.Errorf("%+v: what is told counts: %v", x, counts)
		}
	}
}

// TestNothingIsKept: of a session that keeps nothing GoBGP is told so, and what the neighbour says of restarts does not count.
func TestNothingIsKept(t *testing.T) {
	restarts := []msg.ParameterCapabilityInterface{msg.NewCapGracefulRestart(false, false, 90, []*msg.CapGracefulRestartTuple{msg.NewCapGracefulRestartTuple(msg.RF_IPv4_UC, true)})}
	for _, keeps := range []bool{true, false} {
		s, _ := spliced(t)
		s.spec.V6 = false
		if !keeps {
			s.spec.RestartTime = 0
		}
		p := s.neighbour(s.spec)
		if g := p.GracefulRestart; g.Enabled != keeps || p.AfiSafis[0].MpGracefulRestart.Config.Enabled != keeps || (g.RestartTime == 120) != keeps {
			t.Errorf("GoBGP is told %+v of a session that keeps routes: %v", g, keeps)
		}
		s.became(&apiutil.PeerState{SessionState: msg.BGP_FSM_ESTABLISHED, RemoteCap: restarts}, time.Now())
		if restart := s.life.restart; (restart == 90*time.Second) != keeps {
			t.Errorf("kept for %v, of a session that keeps routes: %v", restart, keeps)
		}
	}
}
