package main

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// findAll returns the objects that are named, and an error for each that is not there. What no object is called and is a number is an id.
func findAll(ctx context.Context, n network, refs []topology.Ref) (found []*topology.Object, lost, err error) {
	for _, r := range refs {
		o, _, err := n.Get(ctx, r)
		if errors.Is(err, state.ErrNotFound) {
			var all []*topology.Object
			if all, err = n.List(ctx, []topology.Kind{r.Kind}, ""); err != nil {
				return nil, nil, err
			}
			if o = withID(all, r.Name); o == nil {
				lost = errors.Join(lost, notThere(all, r))
				continue
			}
		}
		if err != nil {
			return nil, nil, err
		}
		found = append(found, o)
	}
	return found, lost, nil
}

// withID is the object whose id is written so; nil: none has it.
func withID(all []*topology.Object, text string) *topology.Object {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 0 {
		return nil
	}
	i := slices.IndexFunc(all, func(o *topology.Object) bool { return uint64(o.Status.ID) == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

// byID puts names in place of ids.
func byID(ctx context.Context, n network, refs []topology.Ref) ([]topology.Ref, error) {
	out := slices.Clone(refs)
	for i, r := range refs {
		if _, err := strconv.ParseUint(r.Name, 10, 32); err != nil {
			continue
		}
		found, lost, err := findAll(ctx, n, []topology.Ref{r})
		switch {
		case err != nil:
			return nil, err
		case lost == nil:
			out[i] = found[0].Ref()
		}
	}
	return out, nil
}

// oneOf is the object that is named.
func oneOf(ctx context.Context, n network, r topology.Ref) (*topology.Object, int64, error) {
	refs, err := byID(ctx, n, []topology.Ref{r})
	if err != nil {
		return nil, 0, err
	}
	o, rev, err := n.Get(ctx, refs[0])
	if !errors.Is(err, state.ErrNotFound) {
		return o, rev, err
	}
	all, err := n.List(ctx, []topology.Kind{r.Kind}, "")
	if err != nil {
		return nil, 0, err
	}
	return nil, 0, notThere(all, r)
}
