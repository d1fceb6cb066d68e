package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
)

// A block of ports is two keys (N2). That it is held goes with its process's lease. That translations of it may be stored stays, and keeps others from leasing it,
// until a sweep has found that none is.
//
//	             lease                    lease ends, or given back            sweep finds no translation
//	free ───────────────────▶ held+used ──────────────────────────────▶ used ───────────────────────────▶ free
//	  └─────────────────────── a translation of it is stored by who does not hold it ──▲

// BlockLease is the right of a process to give ports of its blocks, for as long as it renews it.
type BlockLease clientv3.LeaseID

// ErrLeaseGone: the database knows a lease no more.
var ErrLeaseGone = errors.New("state: the lease is gone")

// HeldBlock is a block that a process holds.
type HeldBlock struct {
	conntrack.Block
	Revision int64 // at which it was leased
}

// BlockUse is a block of which a connection to be stored has a source. If neither revision is given, nobody may hold it, and it is used from then on.
type BlockUse struct {
	conntrack.Block
	Held int64 // the process holds it, since this revision
	Used int64 // it is used, and was last marked as such at this revision
}

func blockKey(b *conntrack.Block) string { return string(b.Append([]byte(blockPrefix))) }

func heldKey(b *conntrack.Block) string { return string(b.Append([]byte(heldPrefix))) }

var usedValue = []byte{1}

// also is what a connection is to be stored with.
func (u *BlockUse) also(list []Also) []Also {
	switch {
	case u.Held != 0:
		return append(list, Also{Key: heldKey(&u.Block), Check: true, Expect: u.Held})
	case u.Used != 0:
		return append(list, Also{Key: blockKey(&u.Block), Check: true, Expect: u.Used})
	}
	return append(list, Also{Key: heldKey(&u.Block), Check: true, Absent: true}, Also{Key: blockKey(&u.Block), Value: usedValue})
}

// GrantBlocks begins a lease for blocks. It ends when it is not renewed for ttl, whole seconds and two at least.
func (s *Store) GrantBlocks(ctx context.Context, ttl time.Duration) (BlockLease, error) {
	grant, err := s.client.Grant(ctx, max(2, int64(ttl/time.Second)))
	if err != nil {
		return 0, fmt.Errorf("state: lease of blocks: %w", advised(err))
	}
	return BlockLease(grant.ID), nil
}

// RenewBlocks renews a lease with all its blocks, and returns for how long it holds from when it was called. ErrLeaseGone: it has ended.
func (s *Store) RenewBlocks(ctx context.Context, lease BlockLease) (time.Duration, error) {
	resp, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return 0, ErrLeaseGone
	case err != nil:
		return 0, fmt.Errorf("state: lease of blocks: %w", err)
	}
	return time.Duration(resp.TTL) * time.Second, nil
}

// EndBlocks ends a lease: its blocks are given back.
func (s *Store) EndBlocks(ctx context.Context, lease BlockLease) error {
	_, err := s.client.Revoke(ctx, clientv3.LeaseID(lease))
	return err
}

// maxLeased bounds the blocks of one LeaseBlocks: two keys each, in one transaction of an etcd of default settings.
const maxLeased = 32

// LeaseBlocks leases up to n blocks of an address that a device gives sources, of those that lie within ports first to last, for a process. There may be fewer,
// or none: others have them, or have stored translations of them. What the lease holds of them already is returned, too: a process may not have been told.
func (s *Store) LeaseBlocks(ctx context.Context, lease BlockLease, run int64, like conntrack.Block, first, last uint16, n int) ([]HeldBlock, error) {
	like.Index = 0
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(addressOf(blockKey(&like)), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(addressOf(heldKey(&like)), clientv3.WithPrefix()), // of keys alone etcd 3.7 does not tell the lease
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("state: blocks of %v: %w", like, err)
	}
	var used [conntrack.Blocks]bool
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		if b, ok := sibling(&like, kv.Key[len(blockPrefix):]); ok {
			used[b.Index] = true
		}
	}
	var got []HeldBlock
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		if b, ok := sibling(&like, kv.Key[len(heldPrefix):]); ok && BlockLease(kv.Lease) == lease && b.Within(first, last) {
			got = append(got, HeldBlock{b, kv.ModRevision})
		}
	}
	var want []conntrack.Block
	for _, i := range rand.Perm(conntrack.Blocks) {
		b := like
		if b.Index = uint16(i); !used[i] && b.Within(first, last) && len(want) < min(n, maxLeased) {
			want = append(want, b)
		}
	}
	if len(want) == 0 {
		return got, nil
	}
	ops, holder := make([]clientv3.Op, len(want)), strconv.FormatInt(run, 10)
	for i := range want {
		k, held := blockKey(&want[i]), heldKey(&want[i])
		ops[i] = clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(k), "=", 0)},
			[]clientv3.Op{clientv3.OpPut(k, string(usedValue)), clientv3.OpPut(held, holder, clientv3.WithLease(clientv3.LeaseID(lease)))}, nil)
	}
	done, err := s.client.Txn(ctx).Then(ops...).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return nil, ErrLeaseGone
	case err != nil:
		return nil, fmt.Errorf("state: blocks of %v: %w", like, advised(err))
	}
	for i, r := range done.Responses {
		if r.GetResponseTxn().GetSucceeded() {
			got = append(got, HeldBlock{want[i], done.Header.Revision})
		}
	}
	return got, nil
}

