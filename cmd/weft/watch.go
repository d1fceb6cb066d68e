package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// newWatch is weft get -w by a name of its own.
func newWatch() *cobra.Command {
	cmd := newGet()
	cmd.Use = "watch {KIND[,KIND]... | all | KIND/NAME... | KIND NAME...}"
	cmd.Short = "Show the objects of networks, and then what changes"
	cmd.Long = `Show objects as weft get does, and go on until ctrl-C: of each change it tells
which objects were created, configured or deleted. It is weft get -w by another
name. When the server or etcd is lost it says so, and tells what it missed when
there is one again.

weft events -w tells what happens to the network, rather than what is changed.`
	cmd.Example = `  weft watch vports --tenant acme
  weft watch all -A
  weft watch vport/acme/web

  # For a program: a line of JSON for each object, and each change
  weft watch bindings -A -o json`
	f := cmd.Flags().Lookup("watch")
	f.Hidden = true
	if err := f.Value.Set("true"); err != nil {
		panic(err) // it is a bool
	}
	return cmd
}

// follow prints what is there, and then what changes, until ctx ends.
func (q *query) follow(cmd *cobra.Command, n network, show *listing) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	var before map[topology.Ref]watched
	began, tell := false, func(changes []watchedChange) error { return printChanges(w, changes) }
	if form := show.out.form; form == "json" || form == "yaml" {
		began, before, tell = true, map[topology.Ref]watched{}, watchedLines(w, form)
	}
	err := n.Follow(ctx, func() error {
		after, err := q.watched(ctx, n)
		switch {
		case err != nil:
		case !began:
			err = get(cmd, n, *q, show)
		default:
			err = tell(changesOf(before, after))
		}
		before, began = after, true
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err() // interrupted, which is how it ends
	}
	return err
}

// watched is an object, and what its users wrote.
type watched struct {
	object *topology.Object
	spec   []byte
}

// watched are the objects that are meant.
func (q *query) watched(ctx context.Context, n network) (map[topology.Ref]watched, error) {
	found, _, err := q.find(ctx, n)
	all := make(map[topology.Ref]watched, len(found))
	for _, o := range found {
		spec, err := specYAML(o)
		if err != nil {
			return nil, err
		}
		all[o.Ref()] = watched{o, spec}
	}
	return all, err
}

// watchedChange is what happened to an object, as it is now, or was last.
type watchedChange struct {
	action state.Action
	object *topology.Object
}

// changesOf are the changes between two states, by what their objects are called.
func changesOf(before, after map[topology.Ref]watched) (all []watchedChange) {
	for r, is := range after {
		was, there := before[r]
		switch {
		case !there:
			all = append(all, watchedChange{state.Created, is.object})
		case !bytes.Equal(was.spec, is.spec):
			all = append(all, watchedChange{state.Configured, is.object})
		}
	}
	for r, was := range before {
		if _, there := after[r]; !there {
			all = append(all, watchedChange{state.Deleted, was.object})
		}
	}
	slices.SortFunc(all, func(a, b watchedChange) int { return cmp.Compare(refName(a.object.Ref()), refName(b.object.Ref())) })
	return all
}

func printChanges(w io.Writer, all []watchedChange) error {
	at := screenOf(w)
	for _, x := range all {
		if _, err := io.WriteString(w, at.paint(shade(x.action), fmt.Sprintf("%s %s", refName(x.object.Ref()), x.action))+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// watchedLines prints changes for programs, as the API's watch has them: JSON, one a line, or YAML documents.
func watchedLines(w io.Writer, form string) func([]watchedChange) error {
	type line struct {
		Type   client.EventType `json:"type"`
		Object *topology.Object `json:"object"`
	}
	began := false
	return func(all []watchedChange) error {
		for _, x := range all {
			one := line{client.EventPut, x.object}
			if x.action == state.Deleted {
				one.Type = client.EventDelete
			}
			if form == "json" {
				if err := printLine(w, one); err != nil {
					return err
				}
				continue
			}
			if began {
				if _, err := io.WriteString(w, "---\n"); err != nil {
					return err
				}
			}
			began = true
			if err := printYAML(w, []line{one}); err != nil {
				return err
			}
		}
		return nil
	}
}
