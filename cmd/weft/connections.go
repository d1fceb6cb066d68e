package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// connectionRow is what `weft connections` tells of a connection.
type connectionRow struct {
	Protocol    string   `json:"protocol"`
	Source      string   `json:"source"` // of its first packet, as that enters the network; with port
	Destination string   `json:"destination"`
	Enters      string   `json:"enters"` // the device that it enters, TENANT/NAME
	Leaves      string   `json:"leaves"` // and that it leaves
	State       string   `json:"state"`
	Becomes     []string `json:"becomes,omitempty"` // source and destination behind each translation
	Forward     []string `json:"forward,omitempty"` // edges of the process that has the flow of the first packet's direction
	Return      []string `json:"return,omitempty"`
}

func newConnections() *cobra.Command {
	var db database
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
			return db.watching(cmd.Context(), func(store *state.Store) error {
				rows, err := connectionRows(cmd, store, &in, like)
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
	db.flags(cmd)
	return cmd
}

// askUnstored is how long an agent has to say what it has that the database does not.
const askUnstored = 3 * time.Second

// unstored asks agents how many connections of their edges the database does not have yet, and returns those that have any.
func (q *flowQuery) unstored(ctx context.Context, asks map[string]string) (map[string]uint64, []agent.EdgeError) {
	answers, failed := askEach(ctx, q, asks, func(ctx context.Context, c *agent.Client, _ string) (agent.StatsList, error) { return c.Stats(ctx) })
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

func connectionRows(cmd *cobra.Command, store *state.Store, in *scope, like string) ([]connectionRow, error) {
	view := store.View()
	edges := map[int64][]string{}
	for id, e := range view.Edges.All() {
		edges[e.Run] = append(edges[e.Run], id)
		slices.Sort(edges[e.Run])
	}
	rows := []connectionRow{}
	err := store.Connections(cmd.Context(), func(c state.StoredConn) error {
		enters, _ := view.Topology.Ref(topology.DeviceID(c.Forward.Zone))
		leaves, _ := view.Topology.Ref(topology.DeviceID(c.RetZone))
		if tenant := in.name(); tenant != "" && enters.Tenant != tenant {
			return nil
		}
		r := connectionRow{
			Protocol: topology.Protocol(c.Forward.Proto).String(), Enters: deviceText(enters), Leaves: deviceText(leaves), State: c.State.String(),
			Forward: edges[c.ForwardOwner], Return: edges[c.ReturnOwner],
		}
		r.Source, r.Destination = bothEnds(c.Forward.Tuple)
		for n := range c.Steps() {
			src, dst := bothEnds(c.At(n + 1))
			r.Becomes = append(r.Becomes, src+" > "+dst)
		}
		if like == "" || strings.Contains(fmt.Sprint(r), like) {
			rows = append(rows, r)
		}
		return nil
	})
	return rows, err
}

func deviceText(r topology.Ref) string {
	if r.Name == "" {
		return "?"
	}
	return r.Tenant + "/" + r.Name
}

// bothEnds are the two ends of a tuple; protocols without ports have none.
func bothEnds(t conntrack.Tuple) (src, dst string) {
	et := uint16(packet.EtherTypeIPv4)
	if t.V6 {
		et = packet.EtherTypeIPv6
	}
	s, d := t.Src.Netip(et), t.Dst.Netip(et)
	if t.SrcPort|t.DstPort == 0 {
		return s.String(), d.String()
	}
	return netip.AddrPortFrom(s, t.SrcPort).String(), netip.AddrPortFrom(d, t.DstPort).String()
}

func printConnections(w io.Writer, rows []connectionRow, unstored map[string]uint64, form string) error {
	switch form {
	case "json":
		if rows == nil {
			rows = []connectionRow{}
		}
		return printJSON(w, struct {
			Items    []connectionRow   `json:"items"`
			Unstored map[string]uint64 `json:"unstored,omitempty"` // by edge: connections that the database does not have yet
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
