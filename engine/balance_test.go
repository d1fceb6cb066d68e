package engine

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

const pooled = `
apiVersion: weft/v1
kind: Pool
metadata: {name: web, tenant: red}
spec:
  sticky: {timeout: 60}
  members: [{address: 10.0.1.2}, {address: 10.0.1.3, port: 80}]
  monitor: {type: tcp, port: 80, source: gw-lan}
---` + network

// TestBalanceCounts (N4): turns are taken and connections counted from when they are about to be stored, so that a burst is spread, until they end; those of a
// member that goes down end, and no others, here and in the database.
func TestBalanceCounts(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	c := detached(t, store)
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(pooled)); err != nil {
		t.Fatal(err)
	}
	id, _ := c.snap.ID(topology.Ref{Kind: topology.KindPool, Tenant: "red", Name: "web"})
	pool := c.snap.Pool(topology.DeviceID(id))
	first, second := pool.Members[0].MemberKey, pool.Members[1].MemberKey
	loads := func() [2]uint32 { return [2]uint32{c.balance.Load(pool.ID, first), c.balance.Load(pool.ID, second)} }
	b := c.balance
	tracks := make([]sim.Track, 4)
	for i := range tracks {
		r := &tracks[i]
		r.Key = conntrack.Key{Zone: 1, Tuple: conntrack.Tuple{Src: flow.AddrOf(netip.MustParseAddr("10.9.0.1")), Dst: flow.AddrOf(netip.MustParseAddr("192.0.2.1")), SrcPort: uint16(i + 1), DstPort: 80, Proto: 6}}
		r.New = conntrack.Conn{Forward: r.Key, RetZone: 2, Progress: conntrack.Progress{}.Next(&conntrack.Packet{Proto: 6, Flags: 1 << 4}, false), ForwardOwner: c.conns.run}
		r.New.AddStep(conntrack.Step{Device: 3, Dst: true, Addr: pool.Members[i%2].Addr, Port: 80, Pool: id})
		r.Client = topology.PoolClient{Pool: pool.ID, Addr: r.Key.Src}
		stick, ended := b.begins(r)
		if got := b.Turn(pool.ID, false); got != uint32(i+1) {
			t.Errorf("turn %d, want %d", got, i+1)
		}
		if stick == nil || stick.Client != r.Client || stick.Member != pool.Members[i%2].MemberKey {
			t.Fatalf("to be remembered: %+v", stick)
		}
		if i == 3 { // another edge was faster
			ended(0)
			if _, _, known := b.Last(r.Client); known {
				t.Error("who the client's member is by now is not known, and not asked")
			}
			continue
		}
		rev, created, err := store.CreateConn(t.Context(), r.New, nil, nil, stick)
		if err != nil || !created {
			t.Fatal(created, err)
		}
		ended(rev)
		if m, stuck, known := b.Last(r.Client); !known || !stuck || m != stick.Member {
			t.Errorf("the client's member is %v, %v, %v", m, stuck, known)
		}
		c.conns.keep(&conn{stored: state.StoredConn{Conn: r.New, Revision: rev}, own: [2]bool{forward: true}})
	}
	if loads() != [2]uint32{2, 1} {
		t.Fatalf("loads %v", loads())
	}
	if got, want := b.stats(), []PoolStats{{Pool: pool.ID, Picks: 4, Members: []MemberLoad{{first, 2}, {second, 1}}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	c.snap, _ = c.snap.With(topology.Changes{Health: []topology.MemberHealth{{Pool: pool.ID, Member: first, Down: true}}})
	b.changed(pool.ID)
	c.effects.wait()
	if loads() != [2]uint32{0, 1} || c.conns.known.n != 1 {
		t.Errorf("loads %v, %d connections known", loads(), c.conns.known.n)
	}
	for i, there := range []bool{false, true, false} {
		if _, found, err := store.FindConn(t.Context(), tracks[i].Key); err != nil || found != there {
			t.Errorf("connection %d in the database: %v, %v", i, found, err)
		}
	}
	// The other member drains until a time: its connection is kept until then, and ends with the sweep behind it.
	drain := func(until time.Time) {
		t.Helper()
		spec := &topology.PoolSpec{Members: []topology.MemberSpec{{Address: first.IP()}, {Address: second.IP(), Port: 80, DrainUntil: until}}}
		o := &topology.Object{APIVersion: topology.APIVersion, Kind: topology.KindPool, Metadata: topology.Metadata{Name: "web", Tenant: "red"}, Spec: spec, Status: topology.Status{ID: id}}
		c.snap, _ = c.snap.With(topology.Changes{Put: []*topology.Object{o}})
		b.changed(pool.ID)
		b.sweep(c.now())
		c.effects.wait()
	}
	drain(time.Now().Add(time.Hour))
	if c.snap.Pool(pool.ID).Members[1].Open() || loads() != [2]uint32{0, 1} {
		t.Errorf("while it drains: loads %v", loads())
	}
	drain(time.Now())
	if _, found, err := store.FindConn(t.Context(), tracks[1].Key); err != nil || found || loads() != [2]uint32{} {
		t.Errorf("when it has drained: loads %v; in the database: %v, %v", loads(), found, err)
	}
	c.conns.keep(&conn{stored: state.StoredConn{Conn: tracks[1].New, Revision: 1}, own: [2]bool{forward: true}})
	b.sweep(c.now()) // one that came to be known later
	c.effects.wait()
	if len(b.loads) != 0 {
		t.Errorf("counts are left: %v", b.loads)
	}
	b.sweep(c.now() + connTime + 1)
	if len(b.last) != 0 {
		t.Errorf("clients are left: %v", b.last)
	}
}

// TestWatcherHasAPlace: what is for the monitor of a pool goes to the edge that runs it.
func TestWatcherHasAPlace(t *testing.T) {
	c := detached(t, idleStore(t))
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(pooled)); err != nil {
		t.Fatal(err)
	}
	id, _ := c.snap.ID(topology.Ref{Kind: topology.KindPool, Tenant: "red", Name: "web"})
	for _, x := range []struct {
		edge  string
		place bool
	}{{"e2", true}, {"e3", true}, {"e1", false}, {"e2", true}, {"", false}} {
		c.snap, _ = c.snap.With(topology.Changes{Watchers: []topology.PoolWatcher{{Pool: topology.DeviceID(id), Edge: x.edge}}})
		touched := map[subject]struct{}{}
		c.monitors.changed(topology.DeviceID(id), touched)
		at, has := c.view.places[flow.VPortID(id)]
		if has != x.place || has && at.edge != x.edge || len(touched) != 1 {
			t.Errorf("watcher %q: at %+v, %v; touched %v", x.edge, at, has, touched)
		}
	}
}
