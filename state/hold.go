package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	ackInterval = 100 * time.Millisecond
	ackRetry    = time.Second // after one that etcd did not take
)

// hold renews the lease and writes acknowledgements beyond stored until the edge is no longer ours.
func (r *Registration) hold(ctx context.Context, lease clientv3.LeaseID, rev int64, stored Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	renewed, ended := make(chan struct{}, 1), make(chan error, 2)
	go func() { ended <- r.renew(ctx, lease, renewed) }()
	go func() { ended <- r.guard(ctx, lease, rev) }()
	answer := make(chan error, 1) // of the one store under way: etcd may not answer for longer than the lease lives
	running, underWay := 2, false
	defer func() {
		cancel()
		for ; running > 0; running-- {
			<-ended
		}
		if underWay {
			<-answer
		}
	}()
	margin := r.cfg.TTL * 5 / 6 // stop before etcd lets others begin
	dead := time.NewTimer(margin)
	defer dead.Stop()
	pause := time.NewTimer(0) // of acknowledgements
	defer pause.Stop()
	ready, failed := false, false
	var storing Progress
	for {
		if at := r.progress(); ready && !at.equal(stored) {
			ready, underWay, storing = false, true, at
			go func() { answer <- r.store(ctx, lease, stored, at) }()
		}
		select {
		case err := <-answer:
			underWay = false
			switch {
			case errors.Is(err, ErrEdgeTaken):
				return err
			case err != nil:
				if !failed {
					r.cfg.Log.Warn("acknowledgement is not stored; it is tried again", "err", err)
				}
				failed = true
				pause.Reset(ackRetry)
				continue
			}
			stored, failed = storing, false
			pause.Reset(ackInterval)
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			running--
			return err
		case <-renewed:
			dead.Reset(margin)
		case <-dead.C:
			return fmt.Errorf("state: lease of edge %s: etcd hasn't answered for %v", r.info.ID, margin)
		case <-pause.C:
			ready = true
		case <-r.moved:
		}
	}
}

// guard returns why our keys are not ours any more. A watch that ends says nothing: the member that had it is gone, or the history that it would
// resume from was compacted; then the key itself is looked at, and watched from there.
func (r *Registration) guard(ctx context.Context, lease clientv3.LeaseID, rev int64) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		watch, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for resp := range r.client.Watch(watch, edgePrefix+r.info.ID+"/", clientv3.WithPrefix(), clientv3.WithRev(rev+1)) {
			if err := r.displaced(resp, lease); err != nil {
				cancel()
				return err
			}
		}
		cancel()
		for {
			retry.Reset(watchRetry)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-retry.C:
			}
			look, cancel := context.WithTimeout(ctx, r.cfg.TTL/3)
			resp, err := r.client.Get(look, liveKey(r.info.ID))
			cancel()
			if err != nil {
				continue
			}
			if err := r.owned(resp, lease); err != nil {
				return err
			}
			rev = resp.Header.Revision
			break
		}
	}
}

// displaced says what became of our keys, nil if they are still ours.
func (r *Registration) displaced(resp clientv3.WatchResponse, lease clientv3.LeaseID) error {
	for _, e := range resp.Events {
		key := string(e.Kv.Key)
		if key != liveKey(r.info.ID) && key != infoKey(r.info.ID) {
			continue
		}
		if e.Type == clientv3.EventTypeDelete {
			return fmt.Errorf("state: edge %s was removed from the database, or its lease ran out", r.info.ID)
		}
		if key == liveKey(r.info.ID) && clientv3.LeaseID(e.Kv.Lease) != lease {
			return fmt.Errorf("%w: %s", ErrEdgeTaken, r.info.ID)
		}
	}
	return nil
}

// owned is displaced for what was read.
func (r *Registration) owned(resp *clientv3.GetResponse, lease clientv3.LeaseID) error {
	switch {
	case len(resp.Kvs) == 0:
		return fmt.Errorf("state: edge %s was removed from the database, or its lease ran out", r.info.ID)
	case clientv3.LeaseID(resp.Kvs[0].Lease) != lease:
		return fmt.Errorf("%w: %s", ErrEdgeTaken, r.info.ID)
	}
	return nil
}

// store writes how far the edge is beyond what is stored, while it is ours.
func (r *Registration) store(ctx context.Context, lease clientv3.LeaseID, stored, at Progress) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TTL/3)
	defer cancel()
	puts, err := r.puts(lease, stored, at, false)
	if err != nil {
		return err
	}
	key := liveKey(r.info.ID)
	resp, err := r.client.Txn(ctx).
		If(append(r.cfg.Fence.conditions(), clientv3.Compare(clientv3.LeaseValue(key), "=", lease))...).
		Then(puts...).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return advised(err)
	}
	if !resp.Succeeded && len(resp.Responses[0].GetResponseRange().Kvs) > 0 {
		return fmt.Errorf("%w: %s", ErrEdgeTaken, r.info.ID)
	}
	return nil
}
