package access

import (
	"context"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// usage notes when tokens were used, and writes it behind: at most once a minute for each.
type usage struct {
	mu      sync.Mutex
	at      map[string]use // not written yet
	written map[string]time.Time
}

// use is of one token.
type use struct {
	when  time.Time
	lease clientv3.LeaseID // of the token, with which what is written here goes, too
}

const (
	usagePause = time.Minute
	maxUsage   = 100_000 // tokens that are remembered
)

func newUsage() *usage {
	return &usage{at: map[string]use{}, written: map[string]time.Time{}}
}

func (u *usage) note(t *storedToken, now time.Time) {
	id := t.ID
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.written[id]; ok && now.Sub(last) < usagePause || len(u.at) >= maxUsage {
		return
	}
	u.at[id] = use{now, clientv3.LeaseID(t.Lease)}
}

// take returns what is to be written.
func (u *usage) take() map[string]use {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := u.at
	u.at = map[string]use{}
	if len(u.written)+len(at) > maxUsage {
		clear(u.written)
	}
	for id, x := range at {
		u.written[id] = x.when
	}
	return at
}

func (u *usage) run(ctx context.Context, client *clientv3.Client) error {
	tick := time.NewTicker(usagePause / 12)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			u.write(ctx, client)
		}
	}
}

// write stores when tokens were used, of those that are there still. What fails is lost: the next use is written again.
func (u *usage) write(ctx context.Context, client *clientv3.Client) {
	for id, x := range u.take() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, _ = client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(tokenKey(id)), ">", 0)).
			Then(clientv3.OpPut(usedKey(id), strconv.FormatInt(x.when.Unix(), 10), clientv3.WithLease(x.lease))).Commit()
		cancel()
	}
}
