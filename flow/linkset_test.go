package flow

import (
	"slices"
	"testing"
)

// TestLinkSet: a set is the same in whatever order its links came, and however often; one too many changes nothing.
func TestLinkSet(t *testing.T) {
	s := LinkSetOf(7, 3, 9, 3)
	if s != LinkSetOf(9, 7, 3) || !slices.Equal(s.Links(), []VPortID{3, 7, 9}) || s.IsZero() {
		t.Errorf("%v", s)
	}
	if !s.Add(5) || s.Add(4) || !s.Add(9) || !slices.Equal(s.Links(), []VPortID{3, 5, 7, 9}) {
		t.Errorf("filled: %v", s)
	}
	for _, x := range []struct {
		port VPortID
		want []VPortID
	}{{4, []VPortID{3, 5, 7, 9}}, {9, []VPortID{3, 5, 7}}, {3, []VPortID{5, 7}}, {5, []VPortID{7}}, {7, nil}} {
		if s.Remove(x.port); !slices.Equal(s.Links(), x.want) {
			t.Errorf("without %d: %v, want %v", x.port, s.Links(), x.want)
		}
	}
	if !s.IsZero() || s != (LinkSet{}) {
		t.Errorf("emptied: %v", s)
	}
}
