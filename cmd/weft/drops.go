package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/view"
)

func newDrops() *cobra.Command {
	var at reach
	var out output
	var q flowQuery
	cmd := &cobra.Command{
		Use:   "drops [--edge EDGE]... [--vport TENANT/NAME] [--agent ADDRESS]",
		Short: "Show what edges have dropped, and why",
		Long: `Show what edges have dropped, of each vport's packets, and why.
The edges' agents are asked; where they are, the database knows. --agent asks
one directly.

Packets of a vport are counted since its edge's agent started: those that the
agent decided, those that an entry dropped afterwards (weft flows shows it),
and those that the target dropped by itself. In brackets is where packets came
from that no vport here sent: what the target counts since it was programmed.

weft trace says which device drops a packet.`,
		Example: `  # What is dropped?
  weft drops

  # What of one vport, as JSON?
  weft drops --vport acme/web -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := q.drops(cmd, &at)
			if err != nil {
				return err
			}
			if err := printDrops(cmd.OutOrStdout(), list, out.form); err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	q.flags(cmd, "drops")
	out.flags(cmd, "table", "json")
	at.flags(cmd)
	return cmd
}

// drops asks for drops.
func (q *flowQuery) drops(cmd *cobra.Command, at *reach) (agent.DropList, error) {
	list := agent.DropList{Drops: []agent.Drop{}}
	if q.agent == "" {
		rows, over, err := viewed[agent.Drop](cmd.Context(), at, "drops", url.Values{"of": {q.vport}})
		if over {
			if err == nil {
				list.Drops, list.Errors = atEdges(rows.Items, q.edges, func(d *agent.Drop) string { return d.Edge }), edgeErrors(rows.Errors)
			}
			return list, err
		}
	}
	asks, err := q.whom(cmd, &at.db)
	if err != nil {
		return list, err
	}
	answers, failed := view.Ask(cmd.Context(), q.asker(), asks, func(ctx context.Context, c *agent.Client, edge string) (agent.DropList, error) {
		return c.Drops(ctx, edge)
	})
	for _, a := range answers {
		list.Drops, list.Errors = append(list.Drops, a.Drops...), append(list.Errors, a.Errors...)
	}
	list.Errors = append(list.Errors, failed...)
	if q.vport != "" {
		list.Drops = slices.DeleteFunc(list.Drops, func(d agent.Drop) bool { return d.VPort == nil || d.VPort.Name != q.vport })
	}
	return list, nil
}

func printDrops(w io.Writer, list agent.DropList, form string) error {
	if form == "json" {
		return printJSON(w, list)
	}
	rows := make([][]string, 0, len(list.Drops))
	for _, d := range list.Drops {
		whose := "(" + d.From + ")"
		if d.VPort != nil {
			whose = d.VPort.Name
		}
		rows = append(rows, []string{d.Edge, whose, d.Reason, fmt.Sprint(d.Packets)})
	}
	return table(w, []string{"EDGE", "VPORT", "REASON", "PACKETS"}, rows)
}
