package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
)

// States of an edge.
const (
	edgeCurrent  = "current"
	edgeBehind   = "behind"
	edgeLacking  = "lacking"
	edgeAway     = "away"
	edgeNoTarget = "no target"
)

// edgeRow is what `weft edges` tells of an edge.
type edgeRow struct {
	ID      string   `json:"id"`
	State   string   `json:"state"`           // current, lacking, behind, no target, or away (known or named by bindings, and not live)
	Applied int64    `json:"applied"`         // revision that it has acknowledged
	Wanted  int64    `json:"wanted"`          // revision of the last change of the network
	VPorts  int      `json:"vports"`          // bound there
	VTEPs   []string `json:"vteps,omitempty"` // tunnel addresses
	Encaps  []string `json:"encaps,omitempty"`
	// Multicast is the range of the underlay's addresses by which it takes what is for all ports of a bridge.
	Multicast string   `json:"multicast,omitempty"`
	MTU       int      `json:"mtu,omitempty"` // of its underlay, bytes of IP
	Version   string   `json:"version,omitempty"`
	Status    string   `json:"status,omitempty"` // where its agent's status server is
	Lacks     []string `json:"lacks,omitempty"`  // what it can not do, and why
	Target    string   `json:"target,omitempty"` // why its target can not be programmed
	// Agents are those that may act for it, if that are several: the one that does first.
	Agents []agentRow `json:"agents,omitempty"`
}

// Roles of an agent.
const (
	roleActive  = "active"
	roleStandby = "standby"
)

// agentRow is one of the agents of an edge.
type agentRow struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`  // active or standby
	Since   time.Time `json:"since"` // by its own clock
	Version string    `json:"version,omitempty"`
	Status  string    `json:"status,omitempty"` // where its status server is
}

func newEdges() *cobra.Command {
	var at reach
	var out output
	cmd := &cobra.Command{
		Use:   "edges [EDGE]...",
		Short: "Show the edges, and which are behind",
		Long: `Show every edge that is known or that a binding names, one a line.

  current    it has applied the last change of the network
  lacking    it has, but for what it can not do: what and why is below the table
  behind     it has not yet: APPLIED is the revision that it has / is wanted
  no target  its agent can not program its target; why is below the table
  away       no agent holds its lease; its target may forward all the same

TUNNEL is the encapsulation that others use towards it, VTEPS are the addresses.

