package state

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const trimOps = 100 // deletes of one transaction

// TrimAudit removes records of the audit log beyond those that are kept: the oldest of those who have the most, down to where all have as many. Who changes much pushes out records of himself, and of nobody who
// has less.
func (s *Store) TrimAudit(ctx context.Context) error {
	count, err := s.client.Get(ctx, auditPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("state: audit log: %w", err)
	}
	if count.Count <= int64(s.cfg.MaxAudit) {
		return nil
	}
	of, err := s.auditKeys(ctx)
	if err != nil {
		return err
	}
	counts := make([]int, 0, len(of))
	for _, keys := range of {
		counts = append(counts, len(keys))
	}
	share := fairShare(counts, s.cfg.MaxAudit)
	var gone []string
	for _, tenant := range slices.Sorted(maps.Keys(of)) {
		if keys := of[tenant]; len(keys) > share {
			gone = append(gone, keys[share:]...) // the newest come first
		}
	}
	for some := range slices.Chunk(gone, trimOps) {
		ops := make([]clientv3.Op, len(some))
		for i, key := range some {
			ops[i] = clientv3.OpDelete(key)
		}
		if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return fmt.Errorf("state: audit log: %w", err)
		}
	}
	return nil
}

// auditKeys are the keys of all records, by whose they are, the newest first.
func (s *Store) auditKeys(ctx context.Context) (map[string][]string, error) {
	of := map[string][]string{}
	for from, more := auditPrefix, true; more; {
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(auditPrefix)), clientv3.WithKeysOnly(), clientv3.WithLimit(listPage))
		if err != nil {
			return nil, fmt.Errorf("state: audit log: %w", err)
		}
		for _, kv := range resp.Kvs {
			key := string(kv.Key)
			_, tenant := splitAuditKey(key)
			of[tenant] = append(of[tenant], key)
			from = key + "\x00"
		}
		more = resp.More && len(resp.Kvs) > 0
	}
	return of, nil
}

// fairShare is how many each may have of so many in all: what those leave who have less is for the others.
func fairShare(counts []int, all int) int {
	counts = slices.Sorted(slices.Values(counts))
	for i, n := range counts {
		each := all / (len(counts) - i)
		if n > each {
			return each
		}
		all -= n
	}
	return math.MaxInt // there is room for all
}
