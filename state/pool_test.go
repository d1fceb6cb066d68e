package state

import (
	"context"
	"net/netip"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const poolYAML = `
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, addresses: [10.1.0.254/24, "fd01::fe/64"]}}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: web, tenant: acme}
spec:
  members: [{address: 10.1.0.1, port: 80}, {address: "fd01::1"}]
  monitor: {type: icmp, source: gw-lan}
`

// TestMonitor: one edge runs a monitor, what it finds out is in everybody's view, and it has no say when it is another's; when its process dies, others can
// claim it.
func TestMonitor(t *testing.T) {
	s := embeddedStore(t)
	wait(t, s, apply(t, s, poolYAML))
	pool := idOf(t, s, topology.KindPool, "acme", "web")
	ctx, die := context.WithCancel(t.Context())
	defer die()
	first, sixth := topology.MemberAt(netip.MustParseAddr("10.1.0.1"), 80), topology.MemberAt(netip.MustParseAddr("fd01::1"), 0)
	lease, claimed, err := s.ClaimMonitor(ctx, pool, "e1", 2*time.Second)
	if err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	other := second(t, s)
	later, claimed, err := other.ClaimMonitor(t.Context(), pool, "e2", 2*time.Second)
	if err != nil || claimed {
		t.Fatalf("a second edge runs the monitor: %v, %v", claimed, err)
	}
	for _, m := range []topology.MemberKey{first, sixth} {
		if stored, err := s.SetHealth(ctx, pool, lease, m, Health{Down: true, Why: "no answer"}); err != nil || !stored {
			t.Fatal(stored, err)
		}
		if stored, err := other.SetHealth(ctx, pool, later, m, Health{}); err != nil || stored {
			t.Errorf("who does not run the monitor is believed: %v, %v", stored, err)
		}
	}
	await(t, s, func(topo *topology.Snapshot) bool {
		p := topo.Pool(pool)
		return p != nil && p.Watcher == "e1" && p.Members[0].Down && p.Members[1].Down
	})
	h, err := s.Health(ctx, pool)
	if err != nil || h.Watcher != "e1" || len(h.Members) != 2 || !h.Members[first].Down || h.Members[sixth].Why != "no answer" {
		t.Errorf("%+v, %v", h, err)
	}
	die()
	await(t, s, func(topo *topology.Snapshot) bool { return topo.Pool(pool).Watcher == "" })
	if _, claimed, err = other.ClaimMonitor(t.Context(), pool, "e2", 2*time.Second); err != nil || !claimed {
		t.Errorf("nobody can claim a dead edge's monitor: %v, %v", claimed, err)
	}
	if err := other.LeaveMonitor(t.Context(), pool, later); err != nil {
		t.Fatal(err)
	}
	await(t, s, func(topo *topology.Snapshot) bool { return topo.Pool(pool).Watcher == "" })
	// A member that is taken out, and a monitor that is another, leave nothing behind.
	apply(t, s, `
apiVersion: weft/v1
kind: Pool
metadata: {name: web, tenant: acme}
spec: {members: [{address: "fd01::1"}], monitor: {type: icmp, source: gw-lan}}`)
	if h, err := s.Health(t.Context(), pool); err != nil || len(h.Members) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
	apply(t, s, `{apiVersion: weft/v1, kind: Pool, metadata: {name: web, tenant: acme}, spec: {members: [{address: "fd01::1"}]}}`)
	if h, err := s.Health(t.Context(), pool); err != nil || len(h.Members) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestSticky: what a client had is stored with its connection, and of two edges that choose at once one wins.
func TestSticky(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	other := second(t, s)
	for _, v6 := range []bool{false, true} {
		a, b := testConn(5000, v6), testConn(5001, v6)
		b.Forward.Src[15]++ // so that their answers differ
		b.Forward.DstPort++
		client := topology.PoolClient{Pool: 9, Addr: a.Forward.Src, V6: v6}
		member := func(last byte) topology.MemberKey {
			m := topology.MemberKey{Addr: a.Forward.Dst, Port: 80, V6: v6}
			m.Addr[15] = last
			return m
		}
		if st, found, err := s.FindSticky(ctx, client); found || err != nil || st.Revision != 0 {
			t.Fatalf("%+v, %v, %v", st, found, err)
		}
		fresh := Sticky{Client: client, Member: member(1), Timeout: time.Minute}
		if _, created, err := s.CreateConn(ctx, a, nil, nil, &fresh); err != nil || !created {
			t.Fatal(created, err)
		}
		rival := fresh
		rival.Member = member(2)
		if _, created, err := other.CreateConn(ctx, b, nil, nil, &rival); err != nil || created {
			t.Errorf("two edges give a client two members: %v, %v", created, err)
		}
		if _, found, _ := s.FindConn(ctx, b.Forward); found {
			t.Error("the connection is stored without its member")
		}
		st, found, err := other.FindSticky(ctx, client)
		if err != nil || !found || st.Member != member(1) {
			t.Fatalf("%+v, %v, %v", st, found, err)
		}
		st.Member, st.Timeout = member(3), time.Minute
		if _, created, err := other.CreateConn(ctx, b, nil, nil, &st); err != nil || !created {
			t.Errorf("who read it may change it: %v, %v", created, err)
		}
		if st, _, _ = s.FindSticky(ctx, client); st.Member != member(3) {
			t.Errorf("%+v", st)
		}
	}
	// A client is forgotten in time, and not by the death of who remembered it.
	c := testConn(6000, false)
	c.Steps()[0].Addr = flow.AddrOf(netip.MustParseAddr("198.51.100.9"))
	client := topology.PoolClient{Pool: 9, Addr: flow.AddrOf(netip.MustParseAddr("10.0.0.77"))}
	if _, created, err := other.CreateConn(ctx, c, nil, nil, &Sticky{Client: client, Member: topology.MemberKey{Addr: client.Addr, Port: 1}, Timeout: time.Second}); err != nil || !created {
		t.Fatal(created, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	kept := topology.PoolClient{Pool: 9, Addr: testConn(5000, false).Forward.Src}
	if st, found, err := s.FindSticky(ctx, kept); err != nil || !found || st.Member.Addr[15] != 3 {
		t.Errorf("who remembered it is gone: %+v, %v, %v", st, found, err)
	}
	resp, err := s.client.Get(ctx, stickyKey(client))
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatal(resp, err)
	}
	ttl, err := s.client.TimeToLive(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))
	if err != nil || ttl.GrantedTTL < 2 || ttl.GrantedTTL > 3 {
		t.Errorf("lease %+v, %v", ttl, err)
	}
}
