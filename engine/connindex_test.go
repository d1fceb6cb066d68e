package engine

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
)

// indexed returns a connection with a translation, another one for each n.
func indexed(n int, v6 bool) *conn {
	addr := func(four, six string) flow.Addr {
		if v6 {
			return flow.AddrOf(netip.MustParseAddr(six))
		}
		return flow.AddrOf(netip.MustParseAddr(four))
	}
	x := &conn{stored: state.StoredConn{Revision: int64(n)}}
	x.stored.Forward = conntrack.Key{Zone: 5, Tuple: conntrack.Tuple{Src: addr("10.0.0.1", "fd00::1"), Dst: addr("192.0.2.1", "2001:db8::1"), SrcPort: uint16(n), DstPort: uint16(n >> 16), Proto: 6, V6: v6}}
	x.stored.RetZone = 6
	x.stored.AddStep(conntrack.Step{Device: 7, Port: uint16(n), Addr: addr("198.51.100.1", "2001:db8:51::1")})
	return x
}

// TestConnIndex: a connection is found by both its keys and no other, whether or not a key shares its hash with another's.
func TestConnIndex(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		all := newConnIndex()
		a, b, c := indexed(1, v6), indexed(2, v6), indexed(3, v6)
		all.add(a)
		all.byHash[b.stored.Forward.Hash()] = a // as if the two had one hash
		all.add(b)
		all.add(c)
		for _, x := range []*conn{a, b, c} {
			fwd, ret := x.stored.Forward, x.stored.Return()
			if got, reply := all.find(&fwd, fwd.Hash()); got != x || reply {
				t.Errorf("%v: %p, reply %v, want %p", fwd, got, reply, x)
			}
			if got, reply := all.find(&ret, ret.Hash()); got != x || !reply {
				t.Errorf("%v: %p, reply %v, want %p", ret, got, reply, x)
			}
		}
		seen := map[*conn]int{}
		for x := range all.all() {
			seen[x]++
		}
		if seen[a] != 1 || seen[b] != 1 || seen[c] != 1 || all.n != 3 {
			t.Errorf("all are %v, n %d", seen, all.n)
		}
		all.cut(b.stored.Forward, a) // what was in the way goes
		if got := all.get(b.stored.Forward); got != b || len(all.clash) != 0 {
			t.Errorf("%p, want %p; in the way: %v", got, b, all.clash)
		}
		newer := indexed(3, v6)
		all.add(newer)
		if got := all.get(c.stored.Forward); got != newer {
			t.Errorf("one that is out of date is found: %p, want %p", got, newer)
		}
		all.remove(c)
		if got := all.get(c.stored.Return()); got != newer {
			t.Errorf("went with one that was out of date: %p, want %p", got, newer)
		}
		for _, x := range []*conn{a, b, newer} {
			all.remove(x)
		}
		if len(all.byHash)+len(all.clash)+all.n != 0 {
			t.Errorf("left: %v, %v, %d", all.byHash, all.clash, all.n)
		}
	}
}

// BenchmarkConnBytes reports ct_agent_bytes, what an edge's memory holds for a connection with a flow, and ct_agent_idle_bytes, for one without. Flows are
// not counted.
func BenchmarkConnBytes(b *testing.B) {
	const n = 100_000
	c := detached(b, runStore(b, state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir(), FastTimers: true, UnsafeNoFsync: true}}))
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		c.conns.known, c.conns.resting = newConnIndex(), nil // nothing that grew before
		before := held()
		for i := range n {
			x := indexed(i, i%2 == 0)
			x.own[forward] = true
			x.flows[forward] = 1
			c.conns.keep(x)
		}
		after := held()
		for x := range c.conns.known.all() {
			x.flows[forward] = 0
			c.conns.rest(x, forward)
		}
		idle := held()
		b.ReportMetric(float64(after-before)/n, "ct_agent_bytes:B")
		b.ReportMetric(float64(idle-before)/n, "ct_agent_idle_bytes:B")
		for i := range n {
			x := indexed(i, i%2 == 0)
			c.conns.drop(x)
		}
	}
	if c.conns.known.n != 0 {
		b.Fatalf("%d connections are left", c.conns.known.n)
	}
}
