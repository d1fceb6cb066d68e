package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// step is what a change does to one object.
type step struct {
	ref           topology.Ref
	action        state.Action
	before, after *topology.Object // nil: absent, or not known
	fields        []fieldChange
}

// shade is how what becomes of something is shown.
func shade(a state.Action) colour {
	switch a {
	case state.Created:
		return green
	case state.Configured:
		return yellow
	case state.Deleted:
		return red
	}
	return faint
}

// printSteps says what a change did to each object, and to the fields of those that it configured; of a dry run also which fields objects have that come and go, and how many there are of each.
func printSteps(w io.Writer, steps []step, dryRun bool) error {
	at := screenOf(w)
	var b strings.Builder
	suffix := ""
	if dryRun {
		suffix = " (dry run)"
	}
	counts := map[state.Action]int{}
	for i := range steps {
		s := &steps[i]
		counts[s.action]++
		fmt.Fprintf(&b, "%s\n", at.paint(shade(s.action), fmt.Sprintf("%s %s%s", refName(s.ref), s.action, suffix)))
		if s.action == state.Configured || dryRun && s.action != state.Unchanged {
			for _, f := range s.fields {
				fmt.Fprintln(&b, at.fieldLine(f))
			}
		}
	}
	if dryRun || at.width > 0 && len(steps) > 1 {
		fmt.Fprintf(&b, "%d created, %d configured, %d deleted, %d unchanged%s\n",
			counts[state.Created], counts[state.Configured], counts[state.Deleted], counts[state.Unchanged], suffix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fieldLine is how a field changes: + it is new, - it is gone, ~ it is another.
func (s screen) fieldLine(f fieldChange) string {
	line := func(sign string, c colour, value string) string {
		text := fmt.Sprintf("  %s %s: %s", sign, f.path, value)
		if s.width > 0 {
			text = shorten(text, s.width)
		}
		return s.paint(c, text)
	}
	switch {
	case f.before == nil:
		return line("+", green, valueText(f.after))
	case f.after == nil:
		return line("-", red, valueText(f.before))
	}
	return line("~", yellow, valueText(f.before)+" → "+valueText(f.after))
}
