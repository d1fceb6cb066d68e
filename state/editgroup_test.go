package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// labelled is an edit that gives a bridge a label.
func labelled(name, label string) Edit {
	return Edit{Plan: func(*Catalogue) ([]*topology.Object, []topology.Ref, error) {
		return []*topology.Object{{
			APIVersion: topology.APIVersion, Kind: topology.KindBridge, Metadata: topology.Metadata{Name: name, Tenant: "acme", Labels: map[string]string{"n": label}}, Spec: &topology.BridgeSpec{},
		}}, nil, nil
	}}
}

// editsAtOnce makes edits that wait for the same transaction.
func editsAtOnce(t *testing.T, s *Store, edits []Edit) ([]*Outcome, []error) {
	t.Helper()
	out, errs := make([]*Outcome, len(edits)), make([]error, len(edits))
	s.applyMu.Lock()
	var wg sync.WaitGroup
	group := make([]*waitingEdit, len(edits))
	for i, e := range edits {
		group[i] = &waitingEdit{Edit: e, ctx: t.Context(), done: make(chan struct{})}
		wg.Go(func() {
			<-group[i].done
			out[i], errs[i] = group[i].out, group[i].err
		})
	}
	q := &s.edits
	q.mu.Lock()
	q.waiting = append(q.waiting, group...)
	q.running = true
	q.ended.Go(s.carryOut)
	q.mu.Unlock()
	s.applyMu.Unlock()
	wg.Wait()
	return out, errs
}

// TestEditsOfOneObject: two edits of one object are of two revisions, so that who made the first can tell that there was a second (If-Match); others are written with them.
func TestEditsOfOneObject(t *testing.T) {
	s := embeddedStore(t)
	var edits []Edit
	for i := range 6 {
		edits = append(edits, labelled("same", fmt.Sprint(i)), labelled(fmt.Sprintf("own-%d", i), "x"))
	}
	out, errs := editsAtOnce(t, s, edits)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var same []int64
	for i, o := range out {
		if i%2 == 0 {
			same = append(same, o.Revision)
		} else if o.Revision != out[i-1].Revision {
			t.Errorf("edit %d waited for that of another object: revisions %d, %d", i, o.Revision, out[i-1].Revision)
		}
	}
	if !slices.IsSorted(same) || len(slices.Compact(slices.Clone(same))) != len(same) {
		t.Errorf("edits of one object have revisions %v", same)
	}
	if is := s.Catalogue().Get(topology.Ref{Kind: topology.KindBridge, Tenant: "acme", Name: "same"}); is.Object.Metadata.Labels["n"] != "5" {
		t.Errorf("the last edit is not what is stored: %s", is.JSON)
	}
}

// TestEditPanics: an edit that panics is refused, and those that wait with it are made.
func TestEditPanics(t *testing.T) {
	s := embeddedStore(t)
	bad := Edit{Plan: func(*Catalogue) ([]*topology.Object, []topology.Ref, error) { panic("on purpose") }}
	_, errs := editsAtOnce(t, s, []Edit{labelled("a", "x"), bad, labelled("b", "x")})
	if errs[0] != nil || errs[2] != nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "on purpose") {
		t.Errorf("edits: %v", errs)
	}
	if n := s.Catalogue().Len(); n != 2 {
		t.Errorf("%d objects", n)
	}
}
