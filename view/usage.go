package view

import (
	"cmp"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
)

// UsageRow is the usage of a vport, a tenant, or one direction of a link, over all edges.
type UsageRow struct {
	Tenant string      `json:"tenant"`
	VPort  string      `json:"vport,omitempty"` // TENANT/NAME
	Link   string      `json:"link,omitempty"`  // TENANT/NAME of the port at the link's other end
	In     state.Tally `json:"in"`              // vport: sent; link: came in by the vport, from the other end; tenant: sent by all its exterior vports
	Out    state.Tally `json:"out"`             // vport, tenant: delivered; link: nothing
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Rate   uint64      `json:"rate,omitempty"` // that is set of the vport, or of the link, in bits a second; none: no limit
}

// UsageQuery is which usage is asked for, and how it is summed up.
type UsageQuery struct {
	Tenant  string // of this one alone
	VPort   string // of this one alone, TENANT/NAME
	Link    bool   // links, each direction by the port at its end
	Tenants bool   // of each tenant's vports
}

// Usage sums up what edges have stored, as it is asked for, in order of name.
func Usage(all []state.Usage, q UsageQuery) []UsageRow {
	rows, named := map[string]*UsageRow{}, map[flow.VPortID]state.Usage{}
	for _, u := range all { // an edge that has not loaded a vport does not know its name
		if u.Name != "" {
			named[u.ID] = u
		}
	}
	for _, u := range all {
		if known, ok := named[u.ID]; ok && u.Name == "" {
			u.Tenant, u.Name, u.Link = known.Tenant, known.Name, known.Link
		}
		name := u.Tenant + "/" + u.Name
		if u.Name == "" {
			name = "vport " + u.ID.String() // what it was called is not known any more
		}
		if q.VPort != "" && q.VPort != name || q.Tenant != "" && q.Tenant != u.Tenant || (u.Link != "") != q.Link {
			continue
		}
		key := name
		row := UsageRow{Tenant: u.Tenant, VPort: name, Link: u.Link, In: u.In, Out: u.Out, From: u.From, To: u.To}
		switch {
		case q.Link:
			row.In, row.Out = u.Crossed, state.Tally{}
		case q.Tenants:
			key, row.VPort = u.Tenant, ""
		}
		if sum := rows[key]; sum != nil {
			sum.In.Add(row.In)
			sum.Out.Add(row.Out)
			if row.From.Before(sum.From) {
				sum.From = row.From
			}
			if row.To.After(sum.To) {
				sum.To = row.To
			}
			continue
		}
		rows[key] = &row
	}
	list := make([]UsageRow, 0, len(rows))
	for _, row := range rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, func(x, y UsageRow) int { return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.VPort, y.VPort)) })
	return list
}
