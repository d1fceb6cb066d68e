package state

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// leaseKeeper keeps leases alive, whatever member of etcd's fails.
type leaseKeeper struct {
	client *clientv3.Client
	ttl    time.Duration
	of     string // what has the lease, for errors
}

// leave gives the lease back, so that nobody waits for it to run out.
func (k *leaseKeeper) leave(ctx context.Context, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	_, _ = k.client.Revoke(ctx, lease) // it runs out by itself otherwise
}

// renew sends a word each time that the lease was renewed, until the lease is gone. One member renews it each third of its TTL. If that is late, others
// are asked, in turn: that a member hangs shows in nothing else for longer than the lease lives.
func (k *leaseKeeper) renew(ctx context.Context, lease clientv3.LeaseID, renewed chan<- struct{}) error {
	stream, err := k.client.KeepAlive(ctx, lease)
	if err != nil {
		return fmt.Errorf("state: renew lease of %s: %w", k.of, err)
	}
	patience := k.ttl / 2
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-stream:
			if !ok { // the lease is gone, or that member has not answered for a TTL
				stream = nil
				late.Reset(0)
				continue
			}
		case <-late.C:
			there, err := k.renewOnce(ctx, lease)
			switch {
			case err != nil:
				late.Reset(k.ttl / 60)
				continue
			case !there:
				return fmt.Errorf("state: lease of %s ended", k.of)
			}
			if stream == nil {
				if stream, err = k.client.KeepAlive(ctx, lease); err != nil {
					return fmt.Errorf("state: renew lease of %s: %w", k.of, err)
				}
			}
		}
		late.Reset(patience)
		select {
		case renewed <- struct{}{}:
		default:
		}
	}
}

// renewOnce asks as many members as there are; the first answer counts. there is false if the lease is gone.
func (k *leaseKeeper) renewOnce(ctx context.Context, lease clientv3.LeaseID) (there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.ttl/10)
	defer cancel()
	if k.client.ActiveConnection() == nil { // the server in this process
		_, err := k.client.KeepAliveOnce(ctx, lease)
		return err == nil, err
	}
	type answer struct {
		there bool
		err   error
	}
	members := len(k.client.Endpoints())
	answers := make(chan answer, members)
	for range members {
		go func() {
			there, err := k.askRenewal(ctx, lease)
			answers <- answer{there, err}
		}()
	}
	for range members {
		a := <-answers
		if a.err == nil {
			return a.there, nil
		}
		err = a.err
	}
	return false, err
}

// askRenewal asks the member whose turn it is.
func (k *leaseKeeper) askRenewal(ctx context.Context, lease clientv3.LeaseID) (there bool, err error) {
	stream, err := pb.NewLeaseClient(k.client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return false, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return false, err
	}
	answer, err := stream.Recv()
	return err == nil && answer.TTL > 0, err
}
