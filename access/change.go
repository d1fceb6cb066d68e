package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// Change is a change of users or tokens, as the log of changes has it.
type Change struct {
	Who           string // subject
	Verb          Verb
	Kind          topology.Kind
	Tenant, Name  string
	Before, After any // *User or *Token, without secrets; nil: absent
}

// errConflict: somebody else changed the same at the same time.
var errConflict = errors.New("changed by someone else")

// attempts of a read and a conditional write, before giving up.
const attempts = 16

// commit makes one transaction: the writes, and the record of the change, if the conditions hold. Reads of this server have it when it returns.
func (g *Guard) commit(ctx context.Context, c Change, conditions []clientv3.Cmp, writes ...clientv3.Op) error {
	if g.client == nil {
		return fmt.Errorf("%w: there is no database of users and tokens", ErrUnavailable)
	}
	if g.cfg.Record != nil {
		key, value, err := g.cfg.Record(c)
		if err != nil {
			return fmt.Errorf("access: record: %w", err)
		}
		writes = append(writes, clientv3.OpPut(key, string(value)))
	}
	resp, err := g.client.Txn(ctx).If(conditions...).Then(writes...).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !resp.Succeeded:
		return errConflict
	}
	if err := g.watcher.Wait(ctx, resp.Header.Revision); err != nil {
		return fmt.Errorf("access: it is done, but this server has not taken note of it yet: %w", err)
	}
	return nil
}

// put is a write of a value as JSON.
func put(key string, v any, opts ...clientv3.OpOption) (clientv3.Op, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return clientv3.Op{}, fmt.Errorf("access: encode: %w", err)
	}
	return clientv3.OpPut(key, string(b), opts...), nil
}

// at is the condition that a key was last written at a revision; 0: that it is absent.
func at(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}
