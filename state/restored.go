package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrRestored ends a Watcher, and with it Store.Run: etcd is behind what was read of it. It was restored from a backup, so that some of what is known
// never was; which of it can't be told by revisions, as they are given again. The process is to begin anew.
var ErrRestored = errors.New("state: etcd was restored from a backup since it was read: start this process again")

// verify looks, at the begin of a stream, whether etcd still has the history of which everything up to revision seen was read. It asks the whole cluster: a member that lags is no restored one.
func (w *Watcher) verify(ctx context.Context, key string, seen int64) error {
	for key != "" {
		resp, err := w.client.Get(ctx, key, clientv3.WithCountOnly())
		if err == nil {
			if is := resp.Header.Revision; is < seen {
				return readerError{fmt.Errorf("%w (it was at revision %d, and is at %d)", ErrRestored, seen, is)}
			}
			return nil
		}
		t := time.NewTimer(watchRetry)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}
