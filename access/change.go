package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// change is a change of users or tokens, as the audit log has it.
type change struct {
	who           Identity
	verb          Verb
	kind          topology.Kind
	tenant, name  string
	before, after any // *User or *Token, without secrets; nil: absent
}

// record is the change in the audit log.
func (c *change) record(ctx context.Context, now time.Time) (*state.AuditRecord, error) {
	a := state.AuditChange{Kind: c.kind, Tenant: c.tenant, Name: c.name}
	var err error
	if c.before != nil {
		a.Before, err = json.Marshal(c.before)
	}
	if c.after != nil && err == nil {
		a.After, err = json.Marshal(c.after)
	}
	if err != nil {
		return nil, fmt.Errorf("access: record: %w", err)
	}
	return &state.AuditRecord{Time: now, Subject: c.who.Subject, Tenant: c.who.Tenant, Token: c.who.Token, Request: requestOf(ctx), Verb: string(c.verb), Changes: []state.AuditChange{a}}, nil
}

type requestKey struct{}

// WithRequest has changes recorded as of a request.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// errConflict: somebody else changed the same at the same time.
var errConflict = errors.New("changed by someone else")

// attempts of a read and a conditional write, before giving up.
const attempts = 16

// commit makes one transaction: the writes, and the record of the change, if the conditions hold. Reads of this server have it when it returns.
func (g *Guard) commit(ctx context.Context, c change, conditions []clientv3.Cmp, writes ...clientv3.Op) error {
	if g.client == nil {
		return fmt.Errorf("%w: there is no database of users and tokens", ErrUnavailable)
	}
	r, err := c.record(ctx, g.cfg.Now().UTC())
	if err != nil {
		return err
	}
	log, err := g.cfg.Store.AuditOp(ctx, r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	resp, err := g.client.Txn(ctx).If(conditions...).Then(append(writes, log)...).Commit()
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
