package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

// flowQuery is what `weft flows` asks for, and whom.
type flowQuery struct {
	edges   []string // empty: all
	vport   string   // empty: all
	agent   string   // empty: those that the database names
	tls     agent.TLS
	timeout time.Duration
}

func newFlows() *cobra.Command {
	var db database
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
			list, err := q.collect(cmd, &db)
			if err != nil {
				return err
			}
			if err := printFlows(cmd.OutOrStdout(), list, out.form); err != nil {
				return err
			}
			if len(list.Errors) > 0 {
				for _, e := range list.Errors {
					fmt.Fprintf(cmd.ErrOrStderr(), "weft flows: edge %s: %s\n", e.Edge, e.Error)
				}
				return errReported
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&q.edges, "edge", nil, "flows of `EDGE` alone; more may follow")
	f.StringVar(&q.vport, "vport", "", "flows from or to the vport `TENANT/NAME` alone")
	f.StringVar(&q.agent, "agent", "", "ask the agent at `ADDRESS`: HOST:PORT, https://HOST:PORT or unix:/PATH")
	f.StringVar(&q.tls.CA, "agent-ca", os.Getenv("WEFT_AGENT_CA"), "PEM `file` of the authority of agents' certificates; default: $WEFT_AGENT_CA")
	f.StringVar(&q.tls.Cert, "agent-cert", os.Getenv("WEFT_AGENT_CERT"), "PEM `file` of a certificate to show to agents; default: $WEFT_AGENT_CERT")
	f.StringVar(&q.tls.Key, "agent-key", os.Getenv("WEFT_AGENT_KEY"), "PEM `file` of its key; default: $WEFT_AGENT_KEY")
	f.DurationVar(&q.timeout, "timeout", 15*time.Second, "how long to wait for an agent's answer")
	out.flags(cmd, "table", "wide", "json")
	db.flags(cmd)
	return cmd
}

// collect asks the agent that is named, or those of the edges that the database knows.
func (q *flowQuery) collect(cmd *cobra.Command, db *database) (agent.FlowList, error) {
	ctx := cmd.Context()
	asks := map[string]string{} // edge → where its agent is
	if q.agent == "" {
		err := db.watching(ctx, func(store *state.Store) (err error) {
			if asks, err = q.agents(store.View()); err != nil || q.vport == "" {
				return err
			}
			return q.knows(store.View())
		})
		if err != nil {
			return agent.FlowList{}, err
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
	list := q.ask(ctx, asks)
	if q.vport != "" {
		list.Flows = slices.DeleteFunc(list.Flows, func(f agent.Flow) bool { return f.VPort.Name != q.vport && (f.To == nil || f.To.Name != q.vport) })
	}
	return list, nil
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
	live := slices.Sorted(maps.Keys(v.Edges))
	asks := map[string]string{}
	for _, e := range q.edges {
		if _, ok := v.Edges[e]; !ok {
			return nil, fmt.Errorf("--edge %q: is not live; live are: %s", e, or(strings.Join(live, ", ")))
		}
	}
	for _, e := range live {
		if len(q.edges) == 0 || slices.Contains(q.edges, e) {
			asks[e] = v.Edges[e].Status
		}
	}
	return asks, nil
}

const askAtOnce = 16

// ask asks all agents and joins what they answer, in order of edge.
func (q *flowQuery) ask(ctx context.Context, asks map[string]string) agent.FlowList {
	edges := slices.Sorted(maps.Keys(asks))
	answers := make([]agent.FlowList, len(edges))
	var g errgroup.Group
	g.SetLimit(askAtOnce)
	for i, edge := range edges {
		g.Go(func() error {
			var err error
			if answers[i], err = q.askOne(ctx, edge, asks[edge]); err != nil {
				answers[i].Errors = []agent.EdgeError{{Edge: cmp.Or(edge, "of agent "+asks[edge]), Error: err.Error()}}
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
	all := agent.FlowList{Flows: []agent.Flow{}}
	for _, a := range answers {
		all.Flows = append(all.Flows, a.Flows...)
		all.Errors = append(all.Errors, a.Errors...)
	}
	return all
}

func (q *flowQuery) askOne(ctx context.Context, edge, at string) (agent.FlowList, error) {
	if at == "" {
		return agent.FlowList{}, errors.New("its agent has no status server")
	}
	client, err := agent.NewClient(at, q.tls)
	if err != nil {
		return agent.FlowList{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	list, err := client.Flows(ctx, edge)
	if err != nil {
		return list, fmt.Errorf("agent at %s: %w", at, err)
	}
	return list, nil
}

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
	return table(w, head, rows)
}

func flowRow(f *agent.Flow, wide bool) []string {
	to := "-"
	if f.To != nil {
		to = f.To.Name
	}
	packets, age := fmt.Sprint(f.Packets), time.Duration(f.AgeSeconds*float64(time.Second)).Round(time.Second).String()
	if wide {
		return []string{f.Edge, f.VPort.Name, f.Action, to, placesText(f.At, len(f.At)), f.Lane, packets, fmt.Sprint(f.Bytes), age, f.Match, or(f.Guards), or(f.Rewrite)}
	}
	if f.To == nil {
		to = f.Action
	}
	return []string{f.Edge, f.VPort.Name, to, placesText(f.At, 2), f.Lane, packets, age, f.Match}
}

// placesText lists at most so many places, and says how many more there are.
func placesText(at []string, most int) string {
	if len(at) <= most {
		return or(strings.Join(at, ","))
	}
	return fmt.Sprintf("%s and %d more", strings.Join(at[:most], ","), len(at)-most)
}
