package state

import (
	"context"
	"fmt"
	"strconv"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

func wantPrefix(device topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(device, recordWant) + port.String() + "/"
}

// addWant takes note of what an edge wants of a link.
func (m *batch) addWant(k deviceKey, e Event) error {
	d := topology.LinkDemand{Port: k.port, Edge: k.edge}
	if !e.Deleted {
		bits, err := strconv.ParseUint(string(e.Value), 10, 63)
		if err != nil || bits == 0 {
			return fmt.Errorf("%w: key %s: %q is no rate", ErrCodec, e.Key, e.Value)
		}
		d.Wants = topology.BitRate(bits)
	}
	m.topo.Demands = append(m.topo.Demands, d)
	return nil
}

// SetDemand tells all edges what one of them wants to send over the link that leads to an interior port (Q1); 0: it does not use the link any more. What is said goes with the edge.
func (s *Store) SetDemand(ctx context.Context, port flow.VPortID, edge string, wants topology.BitRate) error {
	device, _, err := s.deviceOfPort(ctx, port)
	if err != nil || device == 0 {
		return err
	}
	key := wantPrefix(device, port) + edge
	if wants == 0 {
		_, err := s.forget(ctx, key, func([]byte) bool { return true })
		return err
	}
	lease := s.leaseOf(edge)
	if lease == 0 {
		return errUnregistered
	}
	op := Op{Key: key, Guard: portKey(device, port), Value: strconv.AppendUint(nil, uint64(wants), 10), Lease: lease}
	_, err = s.settle(ctx, op, func(res OpResult) (Op, bool) {
		op.Expect = res.ModRevision
		return op, true
	})
	return err
}
