package state

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/conntrack"
)

// FindEither reads the connections that some keys belong to, by either direction, up to 64 in two looks, and calls fn with those that there are: i is the position of the key.
func (s *Store) FindEither(ctx context.Context, keys []conntrack.Key, fn func(i int, c StoredConn)) error {
	first := 0
	for part := range slices.Chunk(keys, maxFound) {
		names, at := make([]string, len(part)), make([]int, len(part))
		for i := range part {
			names[i], at[i] = connName(&part[i]), i
		}
		for len(names) > 0 { // at most twice: the second time by the names of first keys
			gets := make([]clientv3.Op, len(names))
			for i, name := range names {
				gets[i] = clientv3.OpGet(name)
			}
			resp, err := s.client.Txn(ctx).Then(gets...).Commit()
			if err != nil {
				return fmt.Errorf("state: connections: %w", err)
			}
			var others []string
			var otherAt []int
			for i, r := range resp.Responses {
				kvs := r.GetResponseRange().GetKvs()
				if len(kvs) == 0 {
					continue
				}
				if name, other := forwardName(kvs[0].Value); other {
					if name != names[i] {
						others, otherAt = append(others, name), append(otherAt, at[i])
					}
					continue
				}
				k := &part[at[i]]
				if c, err := decodeConn(kvs[0].Value, kvs[0].ModRevision); err == nil && (c.Forward == *k || c.Return() == *k) {
					fn(first+at[i], c)
				}
			}
			names, at = others, otherAt
		}
		first += len(part)
	}
	return nil
}
