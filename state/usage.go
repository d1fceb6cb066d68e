package state

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
)

// Tally counts packets, and their bytes as they came in.
type Tally struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Add adds n.
func (t *Tally) Add(n Tally) { t.Packets, t.Bytes = t.Packets+n.Packets, t.Bytes+n.Bytes }

// Sub takes n away, down to zero.
func (t *Tally) Sub(n Tally) {
	*t = Tally{t.Packets - min(t.Packets, n.Packets), t.Bytes - min(t.Bytes, n.Bytes)}
}

// Less reports whether a counter that stands at t has counted less than one at o.
func (t Tally) Less(o Tally) bool { return t.Packets < o.Packets || t.Bytes < o.Bytes }

// Since returns what a counter that stands at t has counted since it stood at before, or since it began anew.
func (t Tally) Since(before Tally) Tally {
	if t.Less(before) {
		return t
	}
	return Tally{t.Packets - before.Packets, t.Bytes - before.Bytes}
}

// UsageTotals are what was accounted of a vport. They never decrease.
type UsageTotals struct {
	In      Tally `json:"in"`      // sent by an exterior port's hosts
	Out     Tally `json:"out"`     // delivered to them
	Crossed Tally `json:"crossed"` // came into a device by an interior port
}

// Add adds n.
func (t *UsageTotals) Add(n UsageTotals) {
	t.In.Add(n.In)
	t.Out.Add(n.Out)
	t.Crossed.Add(n.Crossed)
}

// UsageLive is what of a vport's totals was read from counters that the target had when they were written.
type UsageLive struct {
	In      Tally `json:"in"`
	Out     Tally `json:"out"` // but as one of a group
	Crossed Tally `json:"crossed"`
}

// Usage is what an edge has accounted of a vport (O4): of packets that came in at that edge. A vport's usage is the sum over all edges.
type Usage struct {
	Edge   string       `json:"-"`
	ID     flow.VPortID `json:"-"`
	Tenant string       `json:"tenant"` // as they were called last
	Name   string       `json:"name"`
	Link   string       `json:"link,omitempty"` // TENANT/NAME of an interior port's peer
	UsageTotals
	Live UsageLive `json:"live"`
	From time.Time `json:"from"` // by the clock of the edge's agent: since when
	To   time.Time `json:"to"`   // and until when
	Run  int64     `json:"run"`  // process that wrote it, and how often
	Seq  uint64    `json:"seq"`

	Revision int64 `json:"-"` // at which it was stored
}

func usageKey(edge string, v flow.VPortID) string {
	return usagePrefix + url.PathEscape(edge) + "/" + strconv.FormatUint(uint64(v), 10)
}

// SaveUsage stores what an edge has accounted, each if nothing newer than its Revision is stored. Each is told to done, with what is stored then: itself, or what stands in the way, which
// is empty if there is nothing any more. From several goroutines; with an error it may be stored, or not. A fence of ctx is its condition, too (WithFence).
func (s *Store) SaveUsage(ctx context.Context, all []Usage, done func(i int, stored Usage, err error)) {
	for i, u := range all {
		value, err := json.Marshal(u)
		if err == nil {
			err = s.writer.Submit(Op{Key: usageKey(u.Edge, u.ID), Value: value, Expect: u.Revision, fence: fenceOf(ctx)}, func(r OpResult, err error) {
				stored := u
				stored.Revision = r.Revision
				if err == nil && !r.Applied {
					stored = Usage{}
					if r.ModRevision != 0 {
						stored, err = parseUsage(usageKey(u.Edge, u.ID), r.Value, r.ModRevision)
					}
				}
				done(i, stored, err)
			})
		}
		if err != nil {
			done(i, Usage{}, err)
		}
	}
}

// Usage reads what edges have accounted; edge "": all.
func (s *Store) Usage(ctx context.Context, edge string) ([]Usage, error) {
	prefix := usagePrefix
	if edge != "" {
		prefix += url.PathEscape(edge) + "/"
	}
	return readAll(ctx, s, prefix, "usage", parseUsage)
}

// readAll reads the values under a prefix. What is not understood is left out, and said.
func readAll[T any](ctx context.Context, s *Store, prefix, what string, parse func(key string, value []byte, revision int64) (T, error)) (all []T, err error) {
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("state: %s: %w", what, err)
	}
	for _, kv := range resp.Kvs {
		x, err := parse(string(kv.Key), kv.Value, kv.ModRevision)
		if err != nil {
			s.log.Warn("key in the database is not understood", "key", string(kv.Key), "err", err)
			continue
		}
		all = append(all, x)
	}
	return all, nil
}

func parseUsage(key string, value []byte, revision int64) (u Usage, err error) {
	name, id, ok := strings.Cut(strings.TrimPrefix(key, usagePrefix), "/")
	edge, err := url.PathUnescape(name)
	if err != nil || !ok {
		return u, fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	port, err := parsePort(id)
	if err != nil {
		return u, fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	if err := json.Unmarshal(value, &u); err != nil {
		return u, fmt.Errorf("%w: %s: %w", ErrCodec, key, err)
	}
	u.Edge, u.ID, u.Revision = edge, port, revision
	return u, nil
}
