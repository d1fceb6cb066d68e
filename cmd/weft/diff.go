package main

import (
	"fmt"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newDiff() *cobra.Command {
	var files []string
	var db database
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
			differs, err := difference(cmd, &db, append(files, more...))
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
	db.flags(cmd)
	return cmd
}

// Exit statuses of diff.
const (
	exitDiffers = 1
	exitTrouble = 2
)

func difference(cmd *cobra.Command, db *database, files []string) (differs bool, err error) {
	objects, err := readObjects(cmd.InOrStdin(), files)
	if err := report(cmd, err); err != nil {
		return false, err
	}
	var steps []state.Step
	err = db.with(cmd.Context(), func(store *state.Store) (err error) {
		steps, err = store.Plan(cmd.Context(), objects, nil)
		return err
	})
	if err := report(cmd, err); err != nil {
		return false, err
	}
	for _, s := range steps {
		if s.Action == state.Unchanged {
			continue
		}
		differs = true
		before, err := specYAML(s.Before)
		if err != nil {
			return false, err
		}
		after, err := specYAML(s.After)
		if err != nil {
			return false, err
		}
		where := fmt.Sprintf("%s:%d", s.After.Source.File, s.After.Source.Line(""))
		if _, err := cmd.OutOrStdout().Write(diff.Diff(refName(s.Ref)+" stored", before, refName(s.Ref)+" "+where, after)); err != nil {
			return false, err
		}
	}
	return differs, nil
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
