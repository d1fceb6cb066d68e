package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
)

func newConnections() *cobra.Command {
	var at reach
	var in scope
	var out output
	var q flowQuery
	var like string
	cmd := &cobra.Command{
		Use:     "connections",
		Aliases: []string{"conns"},
		Short:   "Show the connections that are tracked",
		Long: `Show the connections that edges track because a rule asks for their state, or
translates them: those that enter a device of the tenant.

BECOMES is what the source and destination are behind the last translation;
OWNERS the edges of the processes that have the flows of the two directions.

Connections that began while the database was away are in none until it is
back: how many an edge has of these its agent says, which is asked. --agent
asks one, and not the database.`,
		Example: `  weft connections --tenant acme
  weft connections -A --like 203.0.113.13

  # The database is away: how many connections wait for it at an edge?
  weft connections --agent 127.0.0.1:9570`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.agent != "" {
				unstored, failed := q.unstored(cmd.Context(), map[string]string{"": q.agent})
				if err := printConnections(cmd.OutOrStdout(), nil, unstored, out.form); err != nil {
					return err
				}
				if len(unstored)+len(failed) == 0 && out.form == "table" {
					fmt.Fprintln(cmd.OutOrStdout(), "none: the database has them all")
				}
				return unanswered(cmd, failed)
			}
			rows, over, err := viewed[client.Connection](cmd.Context(), &at, "connections", url.Values{"tenant": {in.name()}})
			if over {
				if err != nil {
					return err
				}
				rows.Items = slices.DeleteFunc(rows.Items, func(c client.Connection) bool { return !strings.Contains(fmt.Sprint(c), like) })
				if err := printConnections(cmd.OutOrStdout(), rows.Items, nil, out.form); err != nil || len(rows.Items) > 0 || out.form != "table" {
					return err
				}
				return sayNone(cmd, "no connections", in.name())
			}
			return at.db.watching(cmd.Context(), func(store *state.Store) error {
				rows, err := view.Connections(cmd.Context(), store, in.name(), like)
				if err != nil {
					return err
				}
				asks, err := q.agents(store.View())
				if err != nil {
					return err
				}
				unstored, _ := q.unstored(cmd.Context(), asks) // who does not answer is shown by weft edges
				if err := printConnections(cmd.OutOrStdout(), rows, unstored, out.form); err != nil || len(rows)+len(unstored) > 0 || out.form != "table" {
					return err
				}
				return sayNone(cmd, "no connections", in.name())
			})
		},
	}
	q.agentFlags(cmd.Flags(), "ask the agent at `ADDRESS` alone: HOST:PORT, https://HOST:PORT or unix:/PATH")
	q.timeout = askUnstored
	cmd.Flags().StringVar(&like, "like", "", "only connections with this text in an address, port, device or state")
	out.flags(cmd, "table", "json", "yaml")
	in.flags(cmd)
	at.flags(cmd)
	in.login = at.tenant
	return cmd
}

// askUnstored is how long an agent has to say what it has that the database does not.
const askUnstored = 3 * time.Second

// unstored asks agents how many connections of their edges the database does not have yet, and returns those that have any.
func (q *flowQuery) unstored(ctx context.Context, asks map[string]string) (map[string]uint64, []agent.EdgeError) {
	answers, failed := view.Ask(ctx, q.asker(), asks, func(ctx context.Context, c *agent.Client, _ string) (agent.StatsList, error) { return c.Stats(ctx) })
	unstored := map[string]uint64{}
	for _, a := range answers {
		for _, e := range a.Edges {
			if e.Stats.Unstored > 0 {
				unstored[e.Edge] = e.Stats.Unstored
			}
		}
	}
	return unstored, failed
}

func printConnections(w io.Writer, rows []client.Connection, unstored map[string]uint64, form string) error {
	switch form {
	case "json":
		if rows == nil {
			rows = []client.Connection{}
		}
		return printJSON(w, struct {
			Items    []client.Connection `json:"items"`
			Unstored map[string]uint64   `json:"unstored,omitempty"` // by edge: connections that the database does not have yet
		}{rows, unstored})
	case "yaml":
		return printYAML(w, rows)
	}
	var cells [][]string
	for _, r := range rows {
		becomes := ""
		if n := len(r.Becomes); n > 0 {
			becomes = r.Becomes[n-1]
		}
		owners := or(strings.Join(r.Forward, ",")) + " / " + or(strings.Join(r.Return, ","))
		cells = append(cells, []string{r.Protocol, r.Source, r.Destination, or(becomes), r.State, owners})
	}
	if rows != nil {
		if err := table(w, []string{"PROTOCOL", "SOURCE", "DESTINATION", "BECOMES", "STATE", "OWNERS"}, cells); err != nil {
			return err
		}
	}
	for _, edge := range slices.Sorted(maps.Keys(unstored)) {
		if _, err := fmt.Fprintf(w, "%d more at %s are not stored yet: they began while the database was away\n", unstored[edge], edge); err != nil {
			return err
		}
	}
	return nil
}
