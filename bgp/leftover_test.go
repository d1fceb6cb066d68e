package bgp

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/pkg/apiutil"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// ribs is a database that may be away.
type ribs struct {
	away    error
	removed []string
}

func (r *ribs) RemoveRIB(_ context.Context, source state.RIBSource) error {
	if r.away == nil {
		r.removed = append(r.removed, source.Session)
	}
	return r.away
}

// TestLeftovers: routes of a session that is no more go once the database takes that; those of one that begins again stay for it, and nobody cares for those of an edge that this process has no more.
func TestLeftovers(t *testing.T) {
	db := &ribs{away: errors.New("no leader")}
	s := New(Config{Edge: "e", Stack: Userspace})
	s.cfg.left.store = db
	port, again := wayOut(), external()
	port.MTU, again.Name, again.PasswordSecret = 1500, "isp/again", "none" // it lacks its secret: nothing of it begins
	for _, name := range []string{"isp/gone", "isp/again"} {
		s.cfg.left.add(state.RIBSource{Router: port.Device, Port: port.ID, Edge: "e", Session: name})
	}
	wanted := []Port{{Port: port, Sessions: []*topology.BGPSession{again}, Send: func([]byte) {}}}
	s.settle(t.Context(), wanted, true)
	if !s.lacks() || len(db.removed) != 0 {
		t.Errorf("the database is away: removed %v, to be tried again: %v", db.removed, s.lacks())
	}
	db.away = nil
	s.settle(t.Context(), wanted, true)
	s.settle(t.Context(), wanted, true)
	if diff := cmp.Diff([]string{"isp/gone"}, db.removed); diff != "" || s.cfg.left.any() {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	s.cfg.left.add(state.RIBSource{Router: port.Device, Port: port.ID, Edge: "e", Session: "isp/other"})
	s.settle(t.Context(), nil, false)
	s.settle(t.Context(), nil, true)
	if len(db.removed) != 1 {
		t.Errorf("removed %v", db.removed)
	}
}

// TestForgottenIsDeaf: what a neighbour told that GoBGP still has to hand over does not count once the session is no more.
func TestForgottenIsDeaf(t *testing.T) {
	rib, err := new(state.Store).NewRIB(state.RIBSource{Router: 1, Port: 2, Edge: "e", Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{spec: external(), rib: rib, stale: time.NewTimer(time.Hour), life: life{state: Established}}
	s.port.Store(wayOut())
	s.heard.clear()
	late := []*apiutil.Path{pathOf(t, "203.0.113.0/24", netip.MustParseAddr("192.0.2.2"), []uint32{65001})}
	if s.learn(late); rib.Stats().Pending != 1 {
		t.Fatalf("%+v of what was told before, want it", rib.Stats())
	}
	s.deafen()
	if s.learn(late); rib.Stats().Pending != 0 {
		t.Errorf("%+v of what came late, want none of it", rib.Stats())
	}
}
