package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
)

// eventQuery is which events are asked for.
type eventQuery struct {
	in    scope
	about string
	kind  string
	edge  string
	watch bool
	out   output
}

func newEvents() *cobra.Command {
	var at reach
	var q eventQuery
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened to edges, sessions, pools and vports",
		Long: `Show what happened in the last hour, newest last: edges and their targets that
went and came back, agents that took over, BGP sessions, members of pools, MACs
that flap, tables that are full. docs/operations.md has all reasons.

Events are of all tenants and edges, unless --tenant, --edge or --for chooses.
The same of one object and edge within ten minutes is one event; COUNT says how
often it happened, and AGE how long ago the last time was, by the clock of the
edge.`,
		Example: `  # What happened? And what does, from now on?
  weft events
  weft events -w

  # Why is this edge behind?
  weft events --for edge/nic1

  # What should somebody look at?
  weft events --type Warning -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := q.filter()
			if err != nil {
				return usage(err)
			}
			return at.with(cmd.Context(), func(n network) error { return q.show(cmd, n, filter) })
		},
	}
	f := cmd.Flags()
	q.out.flags(cmd, "table", "json", "yaml")
	f.StringVar(&q.in.tenant, "tenant", "", "about objects of this `tenant` alone")
	f.StringVar(&q.about, "for", "", "about one `object` alone: KIND/NAME with --tenant, KIND/TENANT/NAME, or edge/NAME")
	f.StringVar(&q.edge, "edge", "", "that this `edge` tells of")
	f.StringVar(&q.kind, "type", "", "of this `type` alone: Normal or Warning")
	f.BoolVarP(&q.watch, "watch", "w", false, "go on with what happens, until interrupted")
	at.flags(cmd)
	return cmd
}

// filter reads the flags.
func (q *eventQuery) filter() (f state.EventFilter, err error) {
	f.Tenant, f.Source = q.in.tenant, q.edge
	for _, t := range []state.EventType{state.EventNormal, state.EventWarning} {
		if strings.EqualFold(q.kind, string(t)) {
			f.Type = t
		}
	}
	if q.kind != "" && f.Type == "" {
		return f, fmt.Errorf("--type %q: is no type of event; use Normal or Warning", q.kind)
	}
	switch {
	case q.about == "":
		return f, nil
	case strings.HasPrefix(q.about, "edge/"):
		if f.Object, err = state.ParseEventObject(q.about); err != nil {
			return f, fmt.Errorf("--for %w", err)
		}
		if q.in.tenant != "" {
			return f, errors.New("--tenant: edges have none; leave it out")
		}
		return f, nil
	}
	refs, err := q.in.refs([]string{q.about})
	if err != nil {
		return f, fmt.Errorf("--for %w", err)
	}
	f.Object, f.Tenant = state.RefObject(refs[0]), ""
	return f, nil
}

// show prints what there is, and with -w what comes.
func (q *eventQuery) show(cmd *cobra.Command, n network, f state.EventFilter) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	all, rev, err := n.Events(ctx, f)
	if err != nil {
		return err
	}
	if !q.watch {
		if err := printEvents(w, all, q.out.form); err != nil || len(all) > 0 || q.out.form != "table" {
			return err
		}
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no events")
		return err
	}
	line, err := eventLines(w, q.out.form, all)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := line(e); err != nil {
			return err
		}
	}
	err = n.WatchEvents(ctx, f, rev, line)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // interrupted, which is how it ends
	}
	return err
}

var eventHeader = []string{"AGE", "TYPE", "REASON", "OBJECT", "BY", "COUNT", "MESSAGE"}

func eventCells(e state.LoggedEvent, now time.Time) []string {
	return []string{age(max(0, now.Sub(e.Last))), string(e.Type), e.Reason, e.Object.String(), e.Source, fmt.Sprint(e.Count), e.Message}
}

func printEvents(w io.Writer, all []state.LoggedEvent, form string) error {
	switch form {
	case "json":
		return printItems(w, all)
	case "yaml":
		return printYAML(w, all)
	}
	now := time.Now()
	rows := [][]string{eventHeader}
	for _, e := range all {
		rows = append(rows, eventCells(e, now))
	}
	b := bufio.NewWriter(w)
	line := eventTable(screenOf(w), b, rows)
	for i, cells := range rows {
		c := plain
		switch {
		case i == 0:
			c = bold
		case all[i-1].Type == state.EventWarning:
			c = yellow
		}
		if err := line(cells, c); err != nil {
			return err
		}
	}
	return b.Flush()
}

// eventTable prints rows in columns that are as wide as those that there are need. The last one, which is text, goes on below itself.
func eventTable(at screen, w io.Writer, there [][]string) func(cells []string, c colour) error {
	width := make([]int, len(eventHeader)-1)
	for _, cells := range there {
		for i := range width {
			width[i] = max(width[i], utf8.RuneCountInString(cells[i]))
		}
	}
	return func(cells []string, c colour) error {
		var before strings.Builder
		for i := range width {
			fmt.Fprintf(&before, "%-*s  ", width[i], cells[i])
		}
		for _, line := range at.hang(before.String(), cells[len(width)]) {
			if _, err := fmt.Fprintln(w, at.paint(c, line)); err != nil {
				return err
			}
		}
		return nil
	}
}

// eventLines prints events as they come: in a table, whose header is printed now, or JSON, one a line, or YAML documents.
func eventLines(w io.Writer, form string, there []state.LoggedEvent) (func(state.LoggedEvent) error, error) {
	switch form {
	case "json":
		return func(e state.LoggedEvent) error { return printLine(w, e) }, nil
	case "yaml":
		began := false
		return func(e state.LoggedEvent) error {
			if began {
				if _, err := io.WriteString(w, "---\n"); err != nil {
					return err
				}
			}
			began = true
			return printYAML(w, []state.LoggedEvent{e})
		}, nil
	}
	cells := func(e *state.LoggedEvent) []string {
		return []string{e.Last.Local().Format(time.TimeOnly), string(e.Type), e.Reason, e.Object.String(), e.Source, fmt.Sprint(e.Count), e.Message}
	}
	header := slices.Clone(eventHeader)
	header[0] = "TIME"
	rows := [][]string{header, {"", string(state.EventWarning), "TargetProgrammed", "", "", "", ""}} // room for what comes
	for i := range there {
		rows = append(rows, cells(&there[i]))
	}
	rows = append(rows, []string{time.TimeOnly, "", "", "", "", "", ""})
	line := eventTable(screenOf(w), w, rows)
	return func(e state.LoggedEvent) error {
		c := plain
		if e.Type == state.EventWarning {
			c = yellow
		}
		return line(cells(&e), c)
	}, line(header, bold)
}
