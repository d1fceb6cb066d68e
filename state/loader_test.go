package state

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// tenantYAML is one tenant: a bridge with a VM, behind its router, which is linked to the provider's.
func tenantYAML(n int, edge string) string {
	t := fmt.Sprintf("t%d", n)
	object := func(kind, name, spec string) string {
		return fmt.Sprintf("---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, name, t, spec)
	}
	host := fmt.Sprintf("%d.%d", n>>8, n&255)
	return object("Bridge", "lan", "") + object("Router", "gw", fmt.Sprintf(`routes: [{dst: 0.0.0.0/0, via: 100.64.%s, port: up}]`, host)) +
		object("VPort", "vm", "device: bridge/lan") + object("VPort", "lan-gw", "device: bridge/lan, peer: gw-lan") +
		object("VPort", "gw-lan", `device: router/gw, peer: lan-gw, addresses: [10.0.0.1/24, "fd00::1/64"]`) +
		object("VPort", "up", fmt.Sprintf(`device: router/gw, peer: isp/%s`, t)) +
		strings.ReplaceAll(object("VPort", t, fmt.Sprintf(`device: router/core, peer: %s/up, addresses: [100.64.%s/32]`, t, host)), "tenant: "+t+"}", "tenant: isp}") +
		object("Binding", "vm", fmt.Sprintf("vport: vm, edge: %s, interface: i%d", edge, n))
}

const provider = `
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: uplink, tenant: isp}
spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8::1/64"]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: uplink, tenant: isp}
spec: {vport: uplink, edge: border, interface: eth0}
`

// lazyStore opens a store on the same database that is for some edges.
func lazyStore(tb testing.TB, s *Store, linger time.Duration, edges ...string) *Store {
	o, _ := openStore(tb, Config{Client: ClientConfig{Endpoints: s.Endpoints()}, Edges: edges, Linger: linger})
	return o
}

// idOf is the id of an object, by a whole view.
func idOf(tb testing.TB, s *Store, kind topology.Kind, tenant, name string) topology.DeviceID {
	tb.Helper()
	n, ok := s.View().Topology.ID(topology.Ref{Kind: kind, Tenant: tenant, Name: name})
	if !ok {
		tb.Fatalf("%s %s/%s is not in the view", kind, tenant, name)
	}
	return topology.DeviceID(n)
}

// devices names the devices of a view.
func devices(v *View) []string {
	var out []string
	for b := range v.Topology.Bridges() {
		out = append(out, b.Tenant+"/"+b.Name)
	}
	for r := range v.Topology.Routers() {
		out = append(out, r.Tenant+"/"+r.Name)
	}
	slices.Sort(out)
	return out
}

func has(name string) func(*topology.Snapshot) bool {
	return func(s *topology.Snapshot) bool { return slices.Contains(devices(&View{Topology: s}), name) }
}

func hasNot(name string) func(*topology.Snapshot) bool {
	is := has(name)
	return func(s *topology.Snapshot) bool { return !is(s) }
}

func await(tb testing.TB, s *Store, is func(*topology.Snapshot) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if err := s.Wait(ctx, is); err != nil {
		tb.Fatalf("%v; loaded: %v", err, devices(s.View()))
	}
}

// An edge has what it hosts and two links beyond; more when asked, until that is released; and not what it hosted once (E7).
func TestLoadsWhatItHosts(t *testing.T) {
	all := embeddedStore(t)
	apply(t, all, provider+tenantYAML(1, "e1")+tenantYAML(2, "e2"))
	e1 := lazyStore(t, all, 50*time.Millisecond, "e1")
	v := wait(t, e1, all.View().Conf)
	if d := cmp.Diff([]string{"isp/core", "t1/gw", "t1/lan"}, devices(v)); d != "" {
		t.Error(d)
	}
	if v.Conf != all.View().Conf || v.Bindings.Len() != 2 {
		t.Errorf("conf %d, want %d; %d bindings, want those of the VM and of the uplink", v.Conf, all.View().Conf, v.Bindings.Len())
	}
	gw2, lan2 := idOf(t, all, topology.KindRouter, "t2", "gw"), idOf(t, all, topology.KindBridge, "t2", "lan")
	core := v.Topology.Router(idOf(t, all, topology.KindRouter, "isp", "core"))
	missing := map[topology.DeviceID]int{}
	for _, p := range core.Ports {
		missing[v.Topology.Missing(v.Topology.VPort(p))]++
	}
	if missing[gw2] != 1 || missing[0] != 2 {
		t.Errorf("behind the core router are missing %v, want %d", missing, gw2)
	}

	e1.Load(gw2)
	e1.Load(gw2)
	await(t, e1, has("t2/gw"))
	e1.Release(gw2)
	e1.Load(lan2)
	await(t, e1, has("t2/lan"))
	if _, ok := e1.View().Bindings.Get(flowVPortID(idOf(t, all, topology.KindVPort, "t2", "vm"))); !ok {
		t.Error("the place of a loaded device's vport is not loaded")
	}
	e1.Release(lan2)
	await(t, e1, hasNot("t2/lan"))
	if !has("t2/gw")(e1.View().Topology) {
		t.Error("a device that was loaded twice and released once is forgotten")
	}
	e1.Release(gw2)
	await(t, e1, hasNot("t2/gw"))
	if _, ok := e1.View().Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "t2", Name: "gw-lan"}); ok {
		t.Error("a port of a forgotten device is left")
	}

	// The VM moves: the tenant comes to e2's view before its revision counts as applied, and goes from e1's.
	e2 := lazyStore(t, all, 50*time.Millisecond, "e2")
	rev, err := all.Bind(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "t1", Name: "vm"}, "e2", "i1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if v := wait(t, e2, rev); v.Conf < rev || !has("t1/lan")(v.Topology) || !has("t2/lan")(v.Topology) {
		t.Errorf("e2 at %d (conf %d) has %v", rev, v.Conf, devices(v))
	}
	await(t, e1, hasNot("t1/lan"))
	if got := devices(e1.View()); len(got) != 0 {
		t.Errorf("e1 hosts nothing and has %v", got)
	}
}

