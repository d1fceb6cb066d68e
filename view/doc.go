// Package view reads what the network does: edges, where vports live, leases, connections, what was learnt, in the forms of package client.
package view

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// portName is a vport's TENANT/NAME, or its number if it is not known.
func portName(snap *topology.Snapshot, id flow.VPortID) string {
	if v := snap.VPort(id); v != nil {
		return v.Tenant + "/" + v.Name
	}
	return "vport " + id.String()
}
