package state

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// compact forgets the history before rev.
func compact(t *testing.T, c *clientv3.Client, rev int64) {
	t.Helper()
	if _, err := c.Compact(t.Context(), rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

// TestEdgeOutlivesCompaction: an edge's own watch, on which nothing has come for long, breaks after the history that it would resume from is gone. That
// is no reason to think that the edge is lost; and it still learns when it is.
func TestEdgeOutlivesCompaction(t *testing.T) {
	s := embeddedStore(t)
	g := newGate(t, s.embedded.etcd.Clients[0].Addr().String())
	remote, err := Dial(t.Context(), ClientConfig{Endpoints: []string{"http://" + g.l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remote.Close() })
	live, lost := make(chan struct{}, 8), make(chan error, 8)
	r, err := NewRegistration(remote, edgeInfo("e1"), EdgeConfig{TTL: time.Minute, Live: func() { live <- struct{}{} }, Lost: func(err error) { lost <- err }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	within(t, live)
	apply(t, s, network)
	rev := apply(t, s, vportYAML("vm3", "bridge/web"))
	compact(t, s.client, rev)
	g.set(true)
	g.set(false)
	r.Ack(rev, nil)
	untilView(t, s, "e1's acknowledgement", func(v *View) bool { return v.Edges.Of("e1").Applied == rev })
	takenByNext(t, s, lost, ended)
}

// TestLazyStoreOutlivesCompaction: a store of one edge is away while devices come, change and go, and history is compacted. What it is told afterwards is
// what differs: nothing that stayed, nothing twice.
func TestLazyStoreOutlivesCompaction(t *testing.T) {
	a := embeddedStore(t)
	apply(t, a, provider+tenantYAML(1, "e1")+tenantYAML(2, "e1")+tenantYAML(3, "e2"))
	g := newGate(t, a.embedded.etcd.Clients[0].Addr().String())
	b, _ := openStore(t, Config{Client: ClientConfig{Endpoints: []string{"http://" + g.l.Addr().String()}}, Edges: []string{"e1"}, Linger: time.Millisecond})
	b.Load(idOf(t, a, topology.KindBridge, "t3", "lan"))
	await(t, b, has("t3/lan"))
	stays := topology.VPortDep(flowVPortID(idOf(t, a, topology.KindVPort, "t1", "vm")))
	goes := topology.VPortDep(flowVPortID(idOf(t, a, topology.KindVPort, "t2", "vm")))
	grows := topology.GroupDep(idOf(t, a, topology.KindBridge, "t3", "lan"))

	changes := make(chan Change, 1000)
	stop := running(t, func(ctx context.Context) error { return b.Watch(ctx, func(c Change) { changes <- c }) })
	within(t, changes)
	g.set(true)
	if _, err := a.Unbind(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "t2", Name: "vm"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Delete(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "t2", Name: "vm"}); err != nil {
		t.Fatal(err)
	}
	rev, err := a.Apply(t.Context(), decode(t, "apiVersion: weft/v1\nkind: VPort\nmetadata: {name: more, tenant: t3}\nspec: {device: bridge/lan}\n"+tenantYAML(4, "e1")))
	if err != nil {
		t.Fatal(err)
	}
	compact(t, a.client, rev)
	g.set(false)
	wait(t, b, rev)
	await(t, b, has("t4/lan"))
	await(t, b, hasNot("t2/gw"))
	stop()
	close(changes)
	told := map[topology.Dep]int{}
	for c := range changes {
		if c.All {
			t.Error("everything is told again")
		}
		for _, d := range c.Deps {
			told[d]++
		}
	}
	if told[stays] != 0 || told[goes] != 1 || told[grows] != 1 {
		t.Errorf("told %d times what stayed, %d what went, %d what grew; want 0, 1, 1", told[stays], told[goes], told[grows])
	}
	if d := cmp.Diff([]string{"isp/core", "t1/gw", "t1/lan", "t3/lan", "t4/gw", "t4/lan"}, devices(b.View())); d != "" {
		t.Error(d)
	}
}
