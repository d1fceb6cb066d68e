package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
)

// flowQuery is what `weft flows` and `weft drops` ask for, and whom.
type flowQuery struct {
	edges   []string // empty: all
	vport   string   // empty: all
	agent   string   // empty: those that the database names
	tls     agent.TLS
	timeout time.Duration
}

func newFlows() *cobra.Command {
	var at reach
	var out output
	var q flowQuery
	cmd := &cobra.Command{
		Use:   "flows [--edge EDGE]... [--agent ADDRESS]",
		Short: "Show the flows that are installed at edges",
		Long: `Show the flows that are installed at edges, with the counters of their targets.
The edges' agents are asked; where they are, the database knows. --agent asks
one directly.

A flow is one entry of the pipeline: packets that come in at VPORT and match
MATCH go TO a vport or a group, which is AT an interface of an edge, or are
dropped. Fields that MATCH does not name are not read.

  LANE   the table: class, exact or wild; class: nothing but MACs was read
  MATCH  fields of the packet as it came in; weft trace says why they were read

Flows that differ in the source MAC alone share an entry and its counters.`,
		Example: `  # What is installed?
  weft flows

  # At one edge, all columns; of one vport, in either direction
  weft flows --edge nic1 -o wide
  weft flows --vport acme/web

  # Which flows drop?
  weft flows -o json | jq '.flows[] | select(.action == "drop")'

  # From the agent itself, without the database
  weft flows --agent 127.0.0.1:9570`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := q.collect(cmd, &at)
			if err != nil {
				return err
			}
			if err := printFlows(cmd.OutOrStdout(), list, out.form); err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	q.flags(cmd, "flows")
	out.flags(cmd, "table", "wide", "json")
	at.flags(cmd)
	return cmd
}

// flags adds the flags that say whom to ask, and for what.
func (q *flowQuery) flags(cmd *cobra.Command, what string) {
	q.edgeFlags(cmd, what)
	cmd.Flags().StringVar(&q.vport, "vport", "", what+" of the vport `TENANT/NAME` alone")
}

// edgeFlags are those that say whom to ask.
func (q *flowQuery) edgeFlags(cmd *cobra.Command, what string) {
	f := cmd.Flags()
	f.StringArrayVar(&q.edges, "edge", nil, what+" of `EDGE` alone; more may follow")
	q.agentFlags(f, "ask the agent at `ADDRESS`: HOST:PORT, https://HOST:PORT or unix:/PATH")
	f.DurationVar(&q.timeout, "timeout", 15*time.Second, "how long to wait for an agent's answer")
}

// agentFlags are those that say how agents are asked.
func (q *flowQuery) agentFlags(f *pflag.FlagSet, what string) {
	f.StringVar(&q.agent, "agent", "", what)
	f.StringVar(&q.tls.CA, "agent-ca", os.Getenv("WEFT_AGENT_CA"), "PEM `file` of the authority of agents' certificates; default: $WEFT_AGENT_CA")
	f.StringVar(&q.tls.Cert, "agent-cert", os.Getenv("WEFT_AGENT_CERT"), "PEM `file` of a certificate to show to agents; default: $WEFT_AGENT_CERT")
	f.StringVar(&q.tls.Key, "agent-key", os.Getenv("WEFT_AGENT_KEY"), "PEM `file` of its key; default: $WEFT_AGENT_KEY")
}

// whom returns the agents to ask: the one that is named, or those of the edges that the database knows.
func (q *flowQuery) whom(cmd *cobra.Command, db *database) (map[string]string, error) {
	asks := map[string]string{} // edge → where its agent is
	if q.agent == "" {
		err := db.watching(cmd.Context(), func(store *state.Store) (err error) {
			if asks, err = q.agents(store.View()); err != nil || q.vport == "" {
				return err
			}
			return q.knows(store.View())
		})
		if err != nil {
			return nil, err
		}
		if len(asks) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no edge is live")
		}
	}
	for _, e := range q.edges {
		if q.agent != "" {
			asks[e] = q.agent
		}
	}
	if q.agent != "" && len(q.edges) == 0 {
		asks[""] = q.agent // all of its edges
	}
	return asks, nil
}

