package state

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/topology"
)

const vpnYAML = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30], mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: acme}, spec: {device: router/core, singleHost: true, addresses: [100.64.0.10/24]}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: v, tenant: acme}, spec: {vport: office, publicPort: out, mtu: 1300, peers: [{name: p, endpoint: "192.0.2.1:51820", allowedIPs: [192.168.0.0/16]}]}}
`

func vpnOf(t *testing.T, s *Store) VPNRecord {
	t.Helper()
	all, err := s.VPNs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all["acme/v"]
}

// boundAt tells where both ports of the VPN are bound, in a store's view; empty: nowhere.
func boundAt(s *Store, r VPNRecord) (private, public Binding) {
	private, _ = s.View().Bindings.Get(r.Site.Private.ID)
	public, _ = s.View().Bindings.Get(r.Site.Public.ID)
	return private, public
}

func eventuallyVPN(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(what)
		}
	}
}

// TestVPNHold: of those who take a VPN one gets it, with the bindings of its ports; it goes with all of that when it is given back, and when it is not renewed.
func TestVPNHold(t *testing.T) {
	s := embeddedStore(t)
	o := second(t, s)
	apply(t, s, vpnYAML)
	seen := vpnOf(t, s)
	if seen.Site == nil || seen.Lock != nil || seen.Key != nil {
		t.Fatalf("%+v", seen)
	}
	a, err := s.HoldVPN(t.Context(), seen, "e1", "vpn0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.HoldVPN(t.Context(), seen, "e2", "vpn0"); !errors.Is(err, ErrConflict) {
		t.Fatalf("a second holder: %v", err)
	}
	now := vpnOf(t, s)
	if !a.Valid() || !a.Is(now) || now.Lock.Edge != "e1" || now.Lock.Public == nil || now.Lock.Public.VLAN == now.Lock.Private.VLAN {
		t.Fatalf("%+v", now.Lock)
	}
	eventuallyVPN(t, "the ports are not bound", func() bool {
		private, public := boundAt(s, now)
		return private.Edge == "e1" && private.VLAN == now.Lock.Private.VLAN && public.Edge == "e1" && public.VLAN == now.Lock.Public.VLAN
	})
	last := VPNLast{Stamp: time.Unix(1700000000, 0).UTC(), Endpoints: map[string]netip.AddrPort{"p": netip.MustParseAddrPort("192.0.2.9:7")}}
	if err := a.Leave(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	a.Release(t.Context())
	if a.Valid() {
		t.Error("what was given back is in force")
	}
	eventuallyVPN(t, "the ports stay bound", func() bool {
		private, public := boundAt(s, now)
		return private.Edge == "" && public.Edge == ""
	})
	if err := a.Leave(t.Context(), last); !errors.Is(err, ErrConflict) {
		t.Errorf("who gave it back writes: %v", err)
	}
	seen = vpnOf(t, s)
	if seen.Lock != nil || seen.Last == nil || seen.Last.Endpoints["p"] != last.Endpoints["p"] || !seen.Last.Stamp.Equal(last.Stamp) {
		t.Fatalf("%+v", seen)
	}
	b, err := o.HoldVPN(t.Context(), seen, "e2", "vpn0")
	if err != nil {
		t.Fatal(err)
	}
	eventuallyVPN(t, "a hold that nobody renews stays", func() bool { return vpnOf(t, s).Lock == nil })
	if b.Valid() {
		t.Error("the lease is over, and the hold is in force")
	}
	if err := b.Run(t.Context()); err == nil {
		t.Error("what is over goes on")
	}
}

// TestVPNHoldIsKept: a hold that is renewed outlives its lease's time; it ends when the lock is taken away.
func TestVPNHoldIsKept(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, vpnYAML)
	h, err := s.HoldVPN(t.Context(), vpnOf(t, s), "e1", "vpn0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	eventuallyVPN(t, "it was not kept", func() bool {
		if !h.Valid() {
			t.Fatal("it is not in force meanwhile")
		}
		return time.Since(h.began) > h.granted+time.Second
	})
	if vpnOf(t, s).Lock == nil {
		t.Error("the lock is gone")
	}
	if _, err := s.Client().Revoke(t.Context(), h.lease); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("it goes on without a lease")
	}
	cancel()
	if h.Valid() {
		t.Error("it is in force without a lease")
	}
}

// TestVPNChanges: a record changes with the ports that the VPN names; ports that are others are told apart from what else changes; nothing is left of what was deleted.
func TestVPNChanges(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, vpnYAML)
	first := vpnOf(t, s)
	if err := s.StoreVPNKey(t.Context(), "acme/v", VPNKey{Public: "A", Sealed: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreVPNKey(t.Context(), "acme/v", VPNKey{Public: "B", Sealed: []byte{2}}); !errors.Is(err, ErrConflict) {
		t.Errorf("a second key: %v", err)
	}
	if err := s.StoreVPNKey(t.Context(), "acme/none", VPNKey{Public: "B"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a key of a VPN that is not there: %v", err)
	}
	apply(t, s, `{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30], mtu: 1300, mac: "02:00:00:00:00:07"}}`)
	second := vpnOf(t, s)
	if second.Site.Private.MAC.String() != "02:00:00:00:00:07" || second.Key == nil || second.Key.Public != "A" || first.Same(second) || !first.SamePorts(second) {
		t.Errorf("%+v", second.Site.Private)
	}
	var told []VPNRecord
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan VPNRecord, 16), make(chan error, 1)
	go func() { done <- s.WatchVPNs(ctx, func(all map[string]VPNRecord) { changes <- all["acme/v"] }) }()
	told = append(told, <-changes)
	h, err := s.HoldVPN(t.Context(), second, "e1", "vpn0")
	if err != nil {
		t.Fatal(err)
	}
	if told = append(told, <-changes); told[0].Lock != nil || !h.Is(told[1]) || !told[0].Same(told[1]) {
		t.Errorf("%+v", told)
	}
	if _, err := s.Delete(t.Context(), topology.Ref{Kind: topology.KindVPN, Tenant: "acme", Name: "v"}); err != nil {
		t.Fatal(err)
	}
	for r := <-changes; r.Site != nil || r.Lock != nil || r.Key != nil; r = <-changes {
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.Release(t.Context())
	if p := vpnOf(t, s); p.Site != nil || p.Key != nil || p.Last != nil {
		t.Errorf("%+v is left", p)
	}
}

// FuzzVPNRecord: whatever is stored of a VPN, it is read or refused.
func FuzzVPNRecord(f *testing.F) {
	f.Add("site", []byte(`{"name":"acme/v","spec":{"vport":"x"},"private":{"id":1}}`))
	f.Add("lock", []byte(`{"edge":"e1","private":{"interface":"x","vlan":2}}`))
	f.Add("key", []byte(`{"public":"A","sealed":"AQ=="}`))
	f.Add("last", []byte(`{"endpoints":{"p":"192.0.2.1:7"}}`))
	f.Add("what", []byte(`{}`))
	f.Fuzz(func(t *testing.T, record string, value []byte) {
		all := map[string]VPNRecord{}
		err := takeVPN(all, vpnRecord("acme", "v", record), value, 7)
		if err != nil && !errors.Is(err, ErrCodec) {
			t.Error(err)
		}
	})
}

// TestVPNHoldSuspended: a host that was suspended for longer than the lease does not hold the VPN when it goes on, though its monotonic clock stood still; one whose wall clock was set back, or that renewed since, does.
func TestVPNHoldSuspended(t *testing.T) {
	h := &VPNHold{began: time.Now(), granted: time.Hour}
	if h.Valid() {
		t.Error("a hold that was not granted is in force")
	}
	h.extend(h.began)
	if !h.Valid() {
		t.Fatal("it is not in force")
	}
	h.wall.Store(time.Now().Add(-time.Second).UnixNano())
	if h.Valid() {
		t.Error("it is in force behind a lapse of the wall clock")
	}
	h.wall.Store(time.Now().Add(24 * time.Hour).UnixNano())
	if !h.Valid() {
		t.Error("it is not in force when the wall clock was set back")
	}
	if h.extend(time.Now()); !h.Valid() {
		t.Error("it is not in force when it was renewed")
	}
}
