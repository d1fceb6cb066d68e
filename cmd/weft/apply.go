package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

// pruning are the flags of an apply that removes what is in the files no more.
type pruning struct {
	on     bool
	labels selector
}

func (p *pruning) flags(cmd *cobra.Command) {
	cmd.Flags().VarP(&p.labels, "selector", "l", "only objects of the files with these `labels`")
	cmd.Flags().BoolVar(&p.on, "prune", false, "delete stored objects with the labels of -l that are not in the files, of the tenants that the files have objects of")
}

// goes are the stored objects that are in the files no more, in the order in which they can go.
func (p *pruning) goes(ctx context.Context, n network, put []*topology.Object) ([]topology.Ref, error) {
	if !p.on {
		return nil, nil
	}
	stay, tenants := map[topology.Ref]bool{}, tenantsOf(put, nil)
	for _, o := range put {
		stay[o.Ref()] = true
	}
	stored, err := n.List(ctx, topology.Kinds(), "")
	if err != nil {
		return nil, err
	}
	var del []topology.Ref
	for _, o := range p.labels.choose(stored) {
		if r := o.Ref(); tenants[r.Tenant] && !stay[r] && o.Status.Of == "" {
			del = append(del, r)
		}
	}
	slices.Reverse(del) // what refers to others comes first
	return del, nil
}

func newApply() *cobra.Command {
	var files []string
	var dryRun bool
	var at reach
	var w waiting
	var prune pruning
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|- [FILE]...",
		Short: "Put a network's objects in place",
		Long: `Store objects: all of them or, if one is refused, none.

They are checked together with what is stored: names that they refer to may be
those of stored objects. Per object one line says what was done: created,
configured (it was there, and differed: the fields that did follow), unchanged
or deleted. Objects that are stored and not in the files stay, unless --prune
removes them; so does weft delete.

An error says file, line, object, field, the value that was found and what would
do. Then nothing was changed, and the running network is untouched.`,
		Example: `  # Put a network in place, and wait until all edges have it
  weft apply -f examples/reference.yaml --wait

  # What would change, field by field? Nothing is written.
  weft apply -f examples/reference.yaml --dry-run

  # All files of a directory; objects that another program writes
  weft apply -f network/
  generate-tenants | weft apply -f -

  # The files are all there is of an application: what they have no more goes
  weft apply -f examples/reference.yaml --prune -l app=shop --dry-run

  # A database elsewhere; the environment can name all of it
  weft apply -f network/ --etcd https://192.0.2.11:2379 --etcd-ca ca.crt
  export WEFT_ETCD=https://192.0.2.11:2379,https://192.0.2.12:2379
  export WEFT_ETCD_CA=ca.crt WEFT_ETCD_USER=net WEFT_ETCD_PASSWORD_FILE=secret`,
		RunE: func(cmd *cobra.Command, more []string) error {
			if prune.on && len(prune.labels) == 0 {
				return usage(errors.New("--prune: takes -l with it, the labels of what the files have all of"))
			}
			objects, err := readObjects(cmd.InOrStdin(), append(files, more...))
			if err := report(cmd, err); err != nil {
				return err
			}
			tenants := objects
			if objects = prune.labels.choose(slices.Clone(objects)); len(objects) == 0 && !prune.on {
				_, err := fmt.Fprintf(cmd.ErrOrStderr(), "no object of the files has labels %s\n", prune.labels.String())
				return err
			}
			return at.with(cmd.Context(), func(n network) error {
				del, err := prune.goes(cmd.Context(), n, tenants)
				if err != nil {
					return err
				}
				return makeChange(cmd, n, &w, change{put: objects, del: del, dryRun: dryRun})
			})
		},
	}
	networkFlags(cmd, &files)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would be done, without doing it")
	prune.flags(cmd)
	w.flags(cmd)
	at.flags(cmd)
	return cmd
}

// change makes a change, says what it did to each object and waits if it is asked to.
func (r *reach) change(cmd *cobra.Command, w *waiting, c change) error {
	return r.with(cmd.Context(), func(n network) error { return makeChange(cmd, n, w, c) })
}

func makeChange(cmd *cobra.Command, n network, w *waiting, c change) error {
	ctx := cmd.Context()
	busy := newProgress(cmd.ErrOrStderr())
	busy.say(fmt.Sprintf("%d objects …", len(c.put)+len(c.del)))
	did, err := n.Change(ctx, c)
	busy.end()
	if err := report(cmd, err); err != nil {
		return err
	}
	if err := printSteps(cmd.OutOrStdout(), did.steps, c.dryRun); err != nil || c.dryRun || !w.on {
		return err
	}
	return w.wait(cmd, n, did.revision, tenantsOf(c.put, c.del))
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

// askApplied is how long one question for what edges have takes: what is said of them on a screen is as old at most.
const askApplied = time.Second

// wait waits until the live edges have applied a revision; its error says which have not, and where they are, or what of the tenants' they can not do.
func (w *waiting) wait(cmd *cobra.Command, n network, rev int64, tenants map[string]bool) error {
	ctx := cmd.Context()
	busy := newProgress(cmd.ErrOrStderr())
	defer busy.end()
	var a *applied
	for end := time.Now().Add(w.timeout); ; {
		left := time.Until(end)
		var err error
		if a, err = n.Applied(ctx, rev, max(0, min(left, askApplied)), tenants); err != nil {
			return err
		}
		if a.done || left <= 0 {
			break
		}
		busy.say(fmt.Sprintf("revision %d: waiting for %s …", rev, strings.Join(a.behind, ", ")))
	}
	busy.end()
	if !a.done {
		return behind("revision %d is stored, but after %v not applied by %s; weft edges shows where they are", rev, w.timeout, strings.Join(a.behind, ", "))
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "revision %d: %s\n", rev, a.text()); err != nil {
		return err
	}
	if len(a.lacks) > 0 {
		return behind("not all of it can be done:\n  %s", strings.Join(a.lacks, "\n  "))
	}
	return nil
}

// behind is an error of a change that is stored.
func behind(format string, args ...any) error {
	return &exitError{exitBehind, fmt.Errorf(format, args...)}
}

// text says how many edges have what was waited for, and which will only when they are live.
func (a *applied) text() string {
	text := fmt.Sprintf("applied by %d edges", a.edges)
	switch a.edges {
	case 0:
		text = "no edge is live"
	case 1:
		text = "applied by 1 edge"
	}
	if len(a.away) > 0 {
		text += "; bindings name edges that are not live: " + strings.Join(a.away, ", ")
	}
	return text
}
