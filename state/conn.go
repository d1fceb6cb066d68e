package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/conntrack"
)

// StoredConn is a connection as it is in the database.
type StoredConn struct {
	conntrack.Conn
	Revision int64 // of its last change
}

// maxSweptWords bounds what one sweep of inboxes reads.
const maxSweptWords = 10_000

// returnKey is the first byte of what is stored under the name of a connection's other key. The name of the first one follows.
const returnKey = 0x81

// connName is where a key's connection is stored. Names are shorter than keys, of which the value has one, and the other follows from it.
func connName(k *conntrack.Key) string {
	name := k.Name()
	return connPrefix + string(name[:])
}

func inboxOf(run int64) string { return inboxPrefix + strconv.FormatInt(run, 16) + "/" }

func returnValue(c *conntrack.Conn) []byte {
	name := c.Forward.Name()
	return append([]byte{returnKey}, name[:]...)
}

// forwardName reads the name of a connection's first key from what is stored under that of the other; ok is false if the value is not of that kind.
func forwardName(value []byte) (name string, ok bool) {
	if len(value) == 1+conntrack.NameLen && value[0] == returnKey {
		return connPrefix + string(value[1:]), true
	}
	return "", false
}

// FindConn reads the connection that a key belongs to, by either direction, as the database has it now; found is false if there is none (C5): then
// c.Revision is that of the database when there was none.
func (s *Store) FindConn(ctx context.Context, k conntrack.Key) (c StoredConn, found bool, err error) {
	kv, at, err := s.getOne(ctx, connName(&k))
	c.Revision = at
	if err != nil || kv == nil {
		return c, false, err
	}
	if name, other := forwardName(kv.value); other {
		if kv, _, err = s.getOne(ctx, name); err != nil || kv == nil {
			return c, false, err
		}
	}
	now, err := decodeConn(kv.value, kv.rev)
	if err != nil || now.Forward != k && now.Return() != k {
		return c, false, err
	}
	return now, true, nil
}

// maxFound bounds the keys of one FindConns.
const maxFound = 64

// FindConns reads the connections whose first packets had some keys, in one look for up to 64, and calls fn with each: what there is, as FindConn.
func (s *Store) FindConns(ctx context.Context, keys []conntrack.Key, fn func(k conntrack.Key, c StoredConn, found bool)) error {
	for part := range slices.Chunk(keys, maxFound) {
		var gets []clientv3.Op
		for i := range part {
			gets = append(gets, clientv3.OpGet(connName(&part[i])))
		}
		resp, err := s.client.Txn(ctx).Then(gets...).Commit()
		if err != nil {
			return fmt.Errorf("state: connections: %w", err)
		}
		for i, r := range resp.Responses {
			kvs, c, found := r.GetResponseRange().GetKvs(), StoredConn{Revision: resp.Header.Revision}, false
			if len(kvs) > 0 {
				if now, err := decodeConn(kvs[0].Value, kvs[0].ModRevision); err == nil && now.Forward == part[i] {
					c, found = now, true
				}
			}
			fn(part[i], c, found)
		}
	}
	return nil
}

type oneKV struct {
	value []byte
	rev   int64
}

// getOne reads a key, and tells the database's revision then.
func (s *Store) getOne(ctx context.Context, key string) (kv *oneKV, at int64, err error) {
	resp, err := s.client.Get(ctx, key)
	if err != nil {
		return nil, 0, fmt.Errorf("state: connection: %w", err)
	}
	if len(resp.Kvs) > 0 {
		kv = &oneKV{resp.Kvs[0].Value, resp.Kvs[0].ModRevision}
	}
	return kv, resp.Header.Revision, nil
}

func decodeConn(value []byte, rev int64) (StoredConn, error) {
	c, err := conntrack.ParseConn(value)
	if err != nil {
		return StoredConn{}, fmt.Errorf("state: connection: %w", err)
	}
	return StoredConn{c, rev}, nil
}

