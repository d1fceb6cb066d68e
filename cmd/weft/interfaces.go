package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/view"
)

func newInterfaces() *cobra.Command {
	var at reach
	var out output
	q := flowQuery{}
	cmd := &cobra.Command{
		Use:   "interfaces [--edge EDGE]... [--agent ADDRESS]",
		Short: "Show the interfaces of edges' switches: links, rates, errors",
		Long: `Show the interfaces of edges' switches, as the switches tell by gNMI.
The edges' agents are asked, by the API or directly; where they are, the
database knows. --agent asks one. They are the provider's. Edges whose
configuration has no gnmi tell nothing.

  AS      uplink, or the name that bindings have for it
  STATE   up; down; held: it is up, but goes up and down, and does not count as
          up yet; unknown: the switch has not told; stale: not for too long, the
          rest of the line is what it told last
  IN, OUT bits a second between the last two samples
  ERRORS  frames with errors and frames dropped, in both directions
  CHANGED when it went up or down last, by the switch's clock
  RATE    that is set of a vport which is bound there, each way; no column where
          none has one

An uplink that is down is no way to other edges. One that is unknown is.`,
		Example: `  # How are the links?
  weft interfaces

  # All counters of one edge's
  weft interfaces --edge nic1 -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := q.interfaces(cmd, &at)
			if err != nil {
				return err
			}
			if err := printInterfaces(cmd.OutOrStdout(), list, q.ratesAt(cmd, &at), out.form, time.Now()); err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	q.edgeFlags(cmd, "interfaces")
	out.flags(cmd, "table", "wide", "json")
	at.flags(cmd)
	return cmd
}

// interfaces asks the API, or the edges' agents, for the interfaces of switches.
func (q *flowQuery) interfaces(cmd *cobra.Command, at *reach) (agent.InterfaceList, error) {
	list := agent.InterfaceList{Interfaces: []agent.Interface{}, Telemetry: []agent.Telemetry{}}
	if q.agent == "" {
		rows, over, err := viewed[agent.Interface](cmd.Context(), at, "interfaces", nil)
		if over && err == nil {
			var asked *client.Rows[agent.Telemetry]
			if asked, _, err = viewed[agent.Telemetry](cmd.Context(), at, "telemetry", nil); err == nil {
				list.Interfaces, list.Errors = atEdges(rows.Items, q.edges, func(i *agent.Interface) string { return i.Edge }), edgeErrors(rows.Errors)
				list.Telemetry = atEdges(asked.Items, q.edges, func(t *agent.Telemetry) string { return t.Edge })
			}
		}
		if over || err != nil {
			return list, err
		}
	}
	asks, err := q.whom(cmd, &at.db)
	if err != nil {
		return list, err
	}
	answers, failed := view.Ask(cmd.Context(), q.asker(), asks, func(ctx context.Context, c *agent.Client, edge string) (agent.InterfaceList, error) {
		return c.Interfaces(ctx, edge)
	})
	for _, a := range answers {
		list.Interfaces, list.Telemetry, list.Errors = append(list.Interfaces, a.Interfaces...), append(list.Telemetry, a.Telemetry...), append(list.Errors, a.Errors...)
	}
	list.Errors = append(list.Errors, failed...)
	return list, nil
}

// ratesAt are the rates of the vports that are bound at interfaces, by EDGE:INTERFACE, as far as whoever asks may know.
func (q *flowQuery) ratesAt(cmd *cobra.Command, at *reach) map[string]string {
	if q.agent != "" {
		return nil // the database has them, and it is not asked
	}
	rates, _ := ratesOf(cmd, at, view.Of{})
	of := map[string]string{}
	for _, r := range rates {
		if r.Link == "" {
			of[r.VPort] = rateText(r.Rate)
		}
	}
	if len(of) == 0 {
		return nil
	}
	all := map[string]string{}
	for _, p := range livePlaces(cmd, at) {
		if rate := of[p.VPort]; rate != "" {
			key := p.Edge + ":" + p.Interface
			all[key] = strings.TrimPrefix(all[key]+","+rate, ",")
		}
	}
	return all
}

func printInterfaces(w io.Writer, list agent.InterfaceList, rates map[string]string, form string, now time.Time) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"EDGE", "INTERFACE", "PORT", "AS", "STATE", "SPEED", "IN", "OUT", "ERRORS", "CHANGED"}
	if form == "wide" {
		head = append(head, "ADMIN", "OPER", "IN-PKTS", "OUT-PKTS", "IN-BYTES", "OUT-BYTES", "FLAPS", "RESETS", "UPDATED")
	}
	if len(rates) > 0 {
		head = append(head, "RATE")
	}
	rows := make([][]string, 0, len(list.Interfaces))
	for i := range list.Interfaces {
		one := &list.Interfaces[i]
		row := interfaceRow(one, form == "wide", now)
		if len(rates) > 0 {
			row = append(row, or(rates[one.Edge+":"+one.As]))
		}
		rows = append(rows, row)
	}
	if err := table(w, head, rows); err != nil {
		return err
	}
	var lines []string
	for _, t := range list.Telemetry {
		if !t.Connected && t.Error != "" {
			lines = append(lines, fmt.Sprintf("%s: the switch's gNMI server at %s: %s", t.Edge, t.Address, t.Error))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

func interfaceRow(i *agent.Interface, wide bool, now time.Time) []string {
	state := i.State
	switch {
	case i.Stale && !i.Updated.IsZero():
		state = "stale"
	case i.Held:
		state = "held"
	}
	in, out := "-", "-"
	if i.Rates != nil {
		in, out = bits(i.Rates.InBits), bits(i.Rates.OutBits)
	}
	speed := "-"
	if i.Speed > 0 {
		speed = bits(float64(i.Speed))
	}
	count := func(names ...string) string {
		n, known := uint64(0), false
		for _, name := range names {
			v, is := i.Counters[name]
			n, known = n+v, known || is
		}
		if !known {
			return "-"
		}
		return fmt.Sprint(n)
	}
	row := []string{i.Edge, i.Name, fmt.Sprint(i.Port), or(i.As), state, speed, in, out, count("in-errors", "in-discards", "out-errors", "out-discards"), ago(i.LastChange, now)}
	if wide {
		row = append(row, or(i.Admin), or(i.Oper), count("in-pkts"), count("out-pkts"), count("in-octets"), count("out-octets"), fmt.Sprint(i.Flaps), fmt.Sprint(i.Resets), ago(i.Updated, now))
	}
	return row
}

// bits is a rate or a speed, with a unit of bits a second: 25G, 1.2M.
func bits(n float64) string {
	for _, u := range []struct {
		unit string
		of   float64
	}{{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if n >= u.of {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", n/u.of), ".0") + u.unit
		}
	}
	return fmt.Sprintf("%.0f", n)
}

// ago is how long ago something was.
func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return age(now.Sub(at)) + " ago"
}
