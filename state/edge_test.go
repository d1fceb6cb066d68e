package state

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-sdn/weft/topology"
)

func edgeInfo(id string) EdgeInfo {
	return EdgeInfo{ID: id, VTEPs: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}, Encaps: []string{"vxlan"}, MTU: 1500, Multicast: netip.MustParsePrefix("239.192.0.0/14")}
}

// untilView waits for a view with a property.
func untilView(t *testing.T, s *Store, what string, ok func(*View) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := false
	if err := s.Watch(ctx, func(c Change) {
		if ok(c.View) {
			found = true
			cancel()
		}
	}); err != nil || !found {
		t.Fatalf("no view with %s: %v", what, err)
	}
}

func hasEdge(id string) func(*View) bool {
	return func(v *View) bool { return v.Edges.Has(id) }
}

func lacksEdge(id string) func(*View) bool {
	return func(v *View) bool { return !v.Edges.Has(id) }
}

func TestEdgeComesAndGoes(t *testing.T) {
	s := embeddedStore(t)
	r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	stop := running(t, r.Run)
	untilView(t, s, "e1", hasEdge("e1"))
	if d := cmp.Diff(edgeInfo("e1"), s.View().Edges.Of("e1").EdgeInfo, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
	stop() // gives the lease back: gone at once, not after its 10 s
	untilView(t, s, "no e1", lacksEdge("e1"))
	if known := s.View().Known.Of("e1"); !cmp.Equal(edgeInfo("e1"), known, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})) {
		t.Errorf("of an edge that is away, %+v is known", known)
	}
	if _, err := s.client.Delete(t.Context(), infoKey("e1")); err != nil { // an operator's hand
		t.Fatal(err)
	}
	untilView(t, s, "nothing of e1", func(v *View) bool { return !v.Known.Has("e1") })
	for _, bad := range []EdgeInfo{{}, {ID: "a/b"}, {ID: "x", VTEPs: []netip.Addr{addr("224.0.0.1")}}} {
		if _, err := s.RegisterEdge(bad, EdgeConfig{}); err == nil {
			t.Errorf("registers %+v", bad)
		}
	}
}

func TestWaitApplied(t *testing.T) {
	s := embeddedStore(t)
	var regs []*Registration
	for _, id := range []string{"e1", "e2"} {
		r, err := s.RegisterEdge(edgeInfo(id), EdgeConfig{})
		if err != nil {
			t.Fatal(err)
		}
		running(t, r.Run)
		untilView(t, s, id, hasEdge(id))
		regs = append(regs, r)
	}
	rev := apply(t, s, network)
	regs[0].Ack(rev, nil)
	untilView(t, s, "e1's acknowledgement", func(v *View) bool { return v.Edges.Of("e1").Applied == rev })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.WaitApplied(ctx, rev); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "by e2:") {
		t.Errorf("e2 hasn't acknowledged: %v", err)
	}
	regs[1].Ack(rev, nil)
	regs[1].Ack(1, nil) // late news changes nothing
	if err := s.WaitApplied(t.Context(), rev); err != nil {
		t.Error(err)
	}
	lacks := []Lack{{"acme", "vport/acme/web", "no room"}}
	for _, l := range [][]Lack{lacks, nil} { // without a new revision
		regs[0].Ack(rev, l)
		untilView(t, s, "what e1 lacks", func(v *View) bool { return slices.Equal(v.Edges.Of("e1").Lacks, l) && v.Edges.Of("e1").Applied == rev })
	}
	for _, why := range []string{"connection refused", ""} {
		regs[0].Target(why)
		untilView(t, s, "why e1's target is not programmed", func(v *View) bool { return v.Edges.Of("e1").Target == why })
	}
}