// creation writes a connection under both its keys, the one of its answers behind it.
func creation(c *conntrack.Conn, blocks []BlockUse) (Op, error) {
	ret := c.Return()
	if ret == c.Forward {
		return Op{}, errors.New("state: connection with itself")
	}
	op := Op{Key: connName(&c.Forward), Value: c.Append(nil), Also: []Also{{Key: connName(&ret), Value: returnValue(c), Absent: true}}}
	for i := range blocks {
		op.Also = blocks[i].also(op.Also)
	}
	return op, nil
}

// CreateConnThen is CreateConn of a connection that replaces none and whose client's member need not be remembered. It does not wait: done is called once, by another goroutine, and must
// not block. What is not sent within wait is not stored.
func (s *Store) CreateConnThen(ctx context.Context, c *conntrack.Conn, blocks []BlockUse, wait time.Duration, done func(revision int64, created bool, err error)) {
	op, err := creation(c, blocks)
	if err == nil {
		op.fence = fenceOf(ctx)
		err = s.writer.submit(op, time.Now().Add(wait), func(res OpResult, err error) { done(res.Revision, res.Applied, err) })
	}
	if err != nil {
		done(0, false, err)
	}
}

// CreateConn stores a connection under both its keys, if neither is there (C1, N2). created is false if one is: then the connection must be looked for
// again, or translated otherwise. old is one that it replaces, with the revision at which it is still to be there; nil if there is none; the processes
// tell are told. stick is the member to remember for its client, on condition that nobody did since it was read; nil if none is. blocks are those of which it
// has a source, and are to be as they say.
func (s *Store) CreateConn(ctx context.Context, c conntrack.Conn, old *StoredConn, tell []int64, stick *Sticky, blocks ...BlockUse) (revision int64, created bool, err error) {
	op, err := creation(&c, blocks)
	if err != nil {
		return 0, false, err
	}
	if old != nil {
		before := old.Return()
		op.Expect = old.Revision
		op.Also = append(op.Also, telling(old, tell)...)
		if before == c.Return() {
			op.Also[0].Absent = false
		} else {
			op.Also = append(op.Also, Also{Key: connName(&before), Delete: true})
		}
	}
	if stick != nil {
		lease, err := s.sticky.of(ctx, s.client, stick.Timeout, s.cfg.Now())
		if err != nil {
			return 0, false, err
		}
		op.Also = append(op.Also, stick.also(lease))
	}
	res, err := s.writer.Do(ctx, op)
	return res.Revision, res.Applied, err
}

// UpdateConn stores another state or other owners of a connection, if it is as it was read, and tells processes to look at it. If it is
// not, updated is false and now is what it is; now.Revision is 0 if it is gone.
func (s *Store) UpdateConn(ctx context.Context, c StoredConn, tell ...int64) (now StoredConn, updated bool, err error) {
	op := Swap(connName(&c.Forward), c.Append(nil), c.Revision)
	op.Also = telling(&c, tell)
	return s.changeConn(ctx, &c, op)
}

// DeleteConn removes a connection, as UpdateConn.
func (s *Store) DeleteConn(ctx context.Context, c StoredConn, tell ...int64) (now StoredConn, deleted bool, err error) {
	ret := c.Return()
	op := Remove(connName(&c.Forward), c.Revision)
	op.Also = append(telling(&c, tell), Also{Key: connName(&ret), Delete: true})
	return s.changeConn(ctx, &c, op)
}

func telling(c *StoredConn, runs []int64) (list []Also) {
	for _, run := range runs {
		list = append(list, Also{Key: string(c.Forward.Append([]byte(inboxOf(run)))), Value: []byte{1}})
	}
	return list
}

func (s *Store) changeConn(ctx context.Context, c *StoredConn, op Op) (now StoredConn, changed bool, err error) {
	res, err := s.writer.Do(ctx, op)
	switch {
	case err != nil:
		return now, false, err
	case res.Applied:
		now = *c
		now.Revision = res.Revision
		return now, true, nil
	case res.ModRevision == 0:
		return now, false, nil
	}
	now, err = decodeConn(res.Value, res.ModRevision)
	return now, false, err
}

