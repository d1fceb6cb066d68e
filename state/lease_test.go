package state

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// leased has one resource at two vports of two edges: 20 IPv4 addresses, one of them reserved, and 6 IPv6 ones.
const leased = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: b, tenant: acme}, spec: {}}
---
apiVersion: weft/v1
kind: DHCP
metadata: {name: lan, tenant: acme}
spec:
  leasesPerPort: 12
  subnets:
  - {prefix: 10.0.0.0/24, router: 10.0.0.1, ranges: [10.0.0.100-10.0.0.109, 10.0.0.200-10.0.0.209]}
  - {prefix: "2001:db8::/64", ranges: ["2001:db8::100-2001:db8::105"]}
  reservations: [{mac: "02:00:00:00:01:05", addresses: [10.0.0.105, "2001:db8::5"]}]
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm1, tenant: acme}, spec: {vport: vm1, edge: e1, interface: "1"}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm2, tenant: acme}, spec: {vport: vm2, edge: e2, interface: "1"}}
`

// resource returns the resource as a store sees it, and the vports.
func resource(tb testing.TB, s *Store, rev int64) (d *topology.DHCP, vm1, vm2 flow.VPortID) {
	tb.Helper()
	wait(tb, s, rev)
	topo := s.View().Topology
	id := func(k topology.Kind, name string) uint32 {
		n, _ := topo.ID(ref(k, name))
		return n
	}
	if d = topo.DHCP(topology.DeviceID(id(topology.KindDHCP, "lan"))); d == nil {
		tb.Fatal("the resource is not in the view")
	}
	return d, flow.VPortID(id(topology.KindVPort, "vm1")), flow.VPortID(id(topology.KindVPort, "vm2"))
}

// lease does what an edge does: look, pick, write, and again if another was faster.
func lease(ctx context.Context, s *Store, d *topology.DHCP, c LeaseClient, v6 bool, ttl time.Duration) (netip.Addr, error) {
	for try := 0; ; try++ {
		q := LeaseQuery{Resource: d, Client: c, V6: v6, Search: true, Try: try}
		if fixed, ok := d.Fixed(c.MAC, v6); ok {
			q.Wish = fixed
		}
		v, err := s.ReadLease(ctx, q)
		if err != nil {
			return netip.Addr{}, err
		}
		addr := v.Free
		switch {
		case q.Wish.IsValid():
			addr = q.Wish
		case v.Held.Use != LeaseFree:
			addr = v.Held.Addr
		}
		if !addr.IsValid() {
			if again, err := s.ReadLease(ctx, LeaseQuery{Resource: d, Client: c, V6: v6}); err != nil || again.Held.Use == LeaseFree {
				return addr, err
			}
			continue // the client's other request took the last one meanwhile
		}
		if err := s.WriteLease(ctx, &v, addr, LeaseBound, ttl); !errors.Is(err, ErrConflict) {
			return addr, err
		}
	}
}

func leasesOf(tb testing.TB, s *Store, d *topology.DHCP) []ListedLease {
	tb.Helper()
	l, err := s.Leases(tb.Context(), d.ID)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// TestLeasesAtOnce: two edges that serve one resource at once give no address twice, and no client two, in both families; all but the reserved address
// is given before anybody is turned away.
func TestLeasesAtOnce(t *testing.T) {
	s := embeddedStore(t)
	rev := apply(t, s, leased)
	e1, e2 := lazyStore(t, s, time.Minute, "e1"), lazyStore(t, s, time.Minute, "e2")
	d, vm1, vm2 := resource(t, e1, rev)
	resource(t, e2, rev)
	for _, v6 := range []bool{false, true} {
		want := 20
		if v6 {
			want = 6
		}
		var mu sync.Mutex
		got, refused := map[netip.Addr]LeaseClient{}, 0
		var wg sync.WaitGroup
		for n := range byte(24) {
			store, port := e1, vm1
			if n%2 == 1 {
				store, port = e2, vm2
			}
			for range 2 { // each asks twice at once: a retransmission
				wg.Go(func() {
					c := LeaseClient{port, mac(n)}
					a, err := lease(t.Context(), store, d, c, v6, time.Hour)
					mu.Lock()
					defer mu.Unlock()
					switch other, taken := got[a]; {
					case err != nil:
						t.Error(err)
					case !a.IsValid():
						refused++
					case taken && other != c:
						t.Errorf("%v is given to %v and %v", a, other, c)
					case !d.Assignable(c.MAC, a):
						t.Errorf("%v is not for %v", a, c)
					default:
						got[a] = c
					}
				})
			}
		}
		wg.Wait()
		// vm1's MACs are even: the reserved one, 5, is at vm2.
		if fixed, _ := d.Fixed(mac(5), v6); got[fixed] != (LeaseClient{vm2, mac(5)}) {
			t.Errorf("%v is not at %v", fixed, mac(5))
		}
		if v6 {
			want++ // the reserved address is in no range
		}
		clients := map[LeaseClient]bool{}
		for _, c := range got {
			clients[c] = true
		}
		if len(got) != want || len(clients) != want || refused != 2*(24-want) {
			t.Errorf("IPv6 %t: %d addresses of %d clients, %d refusals; want %d and %d", v6, len(got), len(clients), refused, want, 2*(24-want))
		}
		listed := 0
		for _, l := range leasesOf(t, s, d) {
			if l.Addr.Is6() == v6 {
				listed++
				if l.Client != got[l.Addr] || l.Use != LeaseBound || l.Left < 59*time.Minute || l.Resource != d.ID {
					t.Errorf("listed %+v, given to %v", l, got[l.Addr])
				}
			}
		}
		if listed != want {
			t.Errorf("%d leases are listed, want %d", listed, want)
		}
	}
}

// TestLeaseLife: offer, bind, renew, move of a reserved address, decline, release, expiry.
func TestLeaseLife(t *testing.T) {
	s := embeddedStore(t)
	d, vm1, vm2 := resource(t, s, apply(t, s, leased))
	ctx := t.Context()
	c := LeaseClient{vm1, mac(1)}
	read := func(c LeaseClient, wish netip.Addr) LeaseView {
		t.Helper()
		v, err := s.ReadLease(ctx, LeaseQuery{Resource: d, Client: c, Wish: wish, Search: true})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	write := func(v LeaseView, a netip.Addr, use LeaseUse, ttl time.Duration, want error) {
		t.Helper()
		if err := s.WriteLease(ctx, &v, a, use, ttl); !errors.Is(err, want) {
			t.Fatalf("write %v: %v, want %v", a, err, want)
		}
	}
	v := read(c, netip.Addr{})
	again := read(c, netip.Addr{})
	if !v.Free.IsValid() || v.Free != again.Free || v.Held.Use != LeaseFree || v.Full {
		t.Fatalf("first view %+v, then %+v", v, again)
	}
	first := v.Free
	write(v, first, LeaseOffered, time.Minute, nil)
	write(again, first, LeaseOffered, time.Minute, ErrConflict) // what it was decided by is no more
	v = read(c, first)
	if v.Held != (Lease{first, LeaseOffered, c}) || v.Wish != v.Held || v.Free.IsValid() {
		t.Fatalf("after the offer: %+v", v)
	}
	write(v, first, LeaseBound, time.Hour, nil)
	v = read(c, first)
	write(v, first, LeaseBound, 2*time.Hour, nil) // renewed
	if l := leasesOf(t, s, d); len(l) != 1 || l[0].Use != LeaseBound || l[0].Left < 119*time.Minute {
		t.Fatalf("after the renewal: %+v", l)
	}
	leases, err := s.client.Leases(ctx)
	if err != nil || len(leases.Leases) != 1 {
		t.Errorf("%d etcd leases for one: %v", len(leases.Leases), err)
	}

	// Another address frees the one before.
	other := addr("10.0.0.109")
	if other == first {
		other = addr("10.0.0.108")
	}
	write(read(c, other), other, LeaseBound, time.Hour, nil)
	if l := leasesOf(t, s, d); len(l) != 1 || l[0].Addr != other {
		t.Fatalf("after the change: %+v", l)
	}
	// Somebody else's address conflicts, whoever wants it.
	if v := read(LeaseClient{vm2, mac(2)}, other); v.Wish.Client != c {
		t.Errorf("view of another client: %+v", v)
	}

	// A reserved address follows its MAC to another vport.
	fixed := addr("10.0.0.105")
	write(read(LeaseClient{vm1, mac(5)}, fixed), fixed, LeaseBound, time.Hour, nil)
	write(read(LeaseClient{vm2, mac(5)}, fixed), fixed, LeaseBound, time.Hour, nil)
	if v := read(LeaseClient{vm1, mac(5)}, fixed); v.Held.Use != LeaseFree || v.Wish.Client.VPort != vm2 {
		t.Errorf("at the vport before: %+v", v)
	}

	// Decline: for nobody, and it counts at the vport. Release: free.
	if ok, err := s.DeclineLease(ctx, d, LeaseClient{vm2, mac(1)}, other, time.Hour); ok || err != nil {
		t.Errorf("declined by another: %v, %v", ok, err)
	}
	if ok, err := s.DeclineLease(ctx, d, c, other, time.Hour); !ok || err != nil {
		t.Errorf("decline: %v, %v", ok, err)
	}
	if v := read(c, other); v.Held.Use != LeaseFree || v.Wish.Use != LeaseDeclined || v.Free == other || !v.Free.IsValid() {
		t.Errorf("after the decline: %+v", v)
	}
	if ok, err := s.ReleaseLease(ctx, d, LeaseClient{vm2, mac(5)}, fixed); !ok || err != nil {
		t.Errorf("release: %v, %v", ok, err)
	}
	if l := leasesOf(t, s, d); len(l) != 1 || l[0].Addr != other || l[0].Use != LeaseDeclined {
		t.Errorf("after decline and release: %+v", l)
	}
	for n := range byte(11) {
		if a, err := lease(ctx, s, d, LeaseClient{vm1, mac(10 + n)}, false, time.Hour); err != nil || !a.IsValid() {
			t.Fatalf("lease %d: %v, %v", n, a, err)
		}
	}
	if v := read(LeaseClient{vm1, mac(30)}, netip.Addr{}); !v.Full || v.Free.IsValid() {
		t.Errorf("11 leases and a declined address at one vport: %+v", v)
	}

	// What lapses is free, and the client has nothing.
	short := LeaseClient{vm2, mac(40)}
	if _, err := lease(ctx, s, d, short, false, time.Second); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); read(short, netip.Addr{}).Held.Use != LeaseFree; {
		if time.Now().After(deadline) {
			t.Fatal("a lease of one second is there after 20")
		}
	}
	// A resource takes its leases along, and nothing is written for one that is gone.
	late := read(short, netip.Addr{})
	rev, err := s.Change(ctx, decode(t, "{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/b}}\n---\n"+
		"{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/b}}"), []topology.Ref{ref(topology.KindDHCP, "lan")})
	if err != nil {
		t.Fatal(err)
	}
	write(late, late.Free, LeaseBound, time.Hour, ErrConflict)
	if wait(t, s, rev).Topology.DHCP(d.ID) != nil || len(leasesOf(t, s, d)) != 0 {
		t.Error("the resource or its leases are there after it was deleted")
	}
}

// TestLeaseSearch: the free address is found in a range of which nearly all is taken, more than a page of it.
func TestLeaseSearch(t *testing.T) {
	s := embeddedStore(t)
	d, vm1, _ := resource(t, s, apply(t, s, `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: b, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: DHCP, metadata: {name: lan, tenant: acme}, spec: {subnets: [{prefix: 10.0.0.0/16, router: 10.0.0.1, ranges: [10.0.1.0-10.0.6.255]}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
`))
	free := addr("10.0.3.77")
	value := appendAddrLease(nil, Lease{Use: LeaseBound, Client: LeaseClient{1, mac(1)}})
	var wg sync.WaitGroup
	r := topology.AddrRange{First: addr("10.0.1.0"), Last: addr("10.0.6.255")}
	for n := range r.Size() {
		if a := r.At(n); a != free {
			wg.Go(func() {
				if _, err := s.Writer().Do(t.Context(), Put(addrKey(d.ID, a), value)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for n := range byte(8) {
		v, err := s.ReadLease(t.Context(), LeaseQuery{Resource: d, Client: LeaseClient{vm1, packet.MAC{2, 0, 0, 1, 0, n}}, Search: true})
		if err != nil || v.Free != free {
			t.Errorf("MAC %d: found %v, %v; want %v", n, v.Free, err, free)
		}
	}
}

// TestLeaseCodec: what is written is read, and nothing else is.
func TestLeaseCodec(t *testing.T) {
	for _, a := range []netip.Addr{addr("10.0.0.9"), addr("2001:db8::9")} {
		l := Lease{a, LeaseBound, LeaseClient{77, mac(3)}}
		if got, err := decodeAddrLease(appendAddrLease(nil, l), a); err != nil || got != l {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := decodeClientLease(appendClientLease(nil, l), l.Client); err != nil || got != l {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := parseAddrKey(addrKey(5, a)); err != nil || got != a || resourceOfKey(addrKey(5, a)) != 5 {
			t.Errorf("key %s: %v, %v", addrKey(5, a), got, err)
		}
		if _, err := parseAddrKey(clientKey(5, l.Client, a.Is6())); !errors.Is(err, ErrCodec) {
			t.Errorf("a client's key is read as an address's: %v", err)
		}
	}
	good := appendAddrLease(nil, Lease{addr("10.0.0.9"), LeaseBound, LeaseClient{77, mac(3)}})
	for i, b := range [][]byte{nil, good[:11], append(slices.Clone(good), 0), {2, 2, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1}, {1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1}, {1, 4, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1}, {1, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1}, {1, 2, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1}} {
		if _, err := decodeAddrLease(b, addr("10.0.0.9")); !errors.Is(err, ErrCodec) {
			t.Errorf("value %d: %v", i, err)
		}
	}
	for i, b := range [][]byte{nil, {1, 2}, {1, 3, 10, 0, 0, 9}, {1, 2, 10, 0, 0}, {9, 2, 10, 0, 0, 9}} {
		if _, err := decodeClientLease(b, LeaseClient{}); !errors.Is(err, ErrCodec) {
			t.Errorf("client value %d: %v", i, err)
		}
	}
}

// TestLeasesOfManyClients: where all that is free is behind much that is taken, hosts that come at once are all served within the tries that an edge has for a message.
func TestLeasesOfManyClients(t *testing.T) {
	const tries, clients = 8, 60 // engine.leaseTries
	s := embeddedStore(t)
	d, vm1, _ := resource(t, s, apply(t, s, `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: b, tenant: acme}, spec: {}}
