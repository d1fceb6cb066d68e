package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newDiff() *cobra.Command {
	var files []string
	var at reach
	cmd := &cobra.Command{
		Use:   "diff -f FILE|DIR|- [FILE]...",
		Short: "Show what applying files would change",
		Long: `Show, line by line, how the objects in files differ from those that are stored.
Nothing is changed. Objects that are stored and not in the files are left out,
as weft apply would leave them.

The exit status is that of diff: 0 if nothing would change, 1 if something
would, 2 if the files can't be applied or something else is wrong.`,
		Example: `  # Does the database have what is in the file?
  weft diff -f examples/reference.yaml`,
		RunE: func(cmd *cobra.Command, more []string) error {
			differs, err := difference(cmd, &at, append(files, more...))
			switch {
			case err != nil:
				return &exitError{exitTrouble, err}
			case differs:
				return &exitError{exitDiffers, errReported}
			}
			return nil
		},
	}
	networkFlags(cmd, &files)
	at.flags(cmd)
	return cmd
}

// Exit statuses of diff.
const (
	exitDiffers = 1
	exitTrouble = 2
)

func difference(cmd *cobra.Command, at *reach, files []string) (differs bool, err error) {
	objects, err := readObjects(cmd.InOrStdin(), files)
	if err := report(cmd, err); err != nil {
		return false, err
	}
	var would *changed
	var before []*topology.Object
	err = at.with(cmd.Context(), func(n network) (err error) {
		if would, err = n.Change(cmd.Context(), change{put: objects, dryRun: true}); err != nil {
			return err
		}
		before, err = would.before(cmd.Context(), n)
		return err
	})
	if err := report(cmd, err); err != nil {
		return false, err
	}
	shown := screenOf(cmd.OutOrStdout())
	for i, s := range would.steps {
		if s.action == state.Unchanged {
			continue
		}
		differs = true
		before, err := specYAML(before[i])
		if err != nil {
			return false, err
		}
		after, err := specYAML(objects[i])
		if err != nil {
			return false, err
		}
		where := fmt.Sprintf("%s:%d", objects[i].Source.File, objects[i].Source.Line(""))
		text := diff.Diff(refName(s.ref)+" stored", before, refName(s.ref)+" "+where, after)
		if _, err := io.WriteString(cmd.OutOrStdout(), shown.paintDiff(string(text))); err != nil {
			return false, err
		}
	}
	return differs, nil
}

// before are the objects of the steps as they are stored; nil: they are not.
func (c *changed) before(ctx context.Context, n network) ([]*topology.Object, error) {
	out := make([]*topology.Object, len(c.steps))
	for i, s := range c.steps {
		if out[i] = s.before; out[i] != nil || s.action != state.Configured {
			continue
		}
		o, _, err := n.Get(ctx, s.ref)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return nil, err
		}
		out[i] = o
	}
	return out, nil
}

// paintDiff colours a diff.
func (s screen) paintDiff(text string) string {
	if !s.colours {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		c := plain
		switch {
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			c = bold
		case strings.HasPrefix(line, "@@"):
			c = cyan
		case strings.HasPrefix(line, "+"):
			c = green
		case strings.HasPrefix(line, "-"):
			c = red
		}
		b.WriteString(s.paint(c, strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// specYAML is an object as its user writes it; empty for nil.
func specYAML(o *topology.Object) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	c := *o
	c.Status = topology.Status{}
	return asYAML(&c)
}