// The edge's network fails: it is told before others see it go, and it registers again when the network is back.
func TestEdgeLeaseRunsOut(t *testing.T) {
	s := embeddedStore(t)
	g := newGate(t, s.embedded.etcd.Clients[0].Addr().String())
	remote, err := Dial(t.Context(), ClientConfig{Endpoints: []string{"http://" + g.l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remote.Close() })
	live, lost := make(chan struct{}, 8), make(chan error, 8)
	r, err := NewRegistration(remote, edgeInfo("e1"), EdgeConfig{TTL: 6 * time.Second, Live: func() { live <- struct{}{} }, Lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	running(t, r.Run)
	within(t, live)
	r.Ack(7, nil)
	untilView(t, s, "e1 at 7", func(v *View) bool { return v.Edges.Of("e1").Applied == 7 })
	g.set(true)
	if err := within(t, lost); err == nil || r.IsLive() {
		t.Errorf("lost with %v, live %v", err, r.IsLive())
	}
	if !hasEdge("e1")(s.View()) {
		t.Error("others saw the edge go before it knew")
	}
	untilView(t, s, "no e1", lacksEdge("e1"))
	g.set(false)
	within(t, live)
	untilView(t, s, "e1 at 7 again", func(v *View) bool { return v.Edges.Of("e1").Applied == 7 })
}

func TestEdgeIsTakenOrRemoved(t *testing.T) {
	s := embeddedStore(t)
	live, lost := make(chan struct{}, 8), make(chan error, 8)
	first, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { live <- struct{}{} }, Lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- first.Run(ctx) }()
	within(t, live)
	if _, err := s.client.Delete(t.Context(), liveKey("e1")); err != nil { // an operator's hand
		t.Fatal(err)
	}
	if err := within(t, lost); errors.Is(err, ErrEdgeTaken) {
		t.Errorf("removed, not taken: %v", err)
	}
	within(t, live)
	next := takenByNext(t, s, lost, ended)
	untilView(t, s, "e1", hasEdge("e1"))
	if !next.IsLive() {
		t.Error("the next registration is not live")
	}
}

// takenByNext registers edge e1 for another process, and wants the one that has it to be told, and to end.
func takenByNext(t *testing.T, s *Store, lost, ended chan error) *Registration {
	t.Helper()
	live := make(chan struct{}, 8)
	next, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	running(t, next.Run)
	within(t, live)
	if err := within(t, lost); !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("lost with %v before another process took it", err)
	}
	if err := within(t, ended); !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("run ended with %v", err)
	}
	return next
}

// TestQuestionGoesWithItsEdge: what an edge asked goes with its lease, so that nobody waits for what an agent that was killed asked; an answer stays.
func TestQuestionGoesWithItsEdge(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	live := make(chan struct{}, 1)
	r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	stop := running(t, r.Run)
	within(t, live)
	const port = flowVPortID(4)
	answered, open := addr("10.1.0.9"), addr("2001:db8::9")
	for _, a := range []netip.Addr{answered, open} {
		for attempt := range uint8(2) {
			if ask, _, _, err := s.AskNeighbour(t.Context(), "e1", port, a, attempt+1); err != nil || !ask {
				t.Fatalf("%v: %v, %v", a, ask, err)
			}
		}
	}
	_, rev, err := s.LearnNeighbour(t.Context(), port, answered, mac(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	stop()
	untilView(t, s, "the answer alone", func(v *View) bool {
		_, asked := v.Topology.Neighbour(port, open)
		m, known := v.Topology.Neighbour(port, answered)
		return asked == topology.NeighbourAbsent && known == topology.NeighbourOK && m == mac(1)
	})
	if _, _, rev, err = s.AskNeighbour(t.Context(), "e1", port, open, 1); err != nil {
		t.Fatalf("no edge is live: %v", err)
	}
	wait(t, s, rev)
}

// TestMovedEdges: who follows the network is told which edge came and went, and that one acknowledged something is no such news.
func TestMovedEdges(t *testing.T) {
	s := embeddedStore(t)
	told := make(chan Change, 64)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { _ = s.Watch(ctx, func(c Change) { told <- c }) }()
	next := func(is func(*Change) bool) Change {
		t.Helper()
		for {
			if c := within(t, told); c.Edges && is(&c) {
				return c
			}
		}
	}
	within(t, told)
	live := make(chan struct{}, 1)
	r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	stop := running(t, r.Run)
	within(t, live)
	if c := next(func(c *Change) bool { return c.View.Edges.Len() == 1 }); len(c.Moved) != 1 {
		t.Errorf("moved %v, want e1", c.Moved)
	}
	r.Ack(7, nil)
	if c := next(func(c *Change) bool { return c.View.Edges.Of("e1").Applied == 7 }); len(c.Moved) != 0 {
		t.Errorf("moved %v, and it has but acknowledged", c.Moved)
	}
	stop()
	if c := next(func(c *Change) bool { return c.View.Edges.Len() == 0 }); len(c.Moved) != 1 {
		t.Errorf("moved %v, want e1", c.Moved)
	}
}
