package state

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// LeaseClient is who has a DHCP lease: a MAC at an exterior vport (K12). Comparable.
type LeaseClient struct {
	VPort flow.VPortID
	MAC   packet.MAC
}

// LeaseUse is what an address of a DHCP resource is used for.
type LeaseUse uint8

// Uses of an address.
const (
	LeaseFree     LeaseUse = iota // nobody has it
	LeaseOffered                  // kept for a client until it answers
	LeaseBound                    // a client's
	LeaseDeclined                 // a client found that a host has it already: nobody gets it for a while
)

// String returns the use in a word.
func (u LeaseUse) String() string {
	switch u {
	case LeaseFree:
		return "free"
	case LeaseOffered:
		return "offered"
	case LeaseBound:
		return "bound"
	case LeaseDeclined:
		return "declined"
	}
	return fmt.Sprintf("use %d", uint8(u))
}

// Lease is an address of a DHCP resource and who has it. Valid iff Use is not LeaseFree, but for Addr.
type Lease struct {
	Addr   netip.Addr
	Use    LeaseUse
	Client LeaseClient
}

// LeaseQuery asks what there is for a client.
type LeaseQuery struct {
	Resource *topology.DHCP
	Client   LeaseClient
	V6       bool
	Wish     netip.Addr // an address that it may want; invalid: none
	Search   bool       // find a free address if neither what it has nor the wish is good
	Try      int        // how often others were faster; from 1 on, the search looks elsewhere each time
}

// LeaseView is the answer: what WriteLease compares with.
type LeaseView struct {
	Held Lease      // what the client has; LeaseFree: nothing
	Wish Lease      // who has the wish; LeaseFree: nobody
	Free netip.Addr // found by Search; invalid: there is none, or it was not searched for
	Full bool       // the vport has as many addresses as it may have

	query     LeaseQuery
	held      int64 // modification revision of the client's key, and of its address's: they are written together; 0: absent
	wish      int64
	heldLease clientv3.LeaseID
}

// ReadLease looks up what a decision about a client needs.
func (s *Store) ReadLease(ctx context.Context, q LeaseQuery) (LeaseView, error) {
	v := LeaseView{query: q}
	id := q.Resource.ID
	ops := []clientv3.Op{clientv3.OpGet(clientKey(id, q.Client, q.V6)), clientv3.OpGet(portLeases(id, q.Client.VPort, q.V6), clientv3.WithPrefix(), clientv3.WithCountOnly())}
	if q.Wish.IsValid() {
		ops = append(ops, clientv3.OpGet(addrKey(id, q.Wish)))
	}
	resp, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return v, fmt.Errorf("state: lease of %v at vport %d: %w", q.Client.MAC, q.Client.VPort, err)
	}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		v.held, v.heldLease = kvs[0].ModRevision, clientv3.LeaseID(kvs[0].Lease)
		if v.Held, err = decodeClientLease(kvs[0].Value, q.Client); err != nil {
			return v, err
		}
	}
	v.Full = resp.Responses[1].GetResponseRange().Count >= int64(q.Resource.LeasesPerPort())
	if q.Wish.IsValid() {
		v.Wish = Lease{Addr: q.Wish}
		if kvs := resp.Responses[2].GetResponseRange().Kvs; len(kvs) > 0 {
			v.wish = kvs[0].ModRevision
			if v.Wish, err = decodeAddrLease(kvs[0].Value, q.Wish); err != nil {
				return v, err
			}
		}
	}
	has := v.Held.Use != LeaseFree && q.Resource.Assignable(q.Client.MAC, v.Held.Addr)
	wish := q.Wish.IsValid() && v.Wish.Use == LeaseFree && q.Resource.Assignable(q.Client.MAC, q.Wish)
	if q.Search && !has && !wish && !v.Full {
		v.Free, err = s.freeAddr(ctx, q)
	}
	return v, err
}

