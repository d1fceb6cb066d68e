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

// TestLeftovers: routes of a session that is no more go once the database takes that, also if it is wanted again and does not begin; those of one that runs again are its own, and nobody cares for those of
// an edge that this process has no more.
func TestLeftovers(t *testing.T) {
	db := &ribs{away: errors.New("no leader")}
	s := New(Config{Edge: "e", Stack: Userspace})
	s.cfg.left.store = db
	sourceOf := func(name string) state.RIBSource {
		return state.RIBSource{Router: wayOut().Device, Port: wayOut().ID, Edge: "e", Session: name}
	}
	rib, err := new(state.Store).NewRIB(sourceOf("isp/again"))
	if err != nil {
		t.Fatal(err)
	}
	s.ports[wayOut().ID] = &port{sessions: map[string]*session{"isp/again": {rib: rib}}}
	for _, name := range []string{"isp/gone", "isp/again"} {
		s.cfg.left.add(sourceOf(name))
	}
	s.cfg.left.remove(t.Context(), s.runs)
	if !s.lacks() || len(db.removed) != 0 {
		t.Errorf("the database is away: removed %v, to be tried again: %v", db.removed, s.lacks())
	}
	db.away = nil
	for range 2 {
		s.cfg.left.remove(t.Context(), s.runs)
	}
	if diff := cmp.Diff([]string{"isp/gone"}, db.removed); diff != "" || s.lacks() {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	clear(s.ports)
	s.cfg.left.add(sourceOf("isp/lacks"))
	lacks := external()
	lacks.Name, lacks.PasswordSecret = "isp/lacks", "none"
	w := wayOut()
	w.MTU = 1500
	s.settle(t.Context(), []Port{{Port: w, Sessions: []*topology.BGPSession{lacks}, Send: func([]byte) {}}}, true)
	if len(db.removed) != 2 {
		t.Errorf("a session that does not begin again: removed %v", db.removed)
	}
	s.cfg.left.add(sourceOf("isp/other"))
	s.settle(t.Context(), nil, false)
	s.settle(t.Context(), nil, true)
	if len(db.removed) != 2 {
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
