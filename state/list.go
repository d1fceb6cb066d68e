package state

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	listPage     = 10_000 // keys per request
	listTogether = 64     // prefixes per request
)

// listing is the contents of prefixes at one revision.
type listing struct {
	watches  []*watch
	contents [][]Event
	revision int64
}

// read lists prefixes at one revision, page by page. If that is compacted meanwhile, it begins again.
func (w *Watcher) read(ctx context.Context, prefixes []string) ([][]Event, int64, error) {
	for {
		contents, revision, err := w.readOnce(ctx, prefixes)
		if !errors.Is(err, rpctypes.ErrCompacted) {
			return contents, revision, err
		}
	}
}

func (w *Watcher) readOnce(ctx context.Context, prefixes []string) ([][]Event, int64, error) {
	w.lists.Add(uint64(len(prefixes)))
	ops := make([]clientv3.Op, len(prefixes))
	for i, p := range prefixes {
		ops[i] = clientv3.OpGet(p, clientv3.WithPrefix(), clientv3.WithLimit(int64(max(1, w.page/len(prefixes)))))
	}
	resp, err := w.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, 0, err
	}
	contents := make([][]Event, len(prefixes))
	for i, p := range prefixes {
		page := resp.Responses[i].GetResponseRange()
		kvs, more := page.Kvs, page.More
		contents[i] = appendContents(nil, p, kvs)
		for more && len(kvs) > 0 {
			from := string(kvs[len(kvs)-1].Key) + "\x00"
			next, err := w.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(p)), clientv3.WithLimit(int64(w.page)), clientv3.WithRev(resp.Header.Revision))
			if err != nil {
				return nil, 0, err
			}
			kvs, more = next.Kvs, next.More
			contents[i] = appendContents(contents[i], p, kvs)
		}
	}
	return contents, resp.Header.Revision, nil
}

func appendContents(to []Event, prefix string, kvs []*mvccpb.KeyValue) []Event {
	for _, kv := range kvs {
		to = append(to, Event{Prefix: prefix, Key: string(kv.Key), Value: kv.Value, ModRevision: kv.ModRevision})
	}
	return to
}