// freeAddr finds an address that nobody has, the same one each time if nothing changes: the first one from where the host's MAC says. Where much is taken, that is the same one for many
// hosts. So, once another was faster, it is any of the next free ones, as MAC and try say: of hosts that come at once, each round has many served, not one.
func (s *Store) freeAddr(ctx context.Context, q LeaseQuery) (netip.Addr, error) {
	for _, r := range q.Resource.Ranges(q.Client.MAC, q.V6) {
		from, end := addrKey(q.Resource.ID, r.First), addrKey(q.Resource.ID, r.Last)+"\x00"
		resp, err := s.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithCountOnly())
		if err != nil {
			return netip.Addr{}, fmt.Errorf("state: addresses of %v: %w", q.Resource, err)
		}
		if uint64(resp.Count) >= r.Size() {
			continue
		}
		for next := r.First; ; {
			resp, err = s.client.Get(ctx, addrKey(q.Resource.ID, next), clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(leasePage))
			if err != nil {
				return netip.Addr{}, fmt.Errorf("state: addresses of %v: %w", q.Resource, err)
			}
			taken := make(map[string]bool, len(resp.Kvs))
			for _, kv := range resp.Kvs {
				taken[string(kv.Key)] = true
			}
			last := r.Last
			if resp.More {
				if last, err = parseAddrKey(string(resp.Kvs[len(resp.Kvs)-1].Key)); err != nil {
					return netip.Addr{}, err
				}
			}
			var free []netip.Addr
			for ; next.IsValid() && next.Compare(last) <= 0 && len(free) < leasePage; next = next.Next() {
				if taken[addrKey(q.Resource.ID, next)] || q.Resource.Reserved(next) {
					continue
				}
				if q.Try == 0 {
					return next, nil
				}
				free = append(free, next)
			}
			if len(free) > 0 {
				return free[q.spread()%uint64(len(free))], nil
			}
			if !resp.More || !next.IsValid() {
				break
			}
		}
	}
	return netip.Addr{}, nil
}

// spread is a number for a host and try.
func (q *LeaseQuery) spread() uint64 {
	h := fnv.New64a()
	h.Write(q.Client.MAC[:])
	h.Write([]byte{byte(q.Try)})
	return h.Sum64()
}

// leasePage is how many addresses the search reads at once.
const leasePage = 512

// errTTL: etcd counts in seconds.
var errTTL = errors.New("state: a lease of less than a second")

// WriteLease offers or binds an address to the client of a view, for ttl from some moment of this call on, on condition that nothing of what the view
// says has changed: else ErrConflict, and nothing is written. The address must be the client's, the view's wish or its free one. What the client had
// before goes; an address that the same MAC has at another vport moves.
func (s *Store) WriteLease(ctx context.Context, v *LeaseView, addr netip.Addr, use LeaseUse, ttl time.Duration) error {
	q := v.query
	id, client := q.Resource.ID, q.Client
	var t leaseTxn
	t.unchanged(clientKey(id, client, q.V6), v.held)
	switch {
	case v.Held.Use != LeaseFree && addr == v.Held.Addr:
		t.unchanged(addrKey(id, addr), v.held)
	case addr == v.Wish.Addr:
		t.unchanged(addrKey(id, addr), v.wish)
		if v.Wish.Use != LeaseFree && v.Wish.Client != client {
			t.delete(clientKey(id, v.Wish.Client, q.V6))
		}
	default:
		t.unchanged(addrKey(id, addr), 0)
	}
	if v.Held.Use != LeaseFree && addr != v.Held.Addr {
		t.delete(addrKey(id, v.Held.Addr))
	}
	l := Lease{Addr: addr, Use: use, Client: client}
	t.put(clientKey(id, client, q.V6), appendClientLease(nil, l))
	t.put(addrKey(id, addr), appendAddrLease(nil, l))
	return t.commit(ctx, s.client, selfKey(id), ttl, v.heldLease)
}

// DeclineLease takes an address from a client who found that it is used, and gives it to nobody for ttl. It reports whether it was the client's.
func (s *Store) DeclineLease(ctx context.Context, resource *topology.DHCP, client LeaseClient, addr netip.Addr, ttl time.Duration) (bool, error) {
	return s.endLease(ctx, resource, client, addr, func(t *leaseTxn, l Lease, old clientv3.LeaseID) error {
		l.Use = LeaseDeclined
		t.delete(clientKey(resource.ID, client, addr.Is6()))
		t.put(addrKey(resource.ID, addr), appendAddrLease(nil, l))
		t.put(declinedKey(resource.ID, client.VPort, addr), []byte{leaseVersion})
		return t.commit(ctx, s.client, "", ttl, old)
	})
}

// ReleaseLease takes an address back that a client no longer wants. It reports whether it was the client's.
func (s *Store) ReleaseLease(ctx context.Context, resource *topology.DHCP, client LeaseClient, addr netip.Addr) (bool, error) {
	return s.endLease(ctx, resource, client, addr, func(t *leaseTxn, _ Lease, old clientv3.LeaseID) error {
		t.delete(clientKey(resource.ID, client, addr.Is6()))
		t.delete(addrKey(resource.ID, addr))
		return t.commit(ctx, s.client, "", 0, old)
	})
}

