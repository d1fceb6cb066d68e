package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const (
	// vpnTTL is the lease of a VPN's holder: how long nobody serves when a host vanishes, but for what etcd takes to notice.
	vpnTTL = 3 * time.Second
	// vpnMargin is how long before its lease can lapse a holder that can't renew it takes its link down.
	vpnMargin = 700 * time.Millisecond
	vpnRenew  = vpnTTL / 6

	firstVPNVLAN, lastVPNVLAN = 2, 4094
)

// VPNHold is a VPN in the hands of an edge of this process. Run keeps it.
type VPNHold struct {
	leaseKeeper
	name     string
	lease    clientv3.LeaseID
	rev      int64 // of the lock: the fence of what the holder writes
	Lock     VPNLock
	deadline atomic.Int64 // until when it surely is in force, since began
	wall     atomic.Int64 // the same by the wall clock, in Unix nanoseconds
	began    time.Time
	granted  time.Duration // by etcd
}

// HoldVPN takes the lock of a VPN that nobody has, as it was seen, for an edge, and binds its ports to VLANs of an interface that nobody else has there: one transaction. ErrConflict: somebody
// was faster, or the VPN is another now.
func (s *Store) HoldVPN(ctx context.Context, seen VPNRecord, edge, iface string) (*VPNHold, error) {
	ctx, cancel := context.WithTimeout(ctx, vpnTTL)
	defer cancel()
	site := seen.Site
	if site == nil || seen.Lock != nil {
		return nil, ErrConflict
	}
	vlans, err := s.freeVLANs(ctx, edge, iface)
	if err != nil {
		return nil, err
	}
	h := &VPNHold{leaseKeeper: leaseKeeper{s.client, vpnTTL, "VPN " + site.Name}, name: site.Name, began: time.Now()}
	h.Lock = VPNLock{Edge: edge, Since: h.began.UTC(), Private: VPNPlace{iface, vlans[0]}}
	if site.Public != nil {
		h.Lock.Public = &VPNPlace{iface, vlans[1]}
	}
	grant, err := s.client.Grant(ctx, int64(vpnTTL/time.Second))
	if err != nil {
		return nil, fmt.Errorf("state: VPN %s: lease: %w", site.Name, advised(err))
	}
	h.lease, h.granted = grant.ID, min(vpnTTL, time.Duration(grant.TTL)*time.Second)
	h.extend(h.began)
	if h.rev, err = h.commit(ctx, seen); err != nil {
		h.leave(ctx, h.lease)
		return nil, fmt.Errorf("state: VPN %s: %w", site.Name, err)
	}
	return h, nil
}

// commit takes the lock and binds the ports.
func (h *VPNHold) commit(ctx context.Context, seen VPNRecord) (int64, error) {
	tenant, name, _ := strings.Cut(h.name, "/")
	var t txn
	put := func(key string, value any) error {
		raw, err := json.Marshal(value)
		if err == nil {
			t.unchanged(key, 0)
			t.ops = append(t.ops, clientv3.OpPut(key, string(raw), clientv3.WithLease(h.lease)))
		}
		return err
	}
	t.unchanged(vpnRecord(tenant, name, vpnSite), seen.siteRev)
	err := put(vpnRecord(tenant, name, vpnLock), h.Lock)
	bind := func(p *topology.VPNPort, at VPNPlace) {
		b := Binding{VPort: p.ID, Device: p.Device, Edge: h.Lock.Edge, Interface: at.Interface, VLAN: at.VLAN, Tenant: tenant, Name: name}
		err = errors.Join(err, put(bindKey(b.Device, b.VPort), b), put(b.iface(), b))
	}
	bind(&seen.Site.Private, h.Lock.Private)
	if h.Lock.Public != nil {
		bind(seen.Site.Public, *h.Lock.Public)
	}
	if err != nil {
		return 0, err
	}
	return t.commit(ctx, h.client)
}

