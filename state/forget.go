package state

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// leftPort is a port that left a bridge that stays.
type leftPort struct {
	bridge topology.DeviceID
	port   flow.VPortID
	mac    packet.MAC // that the configuration had behind it; zero: none
}

// forgetAtOnce is how many entries one transaction removes: fewer than any etcd takes.
const forgetAtOnce = 64

// forgetBehind removes what bridges learnt behind ports that left them: MACs, and the addresses at these. It reads what is stored, since this process may not follow the database, or not be
// that far; and once the ports are gone, since no MAC is learnt behind one that is not there. It is not in the transaction that takes the ports, in which thousands of entries, as many as
// a host can make up, find no room. Should it not come to its end, edges forget the rest as strays.
func (s *Store) forgetBehind(ctx context.Context, left []leftPort) error {
	bridges := map[topology.DeviceID][]leftPort{}
	for _, p := range left {
		bridges[p.bridge] = append(bridges[p.bridge], p)
	}
	for id, left := range bridges {
		gone, err := s.behind(ctx, id, left)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(gone, forgetAtOnce) {
			ops := make([]clientv3.Op, len(some))
			for i, kv := range some { // one that was learnt elsewhere in the meantime stays
				key := string(kv.Key)
				ops[i] = clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)}, []clientv3.Op{clientv3.OpDelete(key)}, nil)
			}
			if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
				return fmt.Errorf("state: forget what bridge %d learnt: %w", id, err)
			}
		}
	}
	return nil
}

// behind returns what a bridge learnt behind ports, as it is stored.
func (s *Store) behind(ctx context.Context, bridge topology.DeviceID, ports []leftPort) (gone []*mvccpb.KeyValue, err error) {
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(recordPrefix(bridge, recordFDB), clientv3.WithPrefix()), clientv3.OpGet(recordPrefix(bridge, recordARP), clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("state: what bridge %d learnt: %w", bridge, err)
	}
	macs := map[packet.MAC]bool{}
	for _, p := range ports {
		macs[p.mac] = true
	}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		k, badKey := parseDeviceKey(string(kv.Key))
		v, badValue := decodeFDB(kv.Value)
		if badKey == nil && badValue == nil && slices.ContainsFunc(ports, func(p leftPort) bool { return p.port == v.vport }) {
			macs[k.mac] = true
			gone = append(gone, kv)
		}
	}
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		if v, err := decodeNeigh(kv.Value); err == nil && v.known && macs[v.mac] {
			gone = append(gone, kv)
		}
	}
	return gone, nil
}
