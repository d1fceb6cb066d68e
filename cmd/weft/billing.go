package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
)

// usageList is the output as JSON, and the input of --since.
type usageList struct {
	By    string          `json:"by"` // vport, tenant, link
	Items []view.UsageRow `json:"items"`
}

// usageQuery is what `weft usage` is asked for.
type usageQuery struct {
	vport, tenant string
	tenants, link bool
	since         string
}

func newUsageCommand() *cobra.Command {
	var at reach
	var out output
	var q usageQuery
	cmd := &cobra.Command{
		Use:   "usage [--tenants | --link] [--since FILE]",
		Short: "Show what vports, tenants and links have carried, for billing",
		Long: `Show how many packets and bytes exterior vports have sent and received, or
tenants (--tenants), or what passed links (--link), over all edges, as it was
stored last: at most some 20 s ago.

Totals never decrease, and go on when agents and targets start anew and vports
move. So the usage of a time is the difference of two readings: --since takes
an earlier reading, as -o json printed it, away from this one. FROM is since
when is counted, TO until when, RATE what is set of the vport or link now, in
bits a second.

Bytes are those of frames as they came in from the vport that sent them.`,
		Example: `  # What of each vport?
  weft usage

  # A month's bill
  weft usage --tenants -o json >june.json
  weft usage --tenants --since june.json -o csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, before := usageList{By: q.by()}, usageList{}
			if q.since != "" {
				var err error
				if before, err = readUsage(q.since, q.by()); err != nil {
					return err
				}
			}
			var err error
			if list.Items, err = q.rows(cmd, &at); err != nil {
				return err
			}
			if q.vport != "" && len(list.Items) == 0 {
				return fmt.Errorf("--vport %q: nothing is accounted of it", q.vport)
			}
			subtractUsage(list.Items, before.Items)
			return printUsage(cmd.OutOrStdout(), list, out.form)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.tenants, "tenants", false, "sum up the vports of each tenant")
	f.BoolVar(&q.link, "link", false, "show links, each direction by the port at its end")
	f.StringVar(&q.tenant, "tenant", "", "usage of `TENANT` alone")
	f.StringVar(&q.vport, "vport", "", "usage of the vport `TENANT/NAME` alone")
	f.StringVar(&q.since, "since", "", "take away what `FILE` has: an earlier output as JSON")
	cmd.MarkFlagsMutuallyExclusive("tenants", "link")
	cmd.MarkFlagsMutuallyExclusive("tenants", "vport")
	out.flags(cmd, "table", "json", "csv")
	at.flags(cmd)
	return cmd
}

// rows reads what was accounted.
func (q *usageQuery) rows(cmd *cobra.Command, at *reach) ([]view.UsageRow, error) {
	return viewedOr(cmd.Context(), at, "usage", url.Values{"tenant": {q.tenant}, "of": {q.vport}, "by": {q.by()}}, func(store *state.Store) ([]view.UsageRow, error) {
		all, err := store.Usage(cmd.Context(), "")
		rows := view.Usage(all, view.UsageQuery{Tenant: q.tenant, VPort: q.vport, Link: q.link, Tenants: q.tenants})
		view.AddRates(rows, view.Rates(store.View(), view.Of{}))
		return rows, err
	})
}

func (q *usageQuery) by() string {
	switch {
	case q.tenants:
		return "tenant"
	case q.link:
		return "link"
	}
	return "vport"
}

// readUsage reads an earlier output.
func readUsage(file, by string) (list usageList, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return list, fmt.Errorf("--since: %w", err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return list, usage(fmt.Errorf("--since %s: is no output of weft usage -o json: %w", file, err))
	}
	if list.By != by {
		return list, usage(fmt.Errorf("--since %s: is by %q, and this is by %s; use the same flags", file, list.By, by))
	}
	return list, nil
}

// subtractUsage takes an earlier reading away.
func subtractUsage(rows, before []view.UsageRow) {
	at := map[string]*view.UsageRow{}
	for i := range before {
		at[before[i].Tenant+" "+before[i].VPort] = &before[i]
	}
	for i := range rows {
		if b := at[rows[i].Tenant+" "+rows[i].VPort]; b != nil {
			rows[i].In.Sub(b.In)
			rows[i].Out.Sub(b.Out)
			rows[i].From = b.To
		}
	}
}

func printUsage(w io.Writer, list usageList, form string) error {
	if form == "json" {
		return printJSON(w, list)
	}
	head := []string{"TENANT", "VPORT", "SENT", "BYTES", "RECEIVED", "BYTES", "FROM", "TO", "RATE"}
	switch list.By {
	case "tenant":
		head = []string{"TENANT", "SENT", "BYTES", "RECEIVED", "BYTES", "FROM", "TO"}
	case "link":
		head = []string{"TENANT", "VPORT", "FROM PORT", "PACKETS", "BYTES", "FROM", "TO", "RATE"}
	}
	rows := make([][]string, 0, len(list.Items))
	for _, r := range list.Items {
		row := []string{or(r.Tenant)}
		if list.By != "tenant" {
			row = append(row, r.VPort)
		}
		if list.By == "link" {
			row = append(row, r.Link)
		}
		row = append(row, fmt.Sprint(r.In.Packets), fmt.Sprint(r.In.Bytes))
		if list.By != "link" {
			row = append(row, fmt.Sprint(r.Out.Packets), fmt.Sprint(r.Out.Bytes))
		}
		row = append(row, r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339))
		if list.By != "tenant" {
			rate := rateText(r.Rate)
			if form == "csv" {
				rate = fmt.Sprint(r.Rate)
			}
			row = append(row, rate)
		}
		rows = append(rows, row)
	}
	if form != "csv" {
		return table(w, head, rows)
	}
	c := csv.NewWriter(w)
	for i := range head {
		head[i] = strings.ToLower(strings.ReplaceAll(head[i], " ", "_"))
		if head[i] == "bytes" && head[i-1] != "packets" { // sent_bytes
			head[i] = head[i-1] + "_bytes"
		}
	}
	return errors.Join(c.Write(head), c.WriteAll(rows), c.Error())
}