Of an edge that has several agents (ha: true in their configuration) these
follow below: the active one, and those that stand by.`,
		Example: `  weft edges
  weft edges -o wide
  weft edges nic1

  # Which edges keep an apply --wait waiting?
  weft edges -o json`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return at.with(cmd.Context(), func(n network) error {
				all, err := n.Edges(cmd.Context())
				if err != nil {
					return err
				}
				rows, missing := chosenEdges(all, ids)
				if len(rows) == 0 && missing != nil {
					return missing
				}
				return errors.Join(printEdges(cmd.OutOrStdout(), rows, out.form), missing)
			})
		},
	}
	out.flags(cmd, "table", "wide", "json", "yaml", "name")
	at.flags(cmd)
	cmd.ValidArgsFunction = completeEdges(&at)
	return cmd
}

// chosenEdges are those that are named, all if none is, and an error for each that is not there.
func chosenEdges(rows []edgeRow, ids []string) (chosen []edgeRow, missing error) {
	if len(ids) == 0 {
		return rows, nil
	}
	for _, id := range ids {
		i := slices.IndexFunc(rows, func(r edgeRow) bool { return r.ID == id })
		if i < 0 {
			missing = errors.Join(missing, fmt.Errorf("edge %q: is neither known nor named by a binding", id))
			continue
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, missing
}

// edgeRows are the edges of a view, and those that its bindings name, in order of id.
func edgeRows(v *state.View) []edgeRow {
	rows := map[string]*edgeRow{}
	for id, info := range v.Known.All() {
		r := &edgeRow{ID: id, State: edgeAway, Encaps: info.Encaps, MTU: info.MTU, Version: info.Version}
		if info.Multicast.IsValid() {
			r.Multicast = info.Multicast.String()
		}
		for _, a := range info.VTEPs {
			r.VTEPs = append(r.VTEPs, a.String())
		}
		rows[id] = r
	}
	for id, e := range v.Edges.All() {
		r := rows[id]
		r.State, r.Applied, r.Status = edgeCurrent, e.Applied, e.Status
		switch r.Target = e.Target; {
		case e.Target != "":
			r.State = edgeNoTarget
		case e.Applied < v.Conf:
			r.State = edgeBehind
		case len(e.Lacks) > 0:
			r.State = edgeLacking
		}
		for _, l := range e.Lacks {
			r.Lacks = append(r.Lacks, l.String())
		}
	}
	for b := range v.Bindings.All() {
		if rows[b.Edge] == nil {
			rows[b.Edge] = &edgeRow{ID: b.Edge, State: edgeAway}
		}
		rows[b.Edge].VPorts++
	}
	for id, agents := range v.Agents {
		if rows[id] == nil {
			rows[id] = &edgeRow{ID: id, State: edgeAway}
		}
		rows[id].Agents = agentRows(&agents)
	}
	sorted := make([]edgeRow, 0, len(rows))
	for r := range maps.Values(rows) {
		r.Wanted = v.Conf
		sorted = append(sorted, *r)
	}
	slices.SortFunc(sorted, func(a, b edgeRow) int { return cmp.Compare(a.ID, b.ID) })
	return sorted
}

// agentRows are the agents of an edge that are alive, the active one first.
func agentRows(a *state.Agents) (rows []agentRow) {
	for name, info := range a.Alive {
		r := agentRow{Name: name, Role: roleStandby, Since: info.Since, Version: info.Version, Status: info.Status}
		if name == a.Active {
			r.Role, r.Since = roleActive, a.Since
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(x, y agentRow) int { return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Name, y.Name)) })
	return rows
}

// printAgents tells, below the table, which agents act for edges that have several.
func printAgents(w io.Writer, rows []edgeRow) error {
	var cells [][]string
	for _, r := range rows {
		for _, a := range r.Agents {
			cells = append(cells, []string{r.ID, a.Name, a.Role, a.Since.UTC().Format(time.RFC3339), or(a.Status)})
		}
	}
	if len(cells) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return table(w, []string{"EDGE", "AGENT", "ROLE", "SINCE", "STATUS"}, cells)
}

func printEdges(w io.Writer, rows []edgeRow, form string) error {
	switch form {
	case "json":
		return printJSON(w, struct {
			Items []edgeRow `json:"items"`
		}{rows})
	case "yaml":
		return printYAML(w, rows)
	case "name":
		for _, r := range rows {
			if _, err := fmt.Fprintln(w, r.ID); err != nil {
				return err
			}
		}
		return nil
	}
	head := []string{"EDGE", "STATE", "APPLIED", "VPORTS", "TUNNEL", "VTEPS"}
	if form == "wide" {
		head = append(head, "MTU", "MULTICAST", "VERSION", "STATUS")
	}
	var cells [][]string
	for _, r := range rows {
		applied, tunnel := "-", "-"
		if r.State != edgeAway {
			applied = fmt.Sprintf("%d/%d", r.Applied, r.Wanted)
		}
		if len(r.Encaps) > 0 {
			tunnel = r.Encaps[0] // the one that it wants to be sent
		}
		row := []string{r.ID, r.State, applied, fmt.Sprint(r.VPorts), tunnel, or(strings.Join(r.VTEPs, ","))}
		if form == "wide" {
			row = append(row, number(uint16(r.MTU)), or(r.Multicast), or(r.Version), or(r.Status))
		}
		cells = append(cells, row)
	}
	if err := table(w, head, cells); err != nil {
		return err
	}
	if err := printAgents(w, rows); err != nil {
		return err
	}
	return printTroubles(w, rows)
}

// mostLacks bounds what is listed of what an edge lacks.
const mostLacks = 5

// printTroubles tells, below the table, why edges are not current.
func printTroubles(w io.Writer, rows []edgeRow) error {
	var lines []string
	for _, r := range rows {
		if r.Target != "" {
			lines = append(lines, r.ID+": "+r.Target)
		}
		for i, l := range r.Lacks {
			if i == mostLacks {
				lines = append(lines, fmt.Sprintf("%s: and %d more; -o json lists them", r.ID, len(r.Lacks)-i))
				break
			}
			lines = append(lines, r.ID+": "+l)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(lines, "\n"))
	return err
}