---
apiVersion: weft/v1
kind: DHCP
metadata: {name: lan, tenant: acme}
spec:
  leasesPerPort: 1000
  subnets: [{prefix: 10.0.0.0/16, router: 10.0.0.1, ranges: [10.0.1.0-10.0.4.255]}, {prefix: "2001:db8::/64", ranges: ["2001:db8::1000-2001:db8::13ff"]}]
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/b}}
`))
	for _, r := range []topology.AddrRange{{First: addr("10.0.1.0"), Last: addr("10.0.4.255")}, {First: addr("2001:db8::1000"), Last: addr("2001:db8::13ff")}} {
		value := appendAddrLease(nil, Lease{Use: LeaseBound, Client: LeaseClient{1, mac(1)}})
		var wg sync.WaitGroup
		for n := range r.Size() - 100 { // 100 are free
			wg.Go(func() {
				if _, err := s.Writer().Do(t.Context(), Put(addrKey(d.ID, r.At(n)), value)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// In rounds, in each of which all look before any writes: the worst order.
		waiting := make([]LeaseClient, clients)
		for i := range waiting {
			waiting[i] = LeaseClient{vm1, packet.MAC{2, 0, 0, 2, 0, byte(i)}}
		}
		for try := range tries {
			views := make([]LeaseView, len(waiting))
			for i, c := range waiting {
				var err error
				if views[i], err = s.ReadLease(t.Context(), LeaseQuery{Resource: d, Client: c, V6: r.First.Is6(), Search: true, Try: try}); err != nil || !views[i].Free.IsValid() {
					t.Fatalf("%v, try %d: %v, %v", c, try, views[i].Free, err)
				}
			}
			var left []LeaseClient
			for i, c := range waiting {
				switch err := s.WriteLease(t.Context(), &views[i], views[i].Free, LeaseBound, time.Hour); {
				case errors.Is(err, ErrConflict):
					left = append(left, c)
				case err != nil:
					t.Fatal(err)
				}
			}
			waiting = left
		}
		if len(waiting) != 0 {
			t.Errorf("%v: %d of %d hosts are left without an address after %d tries", r.First, len(waiting), clients, tries)
		}
	}
}

// BenchmarkLeases lists the leases of a pool, as `weft leases` does.
func BenchmarkLeases(b *testing.B) {
	const leases = 5000
	s := embeddedStore(b)
	d, vm1, _ := resource(b, s, apply(b, s, `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: b, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: DHCP, metadata: {name: lan, tenant: acme}, spec: {leasesPerPort: 60000, subnets: [{prefix: 10.0.0.0/16, router: 10.0.0.1, ranges: [10.0.1.0-10.0.254.255]}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/b, dhcp: lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/b}}
`))
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for n := g; n < leases; n += 64 {
				if a, err := lease(b.Context(), s, d, LeaseClient{vm1, packet.MAC{2, 0, 0, 3, byte(n >> 8), byte(n)}}, false, time.Hour); err != nil || !a.IsValid() {
					b.Error(a, err)
				}
			}
		})
	}
	wg.Wait()
	b.Run(fmt.Sprintf("leases=%d", leases), func(b *testing.B) {
		for b.Loop() {
			if got := len(leasesOf(b, s, d)); got != leases {
				b.Fatalf("%d leases are listed, want %d", got, leases)
			}
		}
	})
}