// endLease ends what a client has, if that is addr.
func (s *Store) endLease(ctx context.Context, d *topology.DHCP, client LeaseClient, addr netip.Addr, end func(*leaseTxn, Lease, clientv3.LeaseID) error) (bool, error) {
	for range casAttempts {
		v, err := s.ReadLease(ctx, LeaseQuery{Resource: d, Client: client, V6: addr.Is6()})
		if err != nil || v.Held.Use == LeaseFree || v.Held.Addr != addr {
			return false, err
		}
		var t leaseTxn
		t.unchanged(clientKey(d.ID, client, addr.Is6()), v.held)
		t.unchanged(addrKey(d.ID, addr), v.held)
		if err := end(&t, v.Held, v.heldLease); !errors.Is(err, ErrConflict) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("state: lease of %v: %w", addr, ErrConflict)
}

// leaseTxn is a change of leases: what it puts lives as long as one etcd lease.
type leaseTxn struct {
	txn
	puts []clientv3.Op
}

func (t *leaseTxn) put(key string, value []byte) {
	t.puts = append(t.puts, clientv3.OpPut(key, string(value)))
}

func (t *leaseTxn) delete(key string) { t.ops = append(t.ops, clientv3.OpDelete(key)) }

// commit writes under an etcd lease of its own, and ends the one that it replaces. guard: a key that must exist; "" is none.
func (t *leaseTxn) commit(ctx context.Context, c *clientv3.Client, guard string, ttl time.Duration, old clientv3.LeaseID) error {
	end := func(id clientv3.LeaseID) {
		if id != 0 {
			_, _ = c.Revoke(context.WithoutCancel(ctx), id) // nothing is in it any more, and it lapses by itself
		}
	}
	var fresh clientv3.LeaseID
	if len(t.puts) > 0 {
		if ttl < time.Second {
			return errTTL
		}
		grant, err := c.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		if err != nil {
			return fmt.Errorf("state: grant a lease of %v: %w", ttl, advised(err))
		}
		fresh = grant.ID
		for _, op := range t.puts {
			t.ops = append(t.ops, clientv3.OpPut(string(op.KeyBytes()), string(op.ValueBytes()), clientv3.WithLease(fresh)))
		}
	}
	if guard != "" {
		t.cmps = append(t.cmps, clientv3.Compare(clientv3.CreateRevision(guard), ">", 0))
	}
	_, err := t.txn.commit(ctx, c)
	switch {
	case err == nil:
		end(old)
	case errors.Is(err, ErrConflict):
		end(fresh)
	}
	return err
}

// ListedLease is an address of a resource as operators see it.
type ListedLease struct {
	Lease
	Resource topology.DeviceID
	Left     time.Duration // until it is free, unless it is renewed
}

// Leases returns the addresses of a resource that are not free, in order of address; 0: of all resources.
func (s *Store) Leases(ctx context.Context, resource topology.DeviceID) ([]ListedLease, error) {
	prefix := dhcpPrefix
	if resource != 0 {
		prefix = leasePrefix(resource) + "addr/"
	}
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("state: leases: %w", err)
	}
	var out []ListedLease
	left := make([]time.Duration, len(resp.Kvs))
	ask, asking := errgroup.WithContext(ctx)
	ask.SetLimit(leaseAsks)
	for i, kv := range resp.Kvs {
		addr, err := parseAddrKey(string(kv.Key))
		if err != nil {
			continue // a client's key
		}
		l, err := decodeAddrLease(kv.Value, addr)
		if err != nil {
			_ = ask.Wait()
			return nil, err
		}
		at := len(out)
		out = append(out, ListedLease{Lease: l, Resource: resourceOfKey(string(kv.Key))})
		ask.Go(func() error {
			ttl, err := s.client.TimeToLive(asking, clientv3.LeaseID(resp.Kvs[i].Lease))
			if err != nil {
				return fmt.Errorf("state: lease of %v: %w", addr, err)
			}
			left[at] = time.Duration(max(ttl.TTL, 0)) * time.Second
			return nil
		})
	}
	if err := ask.Wait(); err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Left = left[i]
	}
	return out, nil
}

// leaseAsks is of how many leases etcd is asked at once how long they last: one after the other, a pool of tens of thousands takes a round trip for each.
const leaseAsks = 64
