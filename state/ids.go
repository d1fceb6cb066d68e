package state

import (
	"context"
	"fmt"
	"strconv"

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

func readIDs(ctx context.Context, kv clientv3.KV) (idBlock, error) {
	resp, err := kv.Get(ctx, idsKey)
	if err != nil {
		return idBlock{}, fmt.Errorf("state: read id counter: %w", err)
	}
	if len(resp.Kvs) == 0 {
		return idBlock{}, nil
	}
	return parseIDs(resp.Kvs[0].Value, resp.Kvs[0].ModRevision)
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

func (t *txn) delete(key string) { t.ops = append(t.ops, clientv3.OpDelete(key)) }

func (t *txn) deletePrefix(prefix string) {
	t.ops = append(t.ops, clientv3.OpDelete(prefix, clientv3.WithPrefix()))
}

// commit writes all or nothing; ErrConflict if a condition doesn't hold.
func (t *txn) commit(ctx context.Context, kv clientv3.KV) (int64, error) {
	if n := max(len(t.ops), len(t.cmps)); n > maxTxnOps {
		return 0, fmt.Errorf("%w: %d operations, %d would do", ErrTooLarge, n, maxTxnOps)
	}
	resp, err := kv.Txn(ctx).If(t.cmps...).Then(t.ops...).Commit()
	switch {
	case err != nil && refused(err):
		return 0, fmt.Errorf("state: transaction of %d operations: %w", len(t.ops), err)
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case !resp.Succeeded:
		return resp.Header.Revision, ErrConflict
	}
	return resp.Header.Revision, nil
}
