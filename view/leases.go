package view

import (
	"context"
	"fmt"
	"time"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Leases are the addresses in use of DHCP resources.
func Leases(ctx context.Context, store *state.Store, resources []topology.Ref) ([]client.Lease, error) {
	snap := store.View().Topology
	rows := []client.Lease{}
	for _, r := range resources {
		id, ok := snap.ID(r)
		d := snap.DHCP(topology.DeviceID(id))
		if !ok || d == nil {
			return nil, fmt.Errorf("%v: is not there: %w", r, state.ErrNotFound)
		}
		leases, err := store.Leases(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		for _, l := range leases {
			rows = append(rows, client.Lease{
				Resource: d.Tenant + "/" + d.Name, Address: l.Addr.String(), Use: l.Use.String(), MAC: l.Client.MAC.String(),
				VPort: portName(snap, l.Client.VPort), Left: int64(l.Left / time.Second), Reserved: d.Reserved(l.Addr),
			})
		}
	}
	return rows, nil
}
