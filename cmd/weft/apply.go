package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func newApply() *cobra.Command {
	var files []string
	var dryRun bool
	var db database
	var w waiting
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|- [FILE]...",
		Short: "Put a network's objects into the database",
		Long: `Put objects into the database: all of them or, if one is refused, none.

They are checked together with what is stored: names that they refer to may be
those of stored objects. Per object one line says what was done: created,
configured (it was there, and differed) or unchanged. Objects that are stored
and not in the files stay; weft delete removes them.

An error says file, line, object, field, the value that was found and what would
do. Then nothing was changed, and the running network is untouched.`,
		Example: `  # Put a network in place, and wait until all edges have it
  weft apply -f examples/reference.yaml --wait

  # What would change? Nothing is written.
  weft apply -f examples/reference.yaml --dry-run

  # All files of a directory; objects that another program writes
  weft apply -f network/
  generate-tenants | weft apply -f -

  # A database elsewhere; the environment can name all of it
  weft apply -f network/ --etcd https://192.0.2.11:2379 --etcd-ca ca.crt
  export WEFT_ETCD=https://192.0.2.11:2379,https://192.0.2.12:2379
  export WEFT_ETCD_CA=ca.crt WEFT_ETCD_USER=net WEFT_ETCD_PASSWORD_FILE=secret`,
		RunE: func(cmd *cobra.Command, more []string) error {
			objects, err := readObjects(cmd.InOrStdin(), append(files, more...))
			if err := report(cmd, err); err != nil {
				return err
			}
			return db.change(cmd, dryRun, &w, objects, nil)
		},
	}
	networkFlags(cmd, &files)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would be done, without doing it")
	w.flags(cmd)
	db.flags(cmd)
	return cmd
}

// change puts and deletes, says what it did to each object and waits if it is asked to.
func (d *database) change(cmd *cobra.Command, dryRun bool, w *waiting, put []*topology.Object, del []topology.Ref) error {
	ctx := cmd.Context()
	return d.with(ctx, func(store *state.Store) error {
		var steps []state.Step
		var err error
		rev := int64(0)
		if dryRun {
			steps, err = store.Plan(ctx, put, del)
		} else {
			rev, steps, err = store.Perform(ctx, put, del)
		}
		if err := report(cmd, err); err != nil {
			return err
		}
		if err := printSteps(cmd.OutOrStdout(), steps, dryRun); err != nil || dryRun || !w.on {
			return err
		}
		return watch(ctx, store, func(store *state.Store) error { return w.wait(ctx, cmd, store, rev, tenantsOf(put, del)) })
	})
}

func printSteps(w io.Writer, steps []state.Step, dryRun bool) error {
	suffix := ""
	if dryRun {
		suffix = " (dry run)"
	}
	for _, s := range steps {
		if _, err := fmt.Fprintf(w, "%s %s%s\n", refName(s.Ref), s.Action, suffix); err != nil {
			return err
		}
	}
	return nil
}

// refName is an object's name as get prints and delete takes it: vport/acme/web.
func refName(r topology.Ref) string {
	return strings.ToLower(string(r.Kind)) + "/" + r.Tenant + "/" + r.Name
}

// waiting are the flags of a change that can be waited for.
type waiting struct {
	on      bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.on, "wait", false, "wait until all live edges have applied the change")
	cmd.Flags().DurationVar(&w.timeout, "timeout", time.Minute, "how long --wait waits")
}

// tenantsOf are the tenants of what is changed.
func tenantsOf(put []*topology.Object, del []topology.Ref) map[string]bool {
	tenants := map[string]bool{}
	for _, o := range put {
		tenants[o.Ref().Tenant] = true
	}
	for _, r := range del {
		tenants[r.Tenant] = true
	}
	return tenants
}

// wait waits until the live edges have applied a revision; its error says which have not, and where they are, or what of the tenants' they can not do.
func (w *waiting) wait(ctx context.Context, cmd *cobra.Command, store *state.Store, rev int64, tenants map[string]bool) error {
	limit, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	if err := store.WaitApplied(limit, rev); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var behind []string
		for id, e := range store.View().Edges.All() {
			if e.Applied < rev {
				behind = append(behind, fmt.Sprintf("%s (at %d)", id, e.Applied))
			}
		}
		slices.Sort(behind)
		return fmt.Errorf("revision %d is stored, but after %v not applied by %s; weft edges shows where they are", rev, w.timeout, strings.Join(behind, ", "))
	}
	v := store.View()
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "revision %d: %s\n", rev, appliedText(v)); err != nil {
		return err
	}
	if lacks := lacksOf(v, tenants); len(lacks) > 0 {
		return fmt.Errorf("not all of it can be done:\n  %s", strings.Join(lacks, "\n  "))
	}
	return nil
}

// lacksOf says what of these tenants' edges can not do, in order.
func lacksOf(v *state.View, tenants map[string]bool) []string {
	var out []string
	for id, e := range v.Edges.All() {
		for _, l := range e.Lacks {
			if l.Tenant == "" || tenants[l.Tenant] {
				out = append(out, "edge "+id+": "+l.String())
			}
		}
	}
	slices.Sort(out)
	return out
}

// appliedText says how many edges have what was waited for, and which will only when they are live.
func appliedText(v *state.View) string {
	text := fmt.Sprintf("applied by %d edges", v.Edges.Len())
	switch v.Edges.Len() {
	case 0:
		text = "no edge is live"
	case 1:
		text = "applied by 1 edge"
	}
	var away []string
	for _, e := range edgeRows(v) {
		if e.State == edgeAway && e.VPorts > 0 {
			away = append(away, e.ID)
		}
	}
	if len(away) > 0 {
		text += "; bindings name edges that are not live: " + strings.Join(away, ", ")
	}
	return text
}
