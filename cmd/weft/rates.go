package main

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
)

// rateList is the output as JSON.
type rateList struct {
	Items []client.Rate `json:"items"`
}

func newRates() *cobra.Command {
	var at reach
	var out output
	var of view.Of
	cmd := &cobra.Command{
		Use:   "rates [--tenant TENANT] [--vport TENANT/NAME]",
		Short: "Show rates of vports and links, and how edges share them",
		Long: `Show the rates that are set of vports and links, in bits a second, and how
edges share those of links now.

  VPORT  the vport; of a link, that by which packets come in from FROM: each
         way has the rate for itself
  FROM   the port at the link's other end; none: what the vport's host sends,
         and what it is sent, has the rate
  EDGE   an edge that uses the link now; none: the first that does has it all
  SHARE  what it may send
  WANTS  what it would, by what it saw in the last second

weft describe vport tells what was dropped for the rates of a vport, and weft
drops of all.`,
		Example: `  # Which rates are there?
  weft rates

  # Who has how much of a link?
  weft rates --vport acme/edge-up -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := ratesOf(cmd, &at, of)
			if err != nil {
				return err
			}
			if out.form == "json" {
				return printJSON(cmd.OutOrStdout(), rateList{rows})
			}
			return table(cmd.OutOrStdout(), []string{"VPORT", "FROM", "RATE", "EDGE", "SHARE", "WANTS"}, rateRows(rows))
		},
	}
	f := cmd.Flags()
	f.StringVar(&of.Tenant, "tenant", "", "of `TENANT` alone")
	f.StringVar(&of.Name, "vport", "", "of the vport `TENANT/NAME` alone, or of the link that it is an end of")
	out.flags(cmd, "table", "json")
	at.flags(cmd)
	return cmd
}

// ratesOf reads which rates are set.
func ratesOf(cmd *cobra.Command, at *reach, of view.Of) ([]client.Rate, error) {
	return viewedOr(cmd.Context(), at, "rates", url.Values{"tenant": {of.Tenant}, "of": {of.Name}}, func(store *state.Store) ([]client.Rate, error) {
		return view.Rates(store.View(), of), nil
	})
}

func rateRows(rates []client.Rate) (rows [][]string) {
	for _, r := range rates {
		row := []string{r.VPort, or(r.Link), rateText(r.Rate)}
		if len(r.Shares) == 0 {
			rows = append(rows, append(row, "-", "-", "-"))
		}
		for _, s := range r.Shares {
			rows = append(rows, append(slices.Clone(row), s.Edge, rateText(s.Share), rateText(s.Wants)))
		}
	}
	return rows
}

// rateText is a rate as it is set; none: no limit.
func rateText(rate uint64) string {
	if rate == 0 {
		return "-"
	}
	return bits(float64(rate))
}

// describeTime is how long agents have to tell what they dropped.
const describeTime = 5 * time.Second

// describeRates prints the rates of a vport or of its link, with the shares that edges have, and what was dropped of a vport's packets for them: that knows the agent of the edge where it is bound.
func describeRates(cmd *cobra.Command, n network, at *reach, vport string, bound []string) error {
	rates, err := n.Rates(cmd.Context(), vport)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	for _, r := range rates {
		if r.Link == "" {
			fmt.Fprintf(w, "rate      %s of what its host sends, and of what it is sent\n", rateText(r.Rate))
			continue
		}
		fmt.Fprintf(w, "rate      %s from %s to %s\n", rateText(r.Rate), r.Link, r.VPort)
		for _, s := range r.Shares {
			fmt.Fprintf(w, "share     edge %s may send %s to %s, and wants %s\n", s.Edge, rateText(s.Share), r.VPort, rateText(s.Wants))
		}
	}
	if len(bound) == 0 {
		return nil
	}
	q := flowQuery{vport: vport, edges: bound, timeout: describeTime}
	q.agentFlags(pflag.NewFlagSet("", pflag.ContinueOnError), "") // certificates as the environment has them
	list, err := q.drops(cmd, at)
	if err != nil {
		fmt.Fprintf(w, "dropped   is not known: %v\n", err)
		return nil
	}
	for _, d := range list.Drops {
		if slices.Contains([]string{"send rate", "receive rate", "link rate"}, d.Reason) {
			fmt.Fprintf(w, "dropped   %d packets at edge %s: %s\n", d.Packets, d.Edge, d.Reason)
		}
	}
	for _, e := range list.Errors {
		fmt.Fprintf(w, "dropped   is not known of edge %s: %s\n", e.Edge, e.Error)
	}
	return nil
}