// Heard takes a word that was understood out of the database.
func (s *Store) Heard(ctx context.Context, t Told) error {
	_, err := s.writer.Do(ctx, Op{Key: string(t.Key.Append([]byte(inboxOf(t.Run)))), Delete: true, Expect: anyRevision})
	return err
}

// addTold takes a word of another edge.
func (m *batch) addTold(e Event) error {
	if e.Deleted {
		return nil
	}
	name, raw, _ := strings.Cut(strings.TrimPrefix(e.Key, inboxPrefix), "/")
	run, err := strconv.ParseInt(name, 16, 64)
	if err != nil {
		return err
	}
	k, err := conntrack.ParseKey([]byte(raw))
	if err == nil {
		m.told = append(m.told, Told{run, k})
	}
	return err
}

// Connections calls fn with every connection that is stored, page by page, until it returns an error. What changes meanwhile may be missing.
func (s *Store) Connections(ctx context.Context, fn func(StoredConn) error) error {
	const page = 512
	for from := connPrefix; ; {
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(connPrefix)), clientv3.WithLimit(page))
		if err != nil {
			return fmt.Errorf("state: connections: %w", err)
		}
		for _, kv := range resp.Kvs {
			if _, other := forwardName(kv.Value); other {
				continue
			}
			c, err := decodeConn(kv.Value, kv.ModRevision)
			if err != nil {
				s.log.Warn("value in the database is not understood", "key", hex.EncodeToString(kv.Key), "err", err)
				continue
			}
			if err := fn(c); err != nil {
				return err
			}
		}
		if !resp.More {
			return nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// SweepConns removes connections that no process owns any more: neither owner is among those that live, now and at the sweep before (seen). It returns
// what is to be handed to the next sweep. Blocks that nobody holds, and of which no translation is stored any more, can be leased again then.
func (s *Store) SweepConns(ctx context.Context, live map[int64]bool, seen map[conntrack.Key]int64) (map[conntrack.Key]int64, int, error) {
	next, removed := map[conntrack.Key]int64{}, 0
	unheld, err := s.unheldBlocks(ctx)
	if err != nil {
		return seen, 0, err
	}
	var of []conntrack.Block
	err = s.Connections(ctx, func(c StoredConn) error {
		of = c.Blocks(of[:0])
		for _, b := range of {
			delete(unheld, b)
		}
		switch {
		case live[c.ForwardOwner] || live[c.ReturnOwner]:
		case seen[c.Forward] != c.Revision:
			next[c.Forward] = c.Revision
		default:
			if _, gone, err := s.DeleteConn(ctx, c, c.Owners(0)...); err == nil && gone { // who was only away hears of it
				removed++
			}
		}
		return nil
	})
	if err == nil {
		err = s.freeBlocks(ctx, unheld)
	}
	if err != nil {
		return seen, removed, err
	}
	return next, removed, nil
}

// SweepInboxes removes the words to processes that are gone: neither among those that live nor, for two sweeps, among those that were seen. It returns what
// is to be handed to the next sweep.
func (s *Store) SweepInboxes(ctx context.Context, live, seen map[int64]bool) (map[int64]bool, error) {
	next := map[int64]bool{}
	resp, err := s.client.Get(ctx, inboxPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(maxSweptWords))
	if err != nil {
		return seen, fmt.Errorf("state: inboxes: %w", err)
	}
	for _, kv := range resp.Kvs {
		name, _, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), inboxPrefix), "/")
		if run, err := strconv.ParseInt(name, 16, 64); err == nil && !live[run] {
			next[run] = true
		}
	}
	for run := range next {
		if !seen[run] {
			continue
		}
		if _, err := s.client.Delete(ctx, inboxOf(run), clientv3.WithPrefix()); err != nil {
			return seen, fmt.Errorf("state: inboxes: %w", err)
		}
		delete(next, run)
	}
	return next, nil
}