// Changes of devices that are not loaded make no events; those of loaded ones do, and what went while a device was forgotten is not there when it returns.
func TestEventsOfLoadedDevices(t *testing.T) {
	all := embeddedStore(t)
	apply(t, all, provider+tenantYAML(1, "e1")+tenantYAML(2, "e2"))
	e1 := lazyStore(t, all, 20*time.Millisecond, "e1")
	wait(t, e1, all.View().Conf)
	lan1, lan2 := idOf(t, all, topology.KindBridge, "t1", "lan"), idOf(t, all, topology.KindBridge, "t2", "lan")
	vm1, vm2 := flowVPortID(idOf(t, all, topology.KindVPort, "t1", "vm")), flowVPortID(idOf(t, all, topology.KindVPort, "t2", "vm"))
	deps := make(chan []topology.Dep, 1000)
	running(t, func(ctx context.Context) error { return e1.Watch(ctx, func(c Change) { deps <- c.Deps }) })
	within(t, deps)

	// LearnMAC at a store that does not have the bridge: the database decides, not the view.
	if got, _, _, err := e1.LearnMAC(t.Context(), lan2, mac(2), vm2); err != nil || got != LearntNew {
		t.Errorf("learn in a bridge that is not loaded: %v, %v", got, err)
	}
	if got, _, _, err := e1.LearnMAC(t.Context(), lan2, mac(3), vm1); err != nil || got != RefusedGone {
		t.Errorf("learn behind a port of another bridge: %v, %v; want it refused", got, err)
	}
	_, _, rev, err := e1.LearnMAC(t.Context(), lan1, mac(1), vm1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := wait(t, e1, rev).Topology.Bridge(lan1).FDB(mac(1)); !ok {
		t.Error("learnt in a loaded bridge, and not seen")
	}
	if got := within(t, deps); !slices.Equal(got, []topology.Dep{topology.FDBDep(lan1, mac(1))}) {
		t.Errorf("told %v, want the loaded bridge's only", got)
	}
	e1.Load(lan2)
	await(t, e1, has("t2/lan"))
	if p, _ := e1.View().Topology.Bridge(lan2).FDB(mac(2)); p != vm2 {
		t.Errorf("learnt before the bridge was loaded: at %d", p)
	}
	if n := e1.learnt.count(vm2); n != 1 {
		t.Errorf("%d MACs counted behind the port, want 1", n)
	}
	e1.Release(lan2)
	await(t, e1, hasNot("t2/lan"))
	if n := e1.learnt.count(vm2); n != 0 {
		t.Errorf("%d MACs counted behind a port that is forgotten", n)
	}
	if _, err := all.ForgetMAC(t.Context(), lan2, mac(2), vm2); err != nil {
		t.Fatal(err)
	}
	e1.Load(lan2)
	await(t, e1, has("t2/lan"))
	if p, ok := e1.View().Topology.Bridge(lan2).FDB(mac(2)); ok {
		t.Errorf("a MAC that went meanwhile is at %d", p)
	}
	ask := idOf(t, all, topology.KindVPort, "t2", "gw-lan")
	if first, _, _, err := e1.AskNeighbour(t.Context(), "e1", flowVPortID(ask), addr("10.0.0.9"), 1); err != nil || !first {
		t.Errorf("ask at a port that is not loaded: %v, %v", first, err)
	}
	if got, _, err := e1.LearnNeighbour(t.Context(), flowVPortID(ask), addr("10.0.0.9"), mac(9), 0); err != nil || got != LearntNew {
		t.Errorf("an answer at a port that is not loaded: %v, %v", got, err)
	}
}

// compactor compacts history after the first page of each listing, the first few times.
type compactor struct {
	clientv3.KV
	c     *clientv3.Client
	times int
}

func (k *compactor) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if k.times > 0 && strings.HasPrefix(key, "/p1/") {
		k.times--
		resp, err := k.c.Put(ctx, "/p1/000001", "new")
		if err != nil {
			return nil, err
		}
		if _, err := k.c.Compact(ctx, resp.Header.Revision); err != nil {
			return nil, err
		}
	}
	return k.KV.Get(ctx, key, opts...)
}

