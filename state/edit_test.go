package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// bridgeOf is a bridge with a label.
func bridgeOf(name, label string) *topology.Object {
	return &topology.Object{
		APIVersion: topology.APIVersion, Kind: topology.KindBridge, Metadata: topology.Metadata{Name: name, Tenant: "acme", Labels: map[string]string{"n": label}}, Spec: &topology.BridgeSpec{},
	}
}

// TestEditsTogether: edits that wait are written together, each of them is valid or refused by itself, and each sees what those before it leave.
func TestEditsTogether(t *testing.T) {
	s := embeddedStore(t)
	const n = 100
	s.applyMu.Lock() // so that they wait
	var wg sync.WaitGroup
	revisions, errs := make([]int64, n), make([]error, n)
	deadline := time.Now().Add(time.Minute)
	for i := range n {
		for i == 1 && time.Now().Before(deadline) { // the first is under way alone
			s.edits.mu.Lock()
			under := s.edits.running && len(s.edits.waiting) == 0
			s.edits.mu.Unlock()
			if under {
				break
			}
		}
		wg.Go(func() {
			put := []*topology.Object{bridgeOf(fmt.Sprintf("b%d", i), "x")}
			if i%2 == 1 { // refers to what is not there
				put = decode(t, vportYAML(fmt.Sprintf("p%d", i), "bridge/nothing"))
			}
			out, err := s.Edit(t.Context(), fixed(put, nil))
			if errs[i] = err; err == nil {
				revisions[i] = out.Revision
				if len(out.Steps) != 1 || out.Steps[0].Action != Created || out.Steps[0].Is.Revision != out.Revision {
					t.Errorf("edit %d: %+v", i, out)
				}
			}
		})
	}
	for waiting := 0; waiting < n-1 && time.Now().Before(deadline); {
		s.edits.mu.Lock()
		waiting = len(s.edits.waiting)
		s.edits.mu.Unlock()
	}
	s.applyMu.Unlock()
	wg.Wait()
	made := map[int64]int{}
	for i := range n {
		var refused topology.Errors
		switch {
		case i%2 == 1 && !errors.As(errs[i], &refused):
			t.Errorf("edit %d: %v", i, errs[i])
		case i%2 == 0 && errs[i] != nil:
			t.Errorf("edit %d: %v", i, errs[i])
		case i%2 == 0:
			made[revisions[i]]++
		}
	}
	if len(made) > 2 {
		t.Errorf("%d transactions for edits that waited together", len(made))
	}
	if objects, _, err := s.List(t.Context(), "", ""); err != nil || len(objects) != n/2 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	ids := map[uint32]bool{}
	for _, o := range s.Catalogue().Set.All() {
		if ids[o.Status.ID] {
			t.Errorf("%v has the id of another", o.Ref())
		}
		ids[o.Status.ID] = true
	}
}

