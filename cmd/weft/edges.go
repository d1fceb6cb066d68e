package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
)

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
func chosenEdges(rows []client.Edge, ids []string) (chosen []client.Edge, unknown error) {
	if len(ids) == 0 {
		return rows, nil
	}
	for _, id := range ids {
		i := slices.IndexFunc(rows, func(r client.Edge) bool { return r.ID == id })
		if i < 0 {
			unknown = errors.Join(unknown, missing("edge %q: is neither known nor named by a binding", id))
			continue
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, unknown
}

// printAgents tells, below the table, which agents act for edges that have several.
func printAgents(w io.Writer, rows []client.Edge) error {
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

func printEdges(w io.Writer, rows []client.Edge, form string) error {
	switch form {
	case "json":
		return printItems(w, rows)
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
		if r.State != client.EdgeAway {
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
func printTroubles(w io.Writer, rows []client.Edge) error {
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
