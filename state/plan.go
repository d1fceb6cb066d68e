package state

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/topology"
)

// Action is what a change does to one object.
type Action string

// Actions.
const (
	Created    Action = "created"
	Configured Action = "configured" // it was there, and differs
	Unchanged  Action = "unchanged"
	Deleted    Action = "deleted"
)

// Step is what a change does to one object.
type Step struct {
	Ref           topology.Ref
	Action        Action
	Before, After *topology.Object // nil: absent
}

// Plan says what Change would do now, without doing it. What Change would refuse (topology.Errors) is refused.
func (s *Store) Plan(ctx context.Context, put []*topology.Object, del []topology.Ref) ([]Step, error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if err := s.loadDesired(ctx); err != nil {
		return nil, err
	}
	if _, err := s.desired.set.Apply(put, del); err != nil {
		return nil, err
	}
	return steps(s.desired.set, put, del)
}

// Perform is Change that also says what it did: to the objects deleted, then to those put, each in the order given.
func (s *Store) Perform(ctx context.Context, put []*topology.Object, del []topology.Ref) (int64, []Step, error) {
	var before *topology.Set
	rev, err := s.change(ctx, func(set *topology.Set) ([]*topology.Object, []topology.Ref, error) {
		before = set // of the attempt that is committed
		return put, del, nil
	})
	if err != nil {
		return 0, nil, err
	}
	did, err := steps(before, put, del)
	return rev, did, err
}

// steps compares objects with those of a set. An object that is deleted and put is replaced.
func steps(before *topology.Set, put []*topology.Object, del []topology.Ref) ([]Step, error) {
	out := make([]Step, 0, len(del)+len(put))
	for _, r := range del {
		if !slices.ContainsFunc(put, func(o *topology.Object) bool { return o.Ref() == r }) {
			out = append(out, Step{Ref: r, Action: Deleted, Before: before.Get(r)})
		}
	}
	for _, o := range put {
		step := Step{Ref: o.Ref(), Action: Created, Before: before.Get(o.Ref()), After: o}
		if step.Before != nil {
			same, err := sameObject(step.Before, o)
			if err != nil {
				return nil, err
			}
			if step.Action = Configured; same {
				step.Action = Unchanged
			}
		}
		out = append(out, step)
	}
	return out, nil
}

// sameObject compares what users write; the status is the system's.
func sameObject(a, b *topology.Object) (bool, error) {
	x, y := *a, *b
	x.Status, y.Status = topology.Status{}, topology.Status{}
	ax, err := encodeObject(&x)
	if err != nil {
		return false, err
	}
	by, err := encodeObject(&y)
	if err != nil {
		return false, fmt.Errorf("state: compare: %w", err)
	}
	return bytes.Equal(ax, by), nil
}
