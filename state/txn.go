package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// idBlock takes ids for vports and devices (a bridge's id is its group's too: one 24-bit space) from the counter in etcd.
// The counter is written in the transaction that stores what has the ids, on condition that nobody else took any; so an id
// is never given twice, and never again after a failure.
type idBlock struct {
	stored uint32 // counter in etcd: last id given; 0 = none yet
	rev    int64  // its modification revision; 0 = absent
	last   uint32 // last id taken from this block
}

func parseIDs(value []byte, rev int64) (idBlock, error) {
	last, err := parseID(string(value))
	if err != nil {
		return idBlock{}, fmt.Errorf("state: id counter: %w", err)
	}
	return idBlock{stored: last, rev: rev, last: last}, nil
}

// next takes an id.
func (b *idBlock) next() (uint32, error) {
	if b.last >= maxID {
		return 0, ErrIDsExhausted
	}
	b.last++
	return b.last, nil
}

// commit adds what the transaction needs to keep the ids; nothing if none was taken.
func (b *idBlock) commit(t *txn) {
	if b.last == b.stored {
		return
	}
	t.unchanged(idsKey, b.rev)
	t.put(idsKey, []byte(strconv.FormatUint(uint64(b.last), 10)))
}

// writes is the last word on each key of a transaction; nil deletes.
type writes map[string][]byte

// txn collects the conditions and writes of one transaction.
type txn struct {
	cmps []clientv3.Cmp
	ops  []clientv3.Op
}

// unchanged requires that the key was last changed at revision rev; 0 = is absent.
func (t *txn) unchanged(key string, rev int64) {
	t.cmps = append(t.cmps, clientv3.Compare(clientv3.ModRevision(key), "=", rev))
}

func (t *txn) put(key string, value []byte) {
	t.ops = append(t.ops, clientv3.OpPut(key, string(value)))
}

func (t *txn) deletePrefix(prefix string) {
	t.ops = append(t.ops, clientv3.OpDelete(prefix, clientv3.WithPrefix()))
}

func (t *txn) write(w writes) {
	for _, key := range slices.Sorted(maps.Keys(w)) {
		if v := w[key]; v != nil {
			t.put(key, v)
		} else {
			t.ops = append(t.ops, clientv3.OpDelete(key))
		}
	}
}

// commit writes all or nothing; ErrConflict if a condition doesn't hold.
func (t *txn) commit(ctx context.Context, kv clientv3.KV) (int64, error) {
	resp, err := kv.Txn(ctx).If(t.cmps...).Then(t.ops...).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps) || errors.Is(err, rpctypes.ErrRequestTooLarge):
		return 0, fmt.Errorf("%w: %d operations; apply in parts, or raise etcd's max-txn-ops and max-request-bytes: %w", ErrTooLarge, len(t.ops), err)
	case err != nil && refused(err):
		return 0, fmt.Errorf("state: transaction of %d operations: %w", len(t.ops), advised(err))
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case !resp.Succeeded:
		return resp.Header.Revision, ErrConflict
	}
	return resp.Header.Revision, nil
}
