package state

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// AuditOp is the write of an audit record, for the transaction of a change of other data than objects. In the order of the log it is newer than the last change of objects and older than the next one: g
// comes behind the hexadecimal digits that those have there. Several are in order of time.
func (s *Store) AuditOp(ctx context.Context, r *AuditRecord) (clientv3.Op, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("state: audit record: %w", err)
	}
	resp, err := s.client.Get(ctx, generationKey, clientv3.WithKeysOnly())
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("state: read generation: %w", err)
	}
	generation := int64(0)
	if len(resp.Kvs) > 0 {
		generation = resp.Kvs[0].ModRevision
	}
	lease, err := s.noteLeases.of(ctx, s.client, s.cfg.AuditAge, time.Now())
	if err != nil {
		return clientv3.Op{}, err
	}
	key := fmt.Sprintf("%s%016x/g%016x/%s", auditPrefix, math.MaxInt64-generation, math.MaxInt64-r.Time.UnixNano(), r.Tenant)
	return clientv3.OpPut(key, string(value), clientv3.WithLease(lease)), nil
}
