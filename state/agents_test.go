package state

import (
	"context"
	"errors"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// candidate runs an agent of edge e1 until the test ends or stop is called, and waits until it is known.
func candidate(t *testing.T, s *Store, name string) (c *Candidate, stop func()) {
	t.Helper()
	c, err := s.NewCandidate("e1", AgentInfo{Name: name, Version: "v1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop = running(t, c.Run)
	untilView(t, s, "agent "+name, func(v *View) bool { return v.Agents["e1"].Alive[name].Version == "v1" })
	return c, stop
}

// TestAgentsOfOneEdge: of several agents one acts, until another does, whatever they think themselves; who is gone is known at once.
func TestAgentsOfOneEdge(t *testing.T) {
	s := embeddedStore(t)
	a, stopA := candidate(t, s, "a")
	b, stopB := candidate(t, s, "b")
	first, err := a.Claim(t.Context(), &Agents{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Claim(t.Context(), &Agents{}); !errors.Is(err, ErrConflict) {
		t.Errorf("b has begun a term that it did not see the last one of: %v", err)
	}
	untilView(t, s, "a's term", func(v *View) bool { e := v.Agents["e1"]; return e.Term == first.Term && e.Active == "a" && e.IsLed() })
	if own, is := a.Own(); !is || own != first {
		t.Errorf("a's own term is %v, %v; want %v", own, is, first)
	}
	if _, is := b.Own(); is {
		t.Error("b has a term")
	}
	second, err := b.Claim(t.Context(), &Agents{Term: first.Term, Active: "a"})
	if err != nil || second.Term <= first.Term {
		t.Fatalf("b takes over with term %v after %v: %v", second, first, err)
	}
	untilView(t, s, "b's term", func(v *View) bool { return v.Agents["e1"].Active == "b" })
	untilView(t, s, "a again, which is alive", func(v *View) bool { return len(v.Agents["e1"].Alive) == 2 })
	stopB()
	untilView(t, s, "nobody acting", func(v *View) bool {
		e := v.Agents["e1"]
		return !e.IsLed() && len(e.Alive) == 1 && e.Term == second.Term
	})
	stopA()
	if _, err := a.Claim(t.Context(), &Agents{Term: second.Term}); !errors.Is(err, ErrConflict) {
		t.Errorf("an agent that ended begins a term: %v", err)
	}
	if _, err := s.client.Delete(t.Context(), termKey("e1")); err != nil { // an operator's hand
		t.Fatal(err)
	}
	untilView(t, s, "no agents", func(v *View) bool { _, known := v.Agents["e1"]; return !known })
	for _, bad := range []string{"", "a/b", "a b"} {
		if _, err := s.NewCandidate("e1", AgentInfo{Name: bad}, nil); err == nil {
			t.Errorf("takes an agent %q", bad)
		}
	}
}

// TestAgentComesBack: an agent whose key was removed by hand is known again.
func TestAgentComesBack(t *testing.T) {
	s := embeddedStore(t)
	c, _ := candidate(t, s, "a")
	if _, err := s.client.Delete(t.Context(), agentKey(c.edge, "a")); err != nil {
		t.Fatal(err)
	}
	untilView(t, s, "no agent", func(v *View) bool { return len(v.Agents["e1"].Alive) == 0 })
	untilView(t, s, "the agent again", func(v *View) bool { return len(v.Agents["e1"].Alive) == 1 })
}

// TestFence: what an agent writes for its edge is written in its own term alone, in the same transaction as what others write, which is.
func TestFence(t *testing.T) {
	s := embeddedStore(t)
	a, _ := candidate(t, s, "a")
	b, _ := candidate(t, s, "b")
	first, err := a.Claim(t.Context(), &Agents{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(t.Context(), vportKey(7), "1"); err != nil {
		t.Fatal(err)
	}
	asA := WithFence(t.Context(), first)
	blocks := func(text string) []FlowBlock { return []FlowBlock{{VPort: 7, Block: 0, Value: []byte(text)}} }
	stored := func() string {
		t.Helper()
		found, err := s.Flows(t.Context(), flow.VPortID(7))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return string(found[0].Value)
	}
	if err := s.SaveFlows(asA, blocks("of a")); err != nil || stored() != "of a" {
		t.Fatalf("%v; %s is stored", err, stored())
	}
	if _, err := s.writer.Do(asA, Create("/weft/test", []byte("a"))); err != nil {
		t.Fatal(err)
	}
	if res, err := s.writer.Do(asA, Create("/weft/test", []byte("b"))); err != nil || res.Applied || string(res.Value) != "a" {
		t.Errorf("a conflict within the term is %+v, %v", res, err)
	}
	second, err := b.Claim(t.Context(), &Agents{Term: first.Term, Active: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFlows(WithFence(t.Context(), second), blocks("of b")); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFlows(asA, blocks("of a")); !errors.Is(err, ErrEdgeTaken) || stored() != "of b" {
		t.Errorf("a writes after its term: %v; %s is stored", err, stored())
	}
	counted := make(chan error, 1)
	s.SaveUsage(asA, []Usage{{Edge: "e1", ID: 7}}, func(_ int, _ Usage, err error) { counted <- err })
	if err := <-counted; !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("a accounts after its term: %v", err)
	}
	for _, op := range []Op{Put("/weft/test", []byte("x")), Swap("/weft/test", []byte("x"), 1), {Key: "/weft/test", Delete: true, Expect: anyRevision, Guard: infoKey("e1")}} {
		if res, err := s.writer.Do(asA, op); !errors.Is(err, ErrEdgeTaken) {
			t.Errorf("%+v after the term: %+v, %v", op, res, err)
		}
	}
	if _, err := s.client.Delete(t.Context(), termKey("e1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.Do(WithFence(t.Context(), second), Put("/weft/test", nil)); !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("writes with a term that was removed: %v", err)
	}
	if _, err := s.writer.Do(WithFence(t.Context(), Fence{}), Put("/weft/test", []byte("free"))); err != nil {
		t.Error(err)
	}
}

// TestRegistrationIsFenced: an edge is registered by the agent that acts for it, until another one does, and other agents that come and go are nothing to it.
func TestRegistrationIsFenced(t *testing.T) {
	s := embeddedStore(t)
	a, _ := candidate(t, s, "a")
	_, stopB := candidate(t, s, "b")
	term, err := a.Claim(t.Context(), &Agents{})
	if err != nil {
		t.Fatal(err)
	}
	live := make(chan struct{}, 8)
	r, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Fence: term, Live: func() { live <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- r.Run(ctx) }()
	within(t, live) // the view may show the edge before the registration has its answer
	untilView(t, s, "e1", hasEdge("e1"))
	stopB()
	untilView(t, s, "one agent", func(v *View) bool { return len(v.Agents["e1"].Alive) == 1 })
	if !r.IsLive() {
		t.Error("another agent ended, and the edge is not live")
	}
	b, _ := candidate(t, s, "c")
	if _, err := b.Claim(t.Context(), &Agents{Term: term.Term}); err != nil {
		t.Fatal(err)
	}
	r.Ack(99, nil)
	if err := <-ended; !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("the registration of an agent that was deposed ends with %v", err)
	}
	again, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Fence: term})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); !errors.Is(err, ErrEdgeTaken) {
		t.Errorf("it registers again: %v", err)
	}
}
