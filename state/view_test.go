package state

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// Deleted and made anew between two views: the old id is gone.
func TestViewOfRecreatedObject(t *testing.T) {
	s, err := Open(t.Context(), Config{Embedded: &EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	event := func(id uint32, rev int64, deleted bool) Event {
		o := decode(t, vportYAML("vm1", "bridge/web"))[0]
		o.Status.ID = id
		b, err := encodeObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return Event{Prefix: devPrefix, Key: portKey(1, flowVPortID(id)), Value: b, ModRevision: rev, Deleted: deleted}
	}
	for _, b := range []Batch{
		{Revision: 5, Listed: []string{devPrefix}, Events: []Event{event(7, 5, false)}},
		{Revision: 9, Events: []Event{event(7, 8, true), event(9, 9, false)}},
	} {
		if err := s.deliver(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.View().Topology; got.VPort(7) != nil || got.VPort(9) == nil {
		t.Errorf("view: %v", dump(got))
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
	if _, ok := v.Topology.Bridge(1).FDB(mac(9)); ok || v.Bindings.Len() != 0 || v.Conf != rev || b.watcher.Lists() != 2*uint64(len(b.watcher.fixed)) {
		t.Errorf("MAC still there: %v; %d bindings; conf %d, want %d; %d listings", ok, v.Bindings.Len(), v.Conf, rev, b.watcher.Lists())
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
		fdbKey(1, mac(1)): "?", portKey(1, 5): "{", bindKey(1, 5): "null", infoKey("e"): "[]", liveKey("e"): "x",
		fabricPrefix + "nonsense": "", recordPrefix(1, recordFDB) + "x": "", recordPrefix(1, recordARP) + "zz": "", selfKey(2): string(appendFDB(nil, fdbValue{vport: 6})),
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
	if n := s.BadValues(); n != 9 {
		t.Errorf("%d bad values counted, want 9", n)
	}
}

func FuzzStoredValues(f *testing.F) {
	f.Add(fabricPrefix+"acme/f", []byte(`{"kind":"Fabric","metadata":{"name":"f","tenant":"acme"},"spec":{"mtu":1600}}`))
	f.Add(portKey(1, 7), []byte(`{"kind":"VPort","metadata":{"name":"vm1","tenant":"acme"},"spec":{"device":"bridge/web"},"status":{"id":7}}`))
	f.Add(bindKey(1, 5), []byte(`{"vport":5,"device":1,"edge":"e1","interface":"eth1"}`))
	f.Add(ifaceKey("e1", "eth1", 0), []byte(`{"vport":5,"device":1,"edge":"e1","interface":"eth1"}`))
	f.Add(infoKey("e1"), []byte(`{"id":"e1","vteps":["192.0.2.1","2001:db8::1"]}`))
	f.Add(liveKey("e1"), []byte(`{"target":"away"}`))
	f.Add(ackKey("e1"), []byte(`{"applied":12,"lacks":[{"tenant":"acme","object":"vport/acme/web","why":"no room"}]}`))
	f.Add(neighKey(2, 5, addr("10.0.0.1")), appendNeigh(nil, neighValue{attempts: 1}))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		m := batch{binds: map[flowVPortID]*Binding{}, hosts: map[string]topology.DeviceID{}, edges: map[string]*EdgeInfo{}, live: map[string]*Liveness{}, acks: map[string]*Ack{}, before: new(topology.Snapshot)}
		_ = m.add(Event{Key: key, Value: value, ModRevision: 1})
		_ = m.add(Event{Key: key, Deleted: true, ModRevision: 2})
		snap, _ := new(topology.Snapshot).With(m.topo)
		_ = dump(snap)
		r := reader{acks: map[string]Ack{}}
		_, _ = r.newEdges(&m, new(View))
	})
}
