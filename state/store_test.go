package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// network has both families: a router with two bridges, two VMs on one of them.
const network = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: web, tenant: acme}
spec: {macs: [{mac: "02:00:00:00:00:99", port: vm1}], neighbours: [{ip: 10.0.0.99, mac: "02:00:00:00:00:99"}]}
---
apiVersion: weft/v1
kind: Router
metadata: {name: edge, tenant: acme}
spec: {routes: [{dst: 192.0.2.0/24, kind: reject}, {dst: "2001:db8:f::/48", kind: blackhole}]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: web-up, tenant: acme}
spec: {device: bridge/web, peer: edge-web}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: edge-web, tenant: acme}
spec: {device: router/edge, peer: web-up, addresses: [10.0.0.1/24, "2001:db8::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: acme}
spec: {device: bridge/web, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/32, "2001:db8::11/128"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: acme}
spec: {device: bridge/web}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm1, tenant: acme}
spec: {vport: vm1, edge: e1, interface: eth1}
`

func decode(tb testing.TB, yaml string) []*topology.Object {
	tb.Helper()
	objects, err := topology.Decode("test.yaml", []byte(yaml))
	if err != nil {
		tb.Fatal(err)
	}
	return objects
}

func vportYAML(name, device string) string {
	return fmt.Sprintf("apiVersion: weft/v1\nkind: VPort\nmetadata: {name: %s, tenant: acme}\nspec: {device: %s}\n", name, device)
}

func ref(kind topology.Kind, name string) topology.Ref {
	return topology.Ref{Kind: kind, Tenant: "acme", Name: name}
}

// openStore opens a store for the test and runs it; the returned function ends it before the test does.
func openStore(tb testing.TB, cfg Config) (*Store, func()) {
	tb.Helper()
	s, err := Open(tb.Context(), cfg)
	for errors.Is(err, context.DeadlineExceeded) && tb.Context().Err() == nil && cfg.Embedded == nil { // a database that is busy
		s, err = Open(tb.Context(), cfg)
	}
	if err != nil {
		tb.Fatal(err)
	}
	stop := running(tb, s.Run)
	closed := false
	end := func() {
		if closed {
			return
		}
		closed = true
		stop()
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(end)
	return s, end
}

func embeddedStore(tb testing.TB) *Store {
	s, _ := openStore(tb, Config{Embedded: &EmbeddedConfig{Dir: tb.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	return s
}

// second opens another store on the same database, as another process would.
func second(tb testing.TB, s *Store) *Store {
	o, _ := openStore(tb, Config{Client: ClientConfig{Endpoints: s.Endpoints()}})
	return o
}

func apply(tb testing.TB, s *Store, yaml string) int64 {
	tb.Helper()
	rev, err := s.Apply(tb.Context(), decode(tb, yaml))
	if err != nil {
		tb.Fatal(err)
	}
	wait(tb, s, rev)
	return rev
}

func wait(tb testing.TB, s *Store, rev int64) *View {
	tb.Helper()
	if err := s.WaitRevision(tb.Context(), rev); err != nil {
		tb.Fatal(err)
	}
	return s.View()
}

// dump is all that a snapshot tells, comparable.
func dump(s *topology.Snapshot) []string {
	var out []string
	for p := range s.VPorts() {
		out = append(out, fmt.Sprintf("vport %d %s/%s dev %d peer %d mac %v addrs %v mtu %d", p.ID, p.Tenant, p.Name, p.Device, p.Peer, p.MAC, p.Addrs, p.MTU))
	}
	for b := range s.Bridges() {
		out = append(out, fmt.Sprintf("bridge %d %s ports %v drop %v subnets %v", b.ID, b.Name, b.Ports, b.DropUnknown, b.Subnets))
	}
	for r := range s.Routers() {
		out = append(out, fmt.Sprintf("router %d %s ports %v", r.ID, r.Name, r.Ports))
	}
	return out
}

// fromScratch is what the stored objects mean, without a watch.
func fromScratch(tb testing.TB, s *Store) []string {
	tb.Helper()
	objects, _, err := s.List(tb.Context(), "", "")
	if err != nil {
		tb.Fatal(err)
	}
	snap, _ := new(topology.Snapshot).With(topology.Changes{Put: objects})
	return dump(snap)
}

func id(tb testing.TB, s *Store, kind topology.Kind, name string) uint32 {
	tb.Helper()
	n, ok := s.View().Topology.ID(ref(kind, name))
	if !ok {
		tb.Fatalf("%v is not in the view", ref(kind, name))
	}
	return n
}

func TestApplyThenView(t *testing.T) {
	s := embeddedStore(t)
	rev := apply(t, s, network)
	v := s.View()
	if d := cmp.Diff(fromScratch(t, s), dump(v.Topology)); d != "" {
		t.Error(d)
	}
	if len(dump(v.Topology)) != 6 || v.Conf != rev {
		t.Errorf("view of %d objects at %d, want 6 at %d", len(dump(v.Topology)), v.Conf, rev)
	}
	b, ok := v.Bindings.Get(4 + 1)
	if !ok || b.Edge != "e1" || b.Interface != "eth1" || v.Bindings.Len() != 1 {
		t.Errorf("binding %+v", b)
	}

	if again := apply(t, s, network); again != rev {
		t.Errorf("nothing to change, yet revision went from %d to %d", rev, again)
	}
	o, at, err := s.Get(t.Context(), ref(topology.KindVPort, "vm1"))
	if err != nil || at != rev || o.Status.ID != id(t, s, topology.KindVPort, "vm1") {
		t.Errorf("get: %+v at %d: %v", o, at, err)
	}
	if _, _, err := s.Get(t.Context(), ref(topology.KindVPort, "vm")); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of nothing: %v", err)
	}
	for _, tc := range []struct {
		kind   topology.Kind
		tenant string
		want   int
	}{{topology.KindVPort, "acme", 4}, {topology.KindVPort, "acm", 0}, {"", "acme", 7}, {topology.KindRouter, "", 1}} {
		if l, _, err := s.List(t.Context(), tc.kind, tc.tenant); err != nil || len(l) != tc.want {
			t.Errorf("list %q of %q: %d objects, %v; want %d", tc.kind, tc.tenant, len(l), err, tc.want)
		}
	}
}

// What is refused changes nothing: neither objects nor ids nor the running network.
func TestApplyIsAllOrNothing(t *testing.T) {
	s := embeddedStore(t)
	rev := apply(t, s, network)
	for name, tc := range map[string]struct {
		yaml, says string
		del        []topology.Ref
	}{
		"one bad among good":  {yaml: vportYAML("vm3", "bridge/web") + "---\n" + vportYAML("vm4", "bridge/nowhere"), says: "nowhere"},
		"second bind":         {yaml: vportYAML("vm3", "bridge/web") + "---\napiVersion: weft/v1\nkind: Binding\nmetadata: {name: b, tenant: acme}\nspec: {vport: vm3, edge: e1, interface: eth1}\n", says: "is taken by binding acme/"},
		"delete what is used": {del: []topology.Ref{ref(topology.KindVPort, "vm2"), ref(topology.KindBridge, "web")}, says: "web"},
		"delete nothing":      {del: []topology.Ref{ref(topology.KindVPort, "vm9")}, says: "vm9"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Change(t.Context(), decode(t, tc.yaml), tc.del)
			var errs topology.Errors
			if !errors.As(err, &errs) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want errors of the objects that name %q", err, tc.says)
			}
		})
	}
	resp, err := s.client.Get(t.Context(), "/weft/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		if kv.ModRevision > rev {
			t.Errorf("%s was written at %d", kv.Key, kv.ModRevision)
		}
	}
	if s.View().Conf != rev {
		t.Errorf("view moved from %d to %d", rev, s.View().Conf)
	}
}

func TestIDsAreNeverReused(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	seen := map[uint32]bool{}
	for range 5 {
		apply(t, s, vportYAML("vm3", "bridge/web"))
		n := id(t, s, topology.KindVPort, "vm3")
		if seen[n] {
			t.Errorf("id %d given twice", n)
		}
		seen[n] = true
		if rev, err := s.Delete(t.Context(), ref(topology.KindVPort, "vm3")); err != nil {
			t.Fatal(err)
		} else if wait(t, s, rev).Topology.VPort(5) == nil {
			t.Error("another vport went")
		}
	}
	if b, err := parseIDs([]byte("16777215"), 1); err != nil {
		t.Error(err)
	} else if _, err := b.next(); !errors.Is(err, ErrIDsExhausted) {
		t.Errorf("beyond 24 bits: %v", err)
	}
	// Replaced in one change: the same id.
	apply(t, s, vportYAML("vm3", "bridge/web"))
	before := id(t, s, topology.KindVPort, "vm3")
	put := decode(t, strings.Replace(vportYAML("vm3", "bridge/web"), "bridge/web}", "bridge/web, mtu: 1300}", 1))
	rev, err := s.Change(t.Context(), put, []topology.Ref{ref(topology.KindVPort, "vm3")})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	if n := id(t, s, topology.KindVPort, "vm3"); n != before || s.View().Topology.VPort(flowVPortID(n)).MTU != 1300 {
		t.Errorf("replaced vport has id %d, had %d", n, before)
	}
	if put[0].Status.ID != 0 || put[0].Source == nil {
		t.Error("the caller's object was changed")
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Embedded: &EmbeddedConfig{Dir: dir, FastTimers: true}}
	s, end := openStore(t, cfg)
	apply(t, s, network)
	if _, _, _, err := s.LearnMAC(t.Context(), topology.DeviceID(id(t, s, topology.KindBridge, "web")), mac(7), 6); err != nil {
		t.Fatal(err)
	}
	apply(t, s, vportYAML("vm3", "bridge/web")) // takes id 7, which is not given again
	rev, err := s.Delete(t.Context(), ref(topology.KindVPort, "vm3"))
	if err != nil {
		t.Fatal(err)
	}
	before := dump(wait(t, s, rev).Topology)
	conf := s.View().Conf
	end()

	s, _ = openStore(t, cfg)
	v := wait(t, s, rev)
	if d := cmp.Diff(before, dump(v.Topology)); d != "" {
		t.Error(d)
	}
	if p, ok := v.Topology.Bridge(1).FDB(mac(7)); !ok || p != 6 || v.Conf != conf || v.Bindings.Len() != 1 {
		t.Errorf("after the restart: MAC at %d, conf %d (was %d), %d bindings", p, v.Conf, conf, v.Bindings.Len())
	}
	apply(t, s, vportYAML("vm3", "bridge/web"))
	if n := id(t, s, topology.KindVPort, "vm3"); n != 8 {
		t.Errorf("first id after the restart is %d, want 8", n)
	}
}

// Two processes apply at the same time: all changes are there, ids are unique, both see the same.
func TestConcurrentAppliers(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	apply(t, a, network)
	const each = 15
	var wg sync.WaitGroup
	for i, s := range []*Store{a, b} {
		for g := range 2 {
			wg.Go(func() {
				for n := range each {
					if _, err := s.Apply(t.Context(), decode(t, vportYAML(fmt.Sprintf("vm-%d-%d-%d", i, g, n), "bridge/web"))); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	_, rev, err := a.List(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	want := fromScratch(t, a)
	for _, s := range []*Store{a, b} {
		if d := cmp.Diff(want, dump(wait(t, s, rev).Topology)); d != "" {
			t.Error(d)
		}
	}
	ids := map[uint32]bool{}
	for p := range a.View().Topology.VPorts() {
		ids[uint32(p.ID)] = true
	}
	if len(ids) != 4+4*each {
		t.Errorf("%d vports, want %d", len(ids), 4+4*each)
	}
}

// A change that names what another applier just deleted is refused, not half done.
func TestApplySeesOthersDeletes(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	apply(t, a, network)
	if _, err := b.Apply(t.Context(), decode(t, "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: other, tenant: acme}\nspec: {}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Delete(t.Context(), ref(topology.KindBridge, "other")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Apply(t.Context(), decode(t, vportYAML("vm3", "bridge/other"))); err == nil {
		t.Error("a port of a deleted bridge is accepted")
	}
}

// Another process commits between our reading and our writing: we read again, and are refused.
func TestApplyIsOptimistic(t *testing.T) {
	a := embeddedStore(t)
	b := second(t, a)
	apply(t, a, network)
	plans := 0
	_, err := a.change(t.Context(), func(*topology.Set) ([]*topology.Object, []topology.Ref, error) {
		if plans++; plans == 1 {
			if _, err := b.Delete(t.Context(), ref(topology.KindVPort, "vm2")); err != nil {
				t.Fatal(err)
			}
		}
		return decode(t, "apiVersion: weft/v1\nkind: Binding\nmetadata: {name: b, tenant: acme}\nspec: {vport: vm2, edge: e1, interface: eth7}\n"), nil, nil
	})
	var errs topology.Errors
	if !errors.As(err, &errs) || plans != 2 {
		t.Errorf("bound a deleted vport: %v after %d plans", err, plans)
	}
	if p := places(t, a); len(p) != 1 {
		t.Errorf("bindings: %v", p)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%dObjects", n), func(b *testing.B) {
			s := embeddedStore(b)
			apply(b, s, network)
			objects := make([]*topology.Object, n)
			for i := range objects {
				objects[i] = decode(b, vportYAML(fmt.Sprintf("x%d", i), "bridge/web"))[0]
			}
			if _, err := s.Apply(b.Context(), objects); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				rev, err := s.Bind(b.Context(), ref(topology.KindVPort, "vm1"), "e1", fmt.Sprintf("eth%d", i), 0)
				if err != nil {
					b.Fatal(err)
				}
				wait(b, s, rev)
			}
		})
	}
}