// History is compacted between two pages of a listing: it begins again, and what is delivered is one revision's.
func TestCompactionDuringLoad(t *testing.T) {
	e, c := startEtcd(t)
	var ops []clientv3.Op
	for i := range 250 {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/p1/%06d", i), "old"))
	}
	if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	side := e.Client()
	t.Cleanup(func() { side.Close() })
	c.KV = &compactor{KV: c.KV, c: side, times: 3}
	w := NewWatcher(c, e.watchClient(), "/p0/")
	w.page = 100
	m := newMirror(t)
	running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
	w.Add("/p1/")
	resp, err := side.Put(t.Context(), "/p1/last", "x")
	if err != nil {
		t.Fatal(err)
	}
	for w.Lists() < 4 { // each compaction costs one
		if err := w.Wait(t.Context(), resp.Header.Revision); err != nil {
			t.Fatal(err)
		}
		if resp, err = side.Put(t.Context(), "/p1/last", "x"); err != nil {
			t.Fatal(err)
		}
	}
	for len(m.snapshot()) == 0 {
		if resp, err = side.Put(t.Context(), "/elsewhere", "x"); err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(t.Context(), resp.Header.Revision); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := contents(t, c, "/p1/")
	if d := cmp.Diff(want, m.snapshot()); d != "" {
		t.Errorf("%.2000s", d)
	}
}

// part is what a whole view tells of some devices: what a lazy view of them must be.
func part(whole *View, ids map[topology.DeviceID]bool) []string {
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	s := whole.Topology
	for p := range s.VPorts() {
		if ids[p.Device] {
			add("vport %d %s/%s dev %d kind %d peer %d mac %v ll %v addrs %v mtu %d down %v", p.ID, p.Tenant, p.Name, p.Device, p.Kind, p.Peer, p.MAC, p.LinkLocal, p.Addrs, p.MTU, p.AdminDown)
			b, ok := whole.Bindings.Get(p.ID)
			add("place %v %v", b, ok)
			for i := range 4 {
				m, st := s.Neighbour(p.ID, addr(fmt.Sprintf("10.0.0.%d", 100+i)))
				add("neighbour %d %v %d", i, m, st)
			}
		}
	}
	for b := range s.Bridges() {
		if !ids[b.ID] {
			continue
		}
		add("bridge %d %s/%s ports %v drop %v subnets %v", b.ID, b.Tenant, b.Name, b.Ports, b.DropUnknown, b.Subnets)
		for i := range 8 {
			p, ok := b.FDB(mac(byte(i)))
			add("fdb %d: %d %v seeded %v", i, p, ok, b.SeededMAC(mac(byte(i))))
		}
		for _, a := range []string{"10.0.0.1", "fd00::1", "10.0.0.100", "10.0.0.101"} {
			m, ok := b.Neighbour(addr(a))
			add("cache %s: %v %v seeded %v", a, m, ok, b.SeededNeighbour(addr(a)))
		}
	}
	for r := range s.Routers() {
		if ids[r.ID] {
			add("router %d %s/%s ports %v routes %v", r.ID, r.Tenant, r.Name, r.Ports, slices.Collect(r.Routes.All()))
		}
	}
	slices.Sort(out)
	return out
}

// loadedIDs are the devices of a view.
func loadedIDs(v *View) map[topology.DeviceID]bool {
	ids := map[topology.DeviceID]bool{}
	for b := range v.Topology.Bridges() {
		ids[b.ID] = true
	}
	for r := range v.Topology.Routers() {
		ids[r.ID] = true
	}
	return ids
}

// shuffle makes one random change of a network of a few tenants.
type shuffle struct {
	t   *testing.T
	rng *rand.Rand
	s   *Store
	up  map[int]bool
}

func (f *shuffle) change() int64 {
	f.t.Helper()
	n := 1 + f.rng.IntN(4)
	tenant := fmt.Sprintf("t%d", n)
	do := func(rev int64, err error) int64 {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
		return rev
	}
	if !f.up[n] || f.rng.IntN(8) == 0 {
		if f.up[n] = !f.up[n]; f.up[n] {
			return do(f.s.Apply(f.t.Context(), decode(f.t, tenantYAML(n, fmt.Sprintf("e%d", 1+f.rng.IntN(2))))))
		}
		var refs []topology.Ref
		for _, o := range decode(f.t, tenantYAML(n, "e1")) {
			refs = append(refs, o.Ref())
		}
		return do(f.s.Delete(f.t.Context(), refs...))
	}
	v := f.s.View().Topology
	id := func(kind topology.Kind, name string) topology.DeviceID { return idOf(f.t, f.s, kind, tenant, name) }
	switch f.rng.IntN(6) {
	case 0:
		return do(f.s.Bind(f.t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: "vm"}, fmt.Sprintf("e%d", 1+f.rng.IntN(2)), fmt.Sprintf("i%d", n), 0))
	case 1:
		_, _, rev, err := f.s.LearnMAC(f.t.Context(), id(topology.KindBridge, "lan"), mac(byte(f.rng.IntN(8))), flowVPortID(id(topology.KindVPort, "vm")))
		return do(rev, err)
	case 2:
		_, _, rev, err := f.s.AskNeighbour(f.t.Context(), "e1", flowVPortID(id(topology.KindVPort, "gw-lan")), addr(fmt.Sprintf("10.0.0.%d", 100+f.rng.IntN(4))), 1)
		return do(rev, err)
	case 3: // the router port gets another MAC: the bridge's seeds follow
		y := fmt.Sprintf("apiVersion: weft/v1\nkind: VPort\nmetadata: {name: gw-lan, tenant: %s}\nspec: {device: router/gw, peer: lan-gw, mac: \"02:00:00:00:00:%02x\", addresses: [10.0.0.1/24]}\n", tenant, f.rng.IntN(8))
		return do(f.s.Apply(f.t.Context(), decode(f.t, y)))
	case 4: // the link to the bridge becomes another router's, with its id, and back
		device := "router/gw"
		p := v.VPort(flowVPortID(id(topology.KindVPort, "gw-lan")))
		if v.Router(p.Device).Tenant == tenant {
			device = "router/isp/core"
		}
		y := fmt.Sprintf("apiVersion: weft/v1\nkind: VPort\nmetadata: {name: gw-lan, tenant: %s}\nspec: {device: %s, peer: lan-gw, addresses: [10.%d.0.1/24]}\n", tenant, device, n)
		return do(f.s.Apply(f.t.Context(), decode(f.t, y)))
	}
	_, _, rev, err := f.s.LearnMAC(f.t.Context(), id(topology.KindBridge, "lan"), mac(byte(f.rng.IntN(8))), flowVPortID(id(topology.KindVPort, "lan-gw")))
	return do(rev, err)
}