// addressOf is what the keys of all blocks of an address begin with, by that of one.
func addressOf(key string) string { return key[:len(key)-2] }

// sibling reads a block; false: it is not of the same address as another.
func sibling(like *conntrack.Block, raw []byte) (conntrack.Block, bool) {
	b, err := conntrack.ParseBlock(raw)
	at0 := b
	at0.Index = 0
	return b, err == nil && at0 == *like
}

// ReturnBlock gives a block back.
func (s *Store) ReturnBlock(ctx context.Context, b HeldBlock) error {
	_, err := s.writer.Do(ctx, Remove(heldKey(&b.Block), b.Revision))
	return err
}

// LostBlocks returns the blocks that a process was to hold and does not: its lease is gone, or the database was put back to an older state.
func (s *Store) LostBlocks(ctx context.Context, uses []BlockUse) (lost []HeldBlock, err error) {
	for i := range uses {
		u := &uses[i]
		if u.Held == 0 {
			continue
		}
		kv, _, err := s.getOne(ctx, heldKey(&u.Block))
		if err != nil {
			return nil, err
		}
		if kv == nil || kv.rev != u.Held {
			lost = append(lost, HeldBlock{u.Block, u.Held})
		}
	}
	return lost, nil
}

// unheldBlocks returns the blocks of which translations may be stored and that nobody holds, marked as used anew, with the revisions of that: who stores a translation on condition of an
// older mark has done so before, or has to mark the block, too.
func (s *Store) unheldBlocks(ctx context.Context) (map[conntrack.Block]int64, error) {
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(blockPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(heldPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("state: blocks: %w", err)
	}
	unheld := map[conntrack.Block]int64{}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		if b, err := conntrack.ParseBlock(kv.Key[len(blockPrefix):]); err == nil {
			unheld[b] = kv.ModRevision
		}
	}
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		if b, err := conntrack.ParseBlock(kv.Key[len(heldPrefix):]); err == nil {
			delete(unheld, b)
		}
	}
	for b, rev := range unheld {
		res, err := s.writer.Do(ctx, Swap(blockKey(&b), usedValue, rev))
		switch {
		case err != nil:
			return nil, err
		case res.Applied:
			unheld[b] = res.Revision
		default: // somebody else did
			delete(unheld, b)
		}
	}
	return unheld, nil
}

// freeBlocks lets blocks be leased again that nobody used since.
func (s *Store) freeBlocks(ctx context.Context, unused map[conntrack.Block]int64) error {
	for b, rev := range unused {
		if _, err := s.writer.Do(ctx, Remove(blockKey(&b), rev)); err != nil {
			return err
		}
	}
	return nil
}

// HeldBlocks returns how many blocks of an address, or of all if a is zero, processes hold now, by process.
func (s *Store) HeldBlocks(ctx context.Context, a flow.Addr) (map[int64]int, error) {
	resp, err := s.client.Get(ctx, heldPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("state: blocks: %w", err)
	}
	held := map[int64]int{}
	for _, kv := range resp.Kvs {
		run, err := strconv.ParseInt(string(kv.Value), 10, 64)
		b, bad := conntrack.ParseBlock(kv.Key[len(heldPrefix):])
		if err == nil && bad == nil && (a == flow.Addr{} || a == b.Addr) {
			held[run]++
		}
	}
	return held, nil
}

// Answers returns nil if the database does: a leader with a majority behind it.
func (s *Store) Answers(ctx context.Context) error {
	_, _, err := s.getOne(ctx, generationKey)
	return err
}

// Answered reports whether an error, or none, is what the database said. Else it did not answer.
func Answered(err error) bool {
	return err == nil || refused(err) || errors.Is(err, ErrFull) || errors.Is(err, ErrCodec) || errors.Is(err, ErrEdgeTaken)
}