// freeVLANs finds two VLANs that no vport has at an interface.
func (s *Store) freeVLANs(ctx context.Context, edge, iface string) ([2]uint16, error) {
	prefix := strings.TrimSuffix(ifaceKey(edge, iface, 0), "0")
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return [2]uint16{}, fmt.Errorf("state: VLANs of interface %s of edge %s: %w", iface, edge, err)
	}
	taken := map[uint16]bool{}
	for _, kv := range resp.Kvs {
		if n, err := strconv.ParseUint(strings.TrimPrefix(string(kv.Key), prefix), 10, 16); err == nil {
			taken[uint16(n)] = true
		}
	}
	var free []uint16
	for v := uint16(firstVPNVLAN); v <= lastVPNVLAN && len(free) < 2; v++ {
		if !taken[v] {
			free = append(free, v)
		}
	}
	if len(free) < 2 {
		return [2]uint16{}, fmt.Errorf("state: all VLANs of interface %s of edge %s are taken", iface, edge)
	}
	return [2]uint16(free), nil
}

// Valid reports whether the hold is surely in force: etcd can't have given the VPN to another. It stops being so while the lease has vpnMargin to go, by this side's monotonic clock, from when its last renewal was asked for.
// The wall clock tells besides of a host that was suspended, while its monotonic clock may stand still; where that clock is set forward, nothing passes until the next renewal.
func (h *VPNHold) Valid() bool {
	now := time.Now()
	return int64(now.Sub(h.began)) < h.deadline.Load() && now.UnixNano() < h.wall.Load()
}

// extend notes that the lease is in force, counted from when that was asked for.
func (h *VPNHold) extend(asked time.Time) {
	left := h.granted - vpnMargin
	h.wall.Store(asked.Add(left).UnixNano())
	h.deadline.Store(int64(asked.Sub(h.began) + left))
}

// Run keeps the hold until ctx ends, it can't be renewed in time, or is lost. It is not in force any more when Run returns; Release gives it back.
func (h *VPNHold) Run(ctx context.Context) error {
	defer h.deadline.Store(0)
	tick := time.NewTicker(vpnRenew)
	defer tick.Stop()
	for {
		left := time.Duration(h.deadline.Load()) - time.Since(h.began)
		if left <= 0 {
			return fmt.Errorf("state: VPN %s: etcd has not renewed the lease for %v", h.name, h.granted-vpnMargin)
		}
		lapse := time.NewTimer(left)
		select {
		case <-ctx.Done():
			lapse.Stop()
			return ctx.Err()
		case <-lapse.C:
			continue
		case <-tick.C:
		}
		lapse.Stop()
		asked := time.Now()
		there, err := h.renewOnce(ctx, h.lease)
		switch {
		case err == nil && there:
			h.extend(asked)
		case err == nil:
			return fmt.Errorf("state: lease of VPN %s ended", h.name)
		}
	}
}

// Release gives the VPN back: the lock goes, and the bindings, at once.
func (h *VPNHold) Release(ctx context.Context) {
	h.deadline.Store(0)
	h.leave(ctx, h.lease)
}

// Is reports whether a record is of this hold.
func (h *VPNHold) Is(r VPNRecord) bool { return r.Lock != nil && r.lockRev == h.rev }

// Leave stores what the next holder is to know, as long as this one is the holder.
func (h *VPNHold) Leave(ctx context.Context, last VPNLast) error {
	tenant, name, _ := strings.Cut(h.name, "/")
	value, err := json.Marshal(last)
	if err != nil {
		return fmt.Errorf("state: VPN %s: %w", h.name, err)
	}
	var t txn
	t.unchanged(vpnRecord(tenant, name, vpnLock), h.rev)
	t.put(vpnRecord(tenant, name, vpnLast), value)
	if _, err := t.commit(ctx, h.client); err != nil {
		return fmt.Errorf("state: VPN %s: %w", h.name, err)
	}
	return nil
}

// Same reports whether two records ask for the same of a holder.
func (r VPNRecord) Same(o VPNRecord) bool {
	return r.siteRev == o.siteRev && r.keyRev == o.keyRev && (r.Site == nil) == (o.Site == nil) && (r.Key == nil) == (o.Key == nil)
}

// SamePorts reports whether two records are of the same ports: what a hold has bound stays right.
func (r VPNRecord) SamePorts(o VPNRecord) bool {
	if r.Site == nil || o.Site == nil {
		return false
	}
	at := func(p *topology.VPNPort) (flow.VPortID, topology.DeviceID) {
		if p == nil {
			return 0, 0
		}
		return p.ID, p.Device
	}
	a, b := r.Site, o.Site
	pa, da := at(&a.Private)
	pb, db := at(&b.Private)
	qa, ea := at(a.Public)
	qb, eb := at(b.Public)
	return pa == pb && da == db && qa == qb && ea == eb
}