// TestEditAtTwoStores: what both change by what they read is lost of neither, and both come to the same.
func TestEditAtTwoStores(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	running(t, a.FollowObjects)
	running(t, b.FollowObjects)
	if _, err := a.Apply(t.Context(), []*topology.Object{bridgeOf("count", "0")}); err != nil {
		t.Fatal(err)
	}
	const each = 20
	var wg sync.WaitGroup
	for i, s := range []*Store{a, b} {
		wg.Go(func() {
			for j := range each {
				_, err := s.Edit(t.Context(), Edit{Plan: func(c *Catalogue) ([]*topology.Object, []topology.Ref, error) {
					n, err := strconv.Atoi(c.Get(ref(topology.KindBridge, "count")).Object.Metadata.Labels["n"])
					return []*topology.Object{bridgeOf("count", strconv.Itoa(n+1)), bridgeOf(fmt.Sprintf("b%d-%d", i, j), "x")}, nil, err
				}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	out, err := b.Edit(t.Context(), fixed(nil, []topology.Ref{ref(topology.KindBridge, "b0-0")}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{a, b} {
		if err := s.WaitCatalogue(t.Context(), out.Revision); err != nil {
			t.Fatal(err)
		}
		c := s.Catalogue()
		if n := c.Get(ref(topology.KindBridge, "count")).Object.Metadata.Labels["n"]; n != strconv.Itoa(2*each) || c.Len() != 2*each {
			t.Errorf("counted %s, %d objects", n, c.Len())
		}
		var names []string
		c.Walk(topology.KindBridge, "acme", func(e *Entry) bool {
			names = append(names, e.Object.Metadata.Name)
			return len(names) < 3
		})
		if strings.Join(names, " ") != "b0-1 b0-10 b0-11" {
			t.Errorf("in order: %q", names)
		}
		stored, rev, err := s.Get(t.Context(), ref(topology.KindBridge, "b1-3"))
		if e := c.Get(stored.Ref()); err != nil || e.Revision != rev {
			t.Errorf("%+v is of revision %d, not %d", e, rev, e.Revision)
		}
	}
}

// TestReachWhileMoreIsHeard: to bring the catalogue to a generation loses nothing of what is heard of later ones meanwhile, be it an object or a new version of one.
func TestReachWhileMoreIsHeard(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	running(t, b.FollowObjects)
	put := func(o *topology.Object) int64 {
		t.Helper()
		rev, err := a.Apply(t.Context(), []*topology.Object{o})
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	if err := b.WaitCatalogue(t.Context(), put(bridgeOf("x", "0"))); err != nil {
		t.Fatal(err)
	}
	b.applyMu.Lock() // so that FollowObjects hears, and does not catch up
	defer b.applyMu.Unlock()
	reach := func(generation, heard int64) {
		t.Helper()
		if !b.heard.wait(t.Context(), heard) {
			t.Fatalf("revision %d is not heard of", heard)
		}
		if err := b.reach(t.Context(), generation, generation); err != nil {
			t.Fatal(err)
		}
		if b.desired.generation != generation || b.Catalogue().Revision != generation {
			t.Fatalf("reached %d, not %d", b.desired.generation, generation)
		}
	}
	first := put(bridgeOf("x", "1"))
	put(bridgeOf("x", "2"))
	added := put(bridgeOf("y", "0"))
	reach(first, added)
	last := put(bridgeOf("z", "0"))
	reach(last, last)
	c := b.Catalogue()
	x := c.Get(ref(topology.KindBridge, "x"))
	if x == nil || x.Object.Metadata.Labels["n"] != "2" || c.Get(ref(topology.KindBridge, "y")) == nil || c.Get(ref(topology.KindBridge, "z")) == nil || c.Len() != 3 || c.Set.Len() != 3 {
		t.Errorf("%d objects, %d in the set; x: %v", c.Len(), c.Set.Len(), x != nil)
	}
	moments, _, err := b.Since(first)
	if err != nil || len(moments) != 3 {
		t.Errorf("%d changes are known since, not 3: %v", len(moments), err)
	}
}

// TestReplayOfAGap: a change that does not follow the one that the catalogue has is not taken; all is read instead.
func TestReplayOfAGap(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	running(t, b.FollowObjects)
	at, err := a.Apply(t.Context(), []*topology.Object{bridgeOf("x", "0")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WaitCatalogue(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	b.applyMu.Lock()
	defer b.applyMu.Unlock()
	for _, n := range []string{"1", "2"} {
		if at, err = a.Apply(t.Context(), []*topology.Object{bridgeOf("x"+n, "")}); err != nil {
			t.Fatal(err)
		}
		if n == "1" {
			if !b.heard.wait(t.Context(), at) {
				t.Fatal("not heard")
			}
			b.heard.mu.Lock()
			b.heard.events = nil // the gap
			b.heard.mu.Unlock()
		}
	}
	if !b.heard.wait(t.Context(), at) {
		t.Fatal("not heard")
	}
	if err := b.replay(at); !errors.Is(err, errLost) {
		t.Errorf("replayed over a gap: %v", err)
	}
	if err := b.reach(t.Context(), at, at); err != nil {
		t.Fatal(err)
	}
	c := b.Catalogue()
	if c.Get(ref(topology.KindBridge, "x1")) == nil || c.Len() != 3 {
		t.Errorf("%d objects, not 3", c.Len())
	}
}

// TestEditOnce: an edit of one name is made once, at whichever store it is asked for, and is remembered with its note.
func TestEditOnce(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, revisions := 0, map[int64]bool{}
	for i := range 10 {
		wg.Go(func() {
			s := []*Store{a, b}[i%2]
			e := fixed([]*topology.Object{bridgeOf("once", strconv.Itoa(i))}, nil)
			e.Once = "name"
			e.Note = func(*Outcome) (Notes, error) { return Notes{Once: []byte("note")}, nil }
			out, err := s.Edit(t.Context(), e)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			revisions[out.Revision] = true
			if out.Earlier == nil {
				made++
			} else if string(out.Earlier) != "note" {
				t.Errorf("remembered %q", out.Earlier)
			}
		})
	}
	wg.Wait()
	if made != 1 || len(revisions) != 1 {
		t.Errorf("made %d times, at %d revisions", made, len(revisions))
	}
	// One that changes nothing is remembered, too.
	e := fixed(nil, nil)
	e.Once, e.Note = "nothing", func(*Outcome) (Notes, error) { return Notes{Once: []byte("n")}, nil }
	if out, err := a.Edit(t.Context(), e); err != nil || out.Earlier != nil {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := b.Edit(t.Context(), e); err != nil || string(out.Earlier) != "n" {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestSince: what changed is told in order, whoever changed it; what is not kept is said not to be.
func TestSince(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	running(t, b.FollowObjects)
	if err := b.WaitCatalogue(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	since := b.Catalogue().Revision
	var want []int64
	for i := range 5 {
		rev, err := a.Apply(t.Context(), []*topology.Object{bridgeOf("b", strconv.Itoa(i))})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, rev)
	}
	rev, err := a.Delete(t.Context(), ref(topology.KindBridge, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WaitCatalogue(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	moments, more, err := b.Since(since)
	if err != nil || len(moments) != 6 {
		t.Fatalf("%d moments, %v", len(moments), err)
	}
	for i, m := range moments[:5] {
		u := m.Updates
		if m.Revision != want[i] || len(u) != 1 || (u[0].Before == nil) != (i == 0) || u[0].After.Object.Metadata.Labels["n"] != strconv.Itoa(i) {
			t.Errorf("moment %d: %+v", i, m)
		}
	}
	if u := moments[5].Updates; len(u) != 1 || u[0].After != nil || u[0].Before == nil {
		t.Errorf("the last: %+v", moments[5])
	}
	if _, _, err := b.Since(since - 1); !errors.Is(err, ErrCompacted) {
		t.Errorf("before it was followed: %v", err)
	}
	if _, err := a.Apply(t.Context(), []*topology.Object{bridgeOf("c", "")}); err != nil {
		t.Fatal(err)
	}
	within(t, more)
	old, err := a.CatalogueAt(t.Context(), want[2])
	if err != nil || old.Get(ref(topology.KindBridge, "b")).Object.Metadata.Labels["n"] != "2" {
		t.Errorf("as it was: %+v, %v", old, err)
	}
	if _, err := a.client.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CatalogueAt(t.Context(), want[2]); !errors.Is(err, ErrCompacted) {
		t.Errorf("what was compacted: %v", err)
	}
}

// TestEditGivenUp: an edit that nobody waits for any more before it is under way is not made.
func TestEditGivenUp(t *testing.T) {
	s := embeddedStore(t)
	s.applyMu.Lock()
	first := make(chan error, 1)
	go func() {
		_, err := s.Apply(t.Context(), []*topology.Object{bridgeOf("first", "")})
		first <- err
	}()
	for under := false; !under; {
		s.edits.mu.Lock()
		under = s.edits.running && len(s.edits.waiting) == 0
		s.edits.mu.Unlock()
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := s.Apply(ctx, []*topology.Object{bridgeOf("given-up", "")})
		given <- err
	}()
	for waiting := 0; waiting == 0; {
		s.edits.mu.Lock()
		waiting = len(s.edits.waiting)
		s.edits.mu.Unlock()
	}
	cancel()
	if err := within(t, given); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("given up: %v", err)
	}
	s.applyMu.Unlock()
	if err := within(t, first); err != nil {
		t.Error(err)
	}
	if objects, _, err := s.List(t.Context(), "", ""); err != nil || len(objects) != 1 {
		t.Errorf("%d objects, %v", len(objects), err)
	}
}

// TestTrimAudit: the newest records are kept, and of those who have few all, however much others change.
func TestTrimAudit(t *testing.T) {
	s, _ := openStore(t, Config{Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}, MaxAudit: 6})
	change := func(n int, tenant string) {
		t.Helper()
		for range n {
			i := s.Catalogue().Revision
			e := fixed([]*topology.Object{bridgeOf("b", strconv.FormatInt(i, 10))}, nil)
			e.Note = func(*Outcome) (Notes, error) {
				return Notes{Audit: &AuditRecord{Tenant: tenant, Changes: []AuditChange{{Name: "b"}}}}, nil
			}
			if _, err := s.Edit(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Apply(t.Context(), []*topology.Object{bridgeOf("b", "")}); err != nil {
		t.Fatal(err)
	}
	change(1, "")
	op, err := s.AuditOp(t.Context(), &AuditRecord{Time: time.Now(), Tenant: "globex"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Do(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	change(300, "acme")
	change(1, "initech")
	if err := s.TrimAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, more, err := s.ListAudit(t.Context(), "", 10)
	if err != nil || more {
		t.Fatal(more, err)
	}
	var whose []string
	for i, r := range records {
		whose = append(whose, r.Tenant)
		if i > 0 && r.Revision >= records[i-1].Revision && r.Tenant != "" && r.Tenant != "globex" {
			t.Errorf("record %d is not older than the one before", i)
		}
	}
	if want := []string{"initech", "acme", "acme", "acme", "globex", ""}; !slices.Equal(whose, want) {
		t.Errorf("records of %q, want %q", whose, want)
	}
	for _, tc := range []struct {
		counts []int
		all    int
		want   int
	}{{[]int{10}, 3, 3}, {[]int{1, 10}, 6, 5}, {[]int{5, 5, 5}, 9, 3}, {[]int{1, 2, 9, 9}, 11, 4}, {[]int{0, 0}, 0, math.MaxInt}, {[]int{1, 2}, 3, math.MaxInt}} {
		if got := fairShare(tc.counts, tc.all); got != tc.want {
			t.Errorf("%v of %d: each %d, want %d", tc.counts, tc.all, got, tc.want)
		}
	}
}

// TestStatusIsNotTheCallers: what the system adds to objects is not what who writes them says.
func TestStatusIsNotTheCallers(t *testing.T) {
	s := embeddedStore(t)
	o := topology.Object{APIVersion: topology.APIVersion, Kind: topology.KindRouter, Metadata: topology.Metadata{Name: "gw", Tenant: "acme"}, Spec: &topology.RouterSpec{}}
	o.Status = topology.Status{ID: 7777, Expanded: true, Filters: &topology.FilterSpec{Ingress: "other"}}
	if _, err := s.Apply(t.Context(), []*topology.Object{&o}); err != nil {
		t.Fatal(err)
	}
	is, _, err := s.Get(t.Context(), o.Ref())
	if err != nil {
		t.Fatal(err)
	}
	if st := is.Status; st.ID == 7777 || st.Expanded || st.Filters != nil {
		t.Errorf("it is stored with %+v", st)
	}
	o.Metadata.Name, o.Status = "part", topology.Status{Of: "router acme/gw"}
	if _, err := s.Apply(t.Context(), []*topology.Object{&o}); err != nil {
		t.Fatal(err)
	}
	if is, _, err := s.Get(t.Context(), o.Ref()); err == nil {
		t.Errorf("a part that its whole does not have is stored: %+v", is)
	}
}