// A lazy view is what the whole view says of its devices, whatever was loaded and forgotten when; and what is derived in the database follows from the
// objects alone.
func TestLazyViewIsPartOfTheWhole(t *testing.T) {
	all := embeddedStore(t)
	apply(t, all, provider)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	f := &shuffle{t: t, rng: rand.New(rand.NewPCG(seed, 1)), s: all, up: map[int]bool{}}
	e1, e2 := lazyStore(t, all, time.Millisecond, "e1"), lazyStore(t, all, time.Millisecond, "e2", "border")
	loads, compared := map[topology.DeviceID]int{}, 0
	for i := range 120 {
		rev := f.change()
		wait(t, all, rev)
		if ids := slices.Sorted(maps.Keys(loadedIDs(all.View()))); f.rng.IntN(2) == 0 {
			d := ids[f.rng.IntN(len(ids))]
			e1.Load(d)
			loads[d]++
		} else if len(loads) > 0 {
			d := slices.Sorted(maps.Keys(loads))[f.rng.IntN(len(loads))]
			e1.Release(d)
			if loads[d]--; loads[d] == 0 {
				delete(loads, d)
			}
		}
		if i%3 != 0 {
			continue // several changes in one batch
		}
		for name, lazy := range map[string]*Store{"e1": e1, "e2": e2} {
			v := wait(t, lazy, rev)
			if v.Revision != all.View().Revision {
				continue // something else, such as a progress answer, went by
			}
			compared++
			ids := loadedIDs(v)
			if d := cmp.Diff(part(all.View(), ids), part(v, ids)); d != "" {
				t.Fatalf("step %d, %s, devices %v: %s", i, name, ids, d)
			}
			for b := range all.View().Bindings.All() {
				if (b.Edge == name || name == "e2" && b.Edge == "border") && !ids[b.Device] {
					t.Fatalf("step %d: %s hosts a vport of device %d and has not loaded it", i, name, b.Device)
				}
			}
		}
	}
	if compared < 40 {
		t.Errorf("only %d views were compared", compared)
	}
	for d := range loads {
		await(t, e1, func(s *topology.Snapshot) bool {
			return s.Bridge(d) != nil || s.Router(d) != nil || all.View().Topology.Bridge(d) == nil && all.View().Topology.Router(d) == nil
		})
	}
	checkDerived(t, all)
}

// checkDerived compares what is derived in the database with what follows from the objects.
func checkDerived(t *testing.T, s *Store) {
	t.Helper()
	objects, _, err := s.List(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := new(topology.Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := writes{}
	for _, o := range objects {
		if err := compile(set, o.Ref(), json.Marshal, w); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{}
	for k, v := range w {
		want[k] = string(v)
	}
	got, _ := contents(t, s.client, devPrefix, vportPrefix, ifacePrefix)
	maps.DeleteFunc(got, func(key, _ string) bool {
		k, err := parseDeviceKey(key)
		return err == nil && (k.record == recordFDB || k.record == recordARP || k.record == recordNeigh)
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("derived keys differ: %s", d)
	}
}