// collect asks for flows.
func (q *flowQuery) collect(cmd *cobra.Command, at *reach) (agent.FlowList, error) {
	all := agent.FlowList{Flows: []agent.Flow{}}
	if q.agent == "" {
		rows, over, err := viewed[agent.Flow](cmd.Context(), at, "flows", url.Values{"of": {q.vport}})
		if over {
			if err == nil {
				all.Flows, all.Errors = atEdges(rows.Items, q.edges, func(f *agent.Flow) string { return f.Edge }), edgeErrors(rows.Errors)
			}
			return all, err
		}
	}
	asks, err := q.whom(cmd, &at.db)
	if err != nil {
		return all, err
	}
	answers, failed := view.Ask(cmd.Context(), q.asker(), asks, func(ctx context.Context, c *agent.Client, edge string) (agent.FlowList, error) {
		return c.Flows(ctx, edge)
	})
	for _, a := range answers {
		all.Flows, all.Evicted, all.Errors = append(all.Flows, a.Flows...), append(all.Evicted, a.Evicted...), append(all.Errors, a.Errors...)
	}
	all.Errors = append(all.Errors, failed...)
	if q.vport != "" {
		all.Flows = slices.DeleteFunc(all.Flows, func(f agent.Flow) bool { return f.VPort.Name != q.vport && (f.To == nil || f.To.Name != q.vport) })
	}
	return all, nil
}

// unanswered tells which edges did not answer.
func unanswered(cmd *cobra.Command, errs []agent.EdgeError) error {
	for _, e := range errs {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: edge %s: %s\n", cmd.CommandPath(), e.Edge, e.Error)
	}
	if len(errs) > 0 {
		return errReported
	}
	return nil
}

// knows checks that the vport that is asked for is there.
func (q *flowQuery) knows(v *state.View) error {
	var exterior []string
	for p := range v.Topology.VPorts() {
		name := p.Tenant + "/" + p.Name
		if name == q.vport {
			return nil
		}
		if p.Exterior {
			exterior = append(exterior, name)
		}
	}
	slices.Sort(exterior)
	return fmt.Errorf("--vport %q: is no vport; use %s", q.vport, or(shortList(exterior)))
}

// shortList names some of many.
func shortList(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" or one of %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// agents finds where the agents of the wanted edges are.
func (q *flowQuery) agents(v *state.View) (map[string]string, error) {
	live := v.Edges.IDs()
	asks := map[string]string{}
	for _, e := range q.edges {
		if !v.Edges.Has(e) {
			return nil, fmt.Errorf("--edge %q: is not live; live are: %s", e, or(strings.Join(live, ", ")))
		}
	}
	for _, e := range live {
		if len(q.edges) == 0 || slices.Contains(q.edges, e) {
			asks[e] = v.Edges.Of(e).Status
		}
	}
	return asks, nil
}

// asker says how agents are asked.
func (q *flowQuery) asker() view.Asker { return view.Asker{TLS: q.tls, Timeout: q.timeout} }

func printFlows(w io.Writer, list agent.FlowList, form string) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"EDGE", "VPORT", "TO", "AT", "LANE", "PACKETS", "AGE", "MATCH"}
	if form == "wide" {
		head = []string{"EDGE", "VPORT", "ACTION", "TO", "AT", "LANE", "PACKETS", "BYTES", "AGE", "MATCH", "GUARDS", "REWRITE"}
	}
	rows := make([][]string, 0, len(list.Flows))
	for i := range list.Flows {
		rows = append(rows, flowRow(&list.Flows[i], form == "wide"))
	}
	if err := table(w, head, rows); err != nil {
		return err
	}
	for i, e := range list.Evicted {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s has evicted %d flows, since %s\n", e.Edge, e.Flows, e.Why)
	}
	return nil
}

func flowRow(f *agent.Flow, wide bool) []string {
	to := "-"
	if f.To != nil {
		to = f.To.Name
	}
	packets, age := fmt.Sprint(f.Packets), time.Duration(f.AgeSeconds*float64(time.Second)).Round(time.Second).String()
	if wide {
		return []string{f.Edge, f.VPort.Name, f.Action, to, placesText(f.At, len(f.At)), f.Lane, packets, fmt.Sprint(f.Bytes), age, or(f.Match), or(f.Guards), or(f.Rewrite)}
	}
	if f.To == nil {
		to = f.Action
	}
	return []string{f.Edge, f.VPort.Name, to, placesText(f.At, 2), f.Lane, packets, age, or(f.Match)}
}

// placesText lists at most so many places, and says how many more there are.
func placesText(at []string, most int) string {
	if len(at) <= most {
		return or(strings.Join(at, ","))
	}
	return fmt.Sprintf("%s and %d more", strings.Join(at[:most], ","), len(at)-most)
}
