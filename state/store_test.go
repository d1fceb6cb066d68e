package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// Deleted and made anew between two views: the old id is gone.
func TestViewOfRecreatedObject(t *testing.T) {
	s, err := Open(t.Context(), Config{Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	object := func(id uint32) []byte {
		o := decode(t, vportYAML("vm1", "bridge/web"))[0]
		o.Status.ID = id
		b, err := encodeObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := confKey(ref(topology.KindVPort, "vm1"))
	for _, b := range []Batch{
		{Revision: 5, Reset: true, Events: []Event{{Key: key, Value: object(7), ModRevision: 5}}},
		{Revision: 9, Events: []Event{{Key: key, Deleted: true, ModRevision: 8}, {Key: key, Value: object(9), ModRevision: 9}}},
	} {
		if err := s.deliver(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.View().Topology; got.VPort(7) != nil || got.VPort(9) == nil {
		t.Errorf("view: %v", dump(got))
	}
}

// places checks that both directions of the bindings agree in etcd, and returns them.
func places(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all, _ := contents(t, s.client, bindPrefix, ifacePrefix)
	forward, reverse := map[string]string{}, map[string]string{}
	for k, v := range all {
		if strings.HasPrefix(k, ifacePrefix) {
			reverse[strings.TrimPrefix(k, ifacePrefix)] = v
			continue
		}
		b, err := decodeBinding(k, []byte(v))
		if err != nil {
			t.Fatal(err)
		}
		forward[strings.TrimPrefix(b.iface(), ifacePrefix)] = b.VPort.String()
	}
	if d := cmp.Diff(forward, reverse); d != "" {
		t.Errorf("the two directions differ: %s", d)
	}
	return forward
}

func TestBindMovesAtomically(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	vm1, vm2 := ref(topology.KindVPort, "vm1"), ref(topology.KindVPort, "vm2")
	if _, err := s.Bind(t.Context(), vm2, "e1", "eth1", 0); err == nil || !strings.Contains(err.Error(), "eth1") || !strings.Contains(err.Error(), "binding acme/vm1") {
		t.Errorf("second bind of eth1: %v; want an error that names the interface and who has it", err)
	}
	if _, err := s.Bind(t.Context(), ref(topology.KindVPort, "nobody"), "e1", "eth2", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("bind of nothing: %v", err)
	}
	if _, err := s.Bind(t.Context(), vm2, "e1", "eth1", 30); err != nil {
		t.Errorf("another VLAN of eth1: %v", err)
	}

	// Every view along the moves has vm1 at exactly one place.
	n := id(t, s, topology.KindVPort, "vm1")
	var mu sync.Mutex
	seen := map[string]bool{}
	stopWatch := running(t, func(ctx context.Context) error {
		return s.Watch(ctx, func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			b, ok := c.View.Bindings.Get(5)
			if !ok {
				t.Error("vm1 is bound nowhere for a moment")
			}
			seen[b.Edge] = true
		})
	})
	var rev int64
	for i := range 10 {
		var err error
		if rev, err = s.Bind(t.Context(), vm1, fmt.Sprintf("e%d", i%3+1), "Ethernet1/1", 0); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := wait(t, s, rev).Bindings.Get(5); n != 5 || b.Edge != "e1" || b.Name != "vm1" {
		t.Errorf("vm1 (%d) is at %+v", n, b)
	}
	want := map[string]string{"e1/Ethernet1%2F1/0": "5", "e1/eth1/30": "6"}
	if d := cmp.Diff(want, places(t, s)); d != "" {
		t.Error(d)
	}
	// Two ports swap places in one change.
	swap := func(vm, iface, vlan string) string {
		return fmt.Sprintf("---\napiVersion: weft/v1\nkind: Binding\nmetadata: {name: %s, tenant: acme}\nspec: {vport: %s, edge: e1, interface: %s, vlan: %s}\n", vm, vm, iface, vlan)
	}
	apply(t, s, swap("vm1", "eth1", "30")+swap("vm2", "Ethernet1/1", "0"))
	want = map[string]string{"e1/Ethernet1%2F1/0": "6", "e1/eth1/30": "5"}
	if d := cmp.Diff(want, places(t, s)); d != "" {
		t.Error(d)
	}
	if got := s.View().Bindings.Edge("e1"); len(got) != 2 || got[0].VPort != 5 || got[1].VPort != 6 {
		t.Errorf("bindings of e1: %+v", got)
	}
	stopWatch()
	if len(seen) == 0 || seen[""] {
		t.Errorf("edges seen: %v", seen)
	}
	for _, vm := range []topology.Ref{vm1, vm2} {
		if rev, err := s.Unbind(t.Context(), vm); err != nil {
			t.Error(err)
		} else {
			wait(t, s, rev)
		}
		if _, err := s.Unbind(t.Context(), vm); !errors.Is(err, ErrNotFound) {
			t.Errorf("unbind twice: %v", err)
		}
	}
	if p := places(t, s); len(p) != 0 {
		t.Errorf("left: %v", p)
	}
}

func TestWatchTellsDeps(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	changes := make(chan Change, 1000)
	running(t, func(ctx context.Context) error { return s.Watch(ctx, func(c Change) { changes <- c }) })
	if first := within(t, changes); !first.All || first.View.Topology.VPort(5) == nil {
		t.Errorf("first call: %+v", first)
	}
	until := func(rev int64, dep topology.Dep) {
		t.Helper()
		deps := map[topology.Dep]bool{}
		for {
			c := within(t, changes)
			for _, d := range c.Deps {
				deps[d] = true
			}
			if c.View.Revision >= rev {
				break
			}
		}
		if !deps[dep] {
			t.Errorf("%v is not told; only %v", dep, slices.Collect(maps.Keys(deps)))
		}
	}
	_, _, rev, err := s.LearnMAC(t.Context(), 1, mac(9), 6)
	if err != nil {
		t.Fatal(err)
	}
	until(rev, topology.FDBDep(1, mac(9)))
	rev = apply(t, s, strings.Replace(vportYAML("vm2", "bridge/web"), "}\n", "}\n", 1)+"---\n"+vportYAML("vm3", "bridge/web"))
	until(rev, topology.GroupDep(1))
	rev, err = s.Bind(t.Context(), ref(topology.KindVPort, "vm2"), "e2", "eth0", 0)
	if err != nil {
		t.Fatal(err)
	}
	until(rev, topology.BindingDep(6))
}

// The network fails, history is compacted meanwhile: the view afterwards is the database, and what went is told.
func TestViewAfterCompaction(t *testing.T) {
	a := embeddedStore(t)
	apply(t, a, network+"---\n"+vportYAML("vm3", "bridge/web"))
	g := newGate(t, a.embedded.etcd.Clients[0].Addr().String())
	b, _ := openStore(t, Config{Client: ClientConfig{Endpoints: []string{"http://" + g.l.Addr().String()}}})
	_, _, rev, err := a.LearnMAC(t.Context(), 1, mac(9), 6)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := wait(t, b, rev).Topology.Bridge(1).FDB(mac(9)); p != 6 {
		t.Fatalf("MAC at %d", p)
	}
	g.set(true)
	if _, err := a.ForgetMAC(t.Context(), 1, mac(9), 6); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Unbind(t.Context(), ref(topology.KindVPort, "vm1")); err != nil {
		t.Fatal(err)
	}
	rev, err = a.Delete(t.Context(), ref(topology.KindVPort, "vm3"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.client.Compact(t.Context(), rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	var told sync.Map
	first := make(chan struct{})
	running(t, func(ctx context.Context) error {
		return b.Watch(ctx, func(c Change) {
			if c.All {
				close(first)
			}
			for _, d := range c.Deps {
				told.Store(d, true)
			}
		})
	})
	within(t, first)
	g.set(false)
	v := wait(t, b, rev)
	if d := cmp.Diff(fromScratch(t, a), dump(v.Topology)); d != "" {
		t.Error(d)
	}
	if _, ok := v.Topology.Bridge(1).FDB(mac(9)); ok || v.Bindings.Len() != 0 || v.Conf != rev || b.watcher.Relists() != 2 {
		t.Errorf("MAC still there: %v; %d bindings; conf %d, want %d; %d listings", ok, v.Bindings.Len(), v.Conf, rev, b.watcher.Relists())
	}
	_, _, rev, err = a.LearnMAC(t.Context(), 1, mac(10), 6) // a last change, to know that the watch has been called
	if err != nil {
		t.Fatal(err)
	}
	last := make(chan struct{})
	running(t, func(ctx context.Context) error {
		wait(t, b, rev)
		for {
			if _, ok := told.Load(topology.FDBDep(1, mac(10))); ok {
				close(last)
				return nil
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	})
	within(t, last)
	for _, d := range []topology.Dep{topology.FDBDep(1, mac(9)), topology.BindingDep(5), topology.VPortDep(7)} {
		if _, ok := told.Load(d); !ok {
			t.Errorf("%v is not told", d)
		}
	}
}

// Values that somebody else wrote badly are skipped and counted; the rest of the network lives.
func TestBadValuesAreSkipped(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	for k, v := range map[string]string{
		fdbKey(1, mac(1)): "?", confPrefix + "vport/acme/x": "{", bindKey(5): "null", edgeKey("e"): "[]", ackKey("e"): "x",
		confPrefix + "nonsense": "", fdbPrefix + "x": "", arpPrefix + "1/zz": "",
	} {
		if _, err := s.client.Put(t.Context(), k, v); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := s.client.Put(t.Context(), fdbKey(1, mac(2)), string(appendFDB(nil, fdbValue{vport: 6})))
	if err != nil {
		t.Fatal(err)
	}
	v := wait(t, s, resp.Header.Revision)
	if p, _ := v.Topology.Bridge(1).FDB(mac(2)); p != 6 || v.Bindings.Len() != 1 {
		t.Errorf("MAC at %d, %d bindings", p, v.Bindings.Len())
	}
	if n := s.BadValues(); n != 8 {
		t.Errorf("%d bad values counted, want 8", n)
	}
}

func FuzzStoredValues(f *testing.F) {
	f.Add(confPrefix+"vport/acme/vm1", []byte(`{"kind":"VPort","metadata":{"name":"vm1","tenant":"acme"},"spec":{"device":"bridge/web"},"status":{"id":7}}`))
	f.Add(bindKey(5), []byte(`{"vport":5,"edge":"e1","interface":"eth1"}`))
	f.Add(edgeKey("e1"), []byte(`{"id":"e1","vteps":["192.0.2.1","2001:db8::1"]}`))
	f.Add(ackKey("e1"), []byte("12"))
	f.Add(addrKey(neighPrefix, 5, addr("10.0.0.1")), appendNeigh(nil, neighValue{attempts: 1}))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		m := batch{binds: map[flowVPortID]*Binding{}, edges: map[string]*EdgeInfo{}, acks: map[string]int64{}, before: new(topology.Snapshot)}
		_ = m.add(Event{Key: key, Value: value, ModRevision: 1})
		_ = m.add(Event{Key: key, Deleted: true, ModRevision: 2})
		snap, _ := new(topology.Snapshot).With(m.topo)
		_ = dump(snap)
		_ = m.newEdges(map[string]Edge{})
	})
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
