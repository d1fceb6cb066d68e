package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/view"
)

func newBGPRPKI() *cobra.Command {
	var q bgpQuery
	var out output
	cmd := &cobra.Command{
		Use:   "rpki [--edge EDGE]... [--agent ADDRESS]",
		Short: "Show the RPKI caches that agents ask",
		Long: `Show the RPKI caches that agents ask about the origins of prefixes, as their
configuration has them under bgp.rpki.

  STATE    up: it has told all that it has. Else why is below the table; what
           it told before holds for its expire interval
  SINCE    for how long it is so
  SERIAL   number of the data that it told last
  IPV4     prefixes with an origin that it told and that hold
  UPDATED  how long ago it said that this was all`,
		Example: `  weft bgp rpki
  weft bgp rpki --edge border1 -o wide`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := agent.RPKIList{Caches: []agent.RPKICache{}}
			if q.agent == "" {
				rows, over, err := viewed[agent.RPKICache](cmd.Context(), &q.at, "rpki", nil)
				if err != nil {
					return err
				}
				if over {
					list.Caches, list.Errors = atEdges(rows.Items, q.edges, func(c *agent.RPKICache) string { return c.Edge }), edgeErrors(rows.Errors)
					return showCaches(cmd, list, out.form)
				}
			}
			asks, err := q.whom(cmd, &q.at.db)
			if err != nil {
				return err
			}
			answers, failed := view.Ask(cmd.Context(), q.asker(), asks, func(ctx context.Context, c *agent.Client, edge string) (agent.RPKIList, error) {
				return c.RPKI(ctx, edge)
			})
			for _, a := range answers {
				list.Caches, list.Errors = append(list.Caches, a.Caches...), append(list.Errors, a.Errors...)
			}
			list.Errors = append(list.Errors, failed...)
			return showCaches(cmd, list, out.form)
		},
	}
	out.flags(cmd, "table", "wide", "json")
	q.flags(cmd)
	return cmd
}

// showCaches prints caches, and says which edges did not answer.
func showCaches(cmd *cobra.Command, list agent.RPKIList, form string) error {
	if err := printCaches(cmd.OutOrStdout(), list, form, time.Now()); err != nil {
		return err
	}
	return unanswered(cmd, list.Errors)
}

func printCaches(w io.Writer, list agent.RPKIList, form string, now time.Time) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"EDGE", "CACHE", "STATE", "SINCE", "SERIAL", "IPV4", "IPV6", "UPDATED", "LOST"}
	if form == "wide" {
		head = append(head, "TLS", "VERSION", "SESSION", "REFRESH", "RETRY", "EXPIRE", "EXPIRED")
	}
	var rows [][]string
	var reasons []string
	for i := range list.Caches {
		c := &list.Caches[i]
		state, updated := "up", "never"
		if !c.Up {
			state = "away"
			reasons = append(reasons, fmt.Sprintf("%s: %s: %s", c.Edge, c.Address, c.Why))
		}
		if !c.Updated.IsZero() {
			updated = age(now.Sub(c.Updated))
		}
		row := []string{c.Edge, c.Address, state, age(now.Sub(c.Since)), fmt.Sprint(c.Serial), fmt.Sprint(c.V4), fmt.Sprint(c.V6), updated, fmt.Sprint(c.Lost)}
		if form == "wide" {
			row = append(row, fmt.Sprint(c.TLS), fmt.Sprint(c.Version), fmt.Sprint(c.Session), fmt.Sprintf("%d s", c.Refresh), fmt.Sprintf("%d s", c.Retry), fmt.Sprintf("%d s", c.Expire), fmt.Sprint(c.Expired))
		}
		rows = append(rows, row)
	}
	if err := table(w, head, rows); err != nil || len(reasons) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(reasons, "\n"))
	return err
}
