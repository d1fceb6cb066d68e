package state

import (
	"context"
	"errors"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

func downKey(device topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(device, recordDown) + port.String()
}

// addDown takes note of a port whose link is down, or is not any more.
func (m *batch) addDown(k deviceKey, e Event) {
	m.topo.Links = append(m.topo.Links, topology.PortLink{Port: k.port, Down: !e.Deleted})
}

// errUnregistered: what would go with the edge can't be stored while the edge is not.
var errUnregistered = errors.New("state: the edge is not registered")

// SetLink tells all edges that the link of an exterior port that lives at this one is down, or that it is not (O2). What is said goes with the edge.
func (s *Store) SetLink(ctx context.Context, port flow.VPortID, edge string, down bool) error {
	device, _, err := s.deviceOfPort(ctx, port)
	if err != nil || device == 0 {
		return err
	}
	key := downKey(device, port)
	if !down {
		_, err := s.forget(ctx, key, func([]byte) bool { return true })
		return err
	}
	lease := s.leaseOf(edge)
	if lease == 0 {
		return errUnregistered
	}
	op := Op{Key: key, Guard: portKey(device, port), Value: []byte(edge), Lease: lease}
	_, err = s.settle(ctx, op, func(res OpResult) (Op, bool) {
		op.Expect = res.ModRevision // under the lease of now, whoever said it before
		return op, true
	})
	return err
}
