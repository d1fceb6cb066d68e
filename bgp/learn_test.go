package bgp

import (
	"errors"
	"testing"
	"time"

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
