package view

import (
	"cmp"
	"maps"
	"slices"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
)

// Rates are those that are set of vports and of links, each way of a link by the port by which packets come in, in order of name. By name a link is chosen by either end.
func Rates(v *state.View, of Of) []client.Rate {
	rows := []client.Rate{}
	for p := range v.Topology.VPorts() {
		row := client.Rate{VPort: p.Tenant + "/" + p.Name, Rate: uint64(p.Rate)}
		if !p.Exterior {
			rate := v.Topology.LinkRate(p.ID)
			row.Rate, row.Link = uint64(rate), portName(v.Topology, p.Peer)
			wants := v.Topology.LinkDemands(p.ID)
			for _, edge := range slices.Sorted(maps.Keys(wants)) {
				row.Shares = append(row.Shares, client.RateShare{Edge: edge, Share: uint64(rate.Share(wants, edge)), Wants: uint64(wants[edge])})
			}
		}
		if row.Rate != 0 && (of.Tenant == "" || of.Tenant == p.Tenant) && (of.Name == "" || of.Name == row.VPort || of.Name == row.Link) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b client.Rate) int { return cmp.Compare(a.VPort, b.VPort) })
	return rows
}

// AddRates tells what rates are set of the vports and links of which usage is.
func AddRates(rows []UsageRow, rates []client.Rate) {
	at := make(map[string]uint64, len(rates))
	for _, r := range rates {
		at[r.VPort] = r.Rate
	}
	for i := range rows {
		rows[i].Rate = at[rows[i].VPort]
	}
}
