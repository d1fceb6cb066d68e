package state

import (
	"bytes"
	"context"
	"fmt"

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
	Before, After *topology.Object // nil: absent; After as it was given
	Was, Is       *Entry           // as it is stored
}

// Plan says what Change would do now, without doing it. What Change would refuse (topology.Errors) is refused.
func (s *Store) Plan(ctx context.Context, put []*topology.Object, del []topology.Ref) ([]Step, error) {
	out, err := s.Try(ctx, fixed(put, del))
	if err != nil {
		return nil, err
	}
	return out.Steps, nil
}

// Perform is Change that also says what it did: to the objects deleted, then to those put, each in the order given.
func (s *Store) Perform(ctx context.Context, put []*topology.Object, del []topology.Ref) (int64, []Step, error) {
	out, err := s.Edit(ctx, fixed(put, del))
	if err != nil {
		return 0, nil, err
	}
	return out.Revision, out.Steps, nil
}

// fixed is an edit whatever is stored.
func fixed(put []*topology.Object, del []topology.Ref) Edit {
	return Edit{Plan: func(*Catalogue) ([]*topology.Object, []topology.Ref, error) { return put, del, nil }}
}

// steps compares objects with those of a set. An object that is deleted and put is replaced.
func steps(before *topology.Set, put []*topology.Object, del []topology.Ref) ([]Step, error) {
	out := make([]Step, 0, len(del)+len(put))
	replaced := make(map[topology.Ref]bool, len(put))
	for _, o := range put {
		replaced[o.Ref()] = true
	}
	for _, r := range del {
		if !replaced[r] {
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

// Same reports whether an object is as it is stored, but for what the system adds.
func (e *Entry) Same(o *topology.Object) bool {
	same, err := sameObject(e.Object, o)
	return err == nil && same
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
