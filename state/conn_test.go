package state

import (
	"context"
	"net/netip"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// up is what there is behind a first segment with flags.
func up(flags uint8) conntrack.Progress {
	return conntrack.Progress{}.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: flags}, false)
}

func testConn(n uint16, v6 bool) conntrack.Conn {
	a := func(four, six string) flow.Addr {
		if v6 {
			return flow.AddrOf(netip.MustParseAddr(six))
		}
		return flow.AddrOf(netip.MustParseAddr(four))
	}
	c := conntrack.Conn{
		Forward: conntrack.Key{Zone: 5, Tuple: conntrack.Tuple{Src: a("10.0.0.1", "fd00::1"), Dst: a("192.0.2.1", "2001:db8::1"), SrcPort: n, DstPort: 80, Proto: 6, V6: v6}},
		RetZone: 6, Birth: 3, Progress: up(packet.TCPSyn),
	}
	c.AddStep(conntrack.Step{Device: 7, Port: 50000, Addr: a("198.51.100.1", "2001:db8:51::1")})
	return c
}

// TestConn: a connection is found by both its keys, only one can have a key, and who is told hears of it.
func TestConn(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	other := second(t, s)
	mine, others := s.NewRun(), other.NewRun()
	plain := conntrack.Conn{Forward: testConn(3999, true).Forward, RetZone: 9, Progress: up(packet.TCPSyn)}
	if _, created, err := s.CreateConn(ctx, plain, nil, nil, nil); !created || err != nil {
		t.Fatal(created, err)
	}
	if got, found, err := other.FindConn(ctx, plain.Return()); !found || err != nil || got.Conn != plain {
		t.Errorf("%+v, %v, %v", got, found, err)
	}
	c := testConn(4000, false)
	c.ForwardOwner = mine
	if _, found, err := s.FindConn(ctx, c.Forward); found || err != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	rev, created, err := s.CreateConn(ctx, c, nil, nil, nil)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	for _, k := range []conntrack.Key{c.Forward, c.Return()} {
		got, found, err := other.FindConn(ctx, k)
		if err != nil || !found || got.Conn != c || got.Revision != rev {
			t.Errorf("%v: %+v, %v, %v", k, got, found, err)
		}
	}
	same := testConn(4001, false) // another source port, and the same translation
	if _, created, err := other.CreateConn(ctx, same, nil, nil, nil); created || err != nil {
		t.Errorf("a translation is given twice: %v, %v", created, err)
	}
	// The other side answers, and owns its direction.
	got, _, err := other.FindConn(ctx, c.Return())
	if err != nil {
		t.Fatal(err)
	}
	got.Progress, got.ReturnOwner = got.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPAck}, true), others
	now, done, err := other.UpdateConn(ctx, got)
	if err != nil || !done || now.ReturnOwner != others {
		t.Fatalf("%+v, %v, %v", now, done, err)
	}
	stale := StoredConn{c, rev}
	if seen, done, err := s.UpdateConn(ctx, stale); done || err != nil || seen.Conn != now.Conn || seen.Revision != now.Revision {
		t.Errorf("a stale change: %+v, %v, %v", seen, done, err)
	}
	// It closes, and tells.
	told := make(chan Told, 4)
	running(t, func(ctx context.Context) error {
		return s.Watch(ctx, func(c Change) {
			for _, k := range c.Told {
				told <- k
			}
		})
	})
	now.Progress = now.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPRst}, true)
	if now, done, err = other.UpdateConn(ctx, now, mine); !done || err != nil {
		t.Fatal(done, err)
	}
	if k := within(t, told); k != (Told{mine, c.Forward}) {
		t.Errorf("told of %v", k)
	}
	if err := s.Heard(ctx, Told{mine, c.Forward}); err != nil {
		t.Fatal(err)
	}
	if resp, err := s.Client().Get(ctx, inboxOf(mine)+string(c.Forward.Append(nil))); err != nil || len(resp.Kvs) != 0 {
		t.Errorf("what was heard stays: %v, %v", resp, err)
	}
	// A new one takes its place, and the owner of the other direction hears of that.
	next := testConn(4000, false)
	if _, created, err := s.CreateConn(ctx, next, &now, []int64{mine}, nil); !created || err != nil {
		t.Errorf("what is over is in the way: %v, %v", created, err)
	}
	if k := within(t, told); k != (Told{mine, c.Forward}) {
		t.Errorf("told of %v", k)
	}
	last, _, err := s.FindConn(ctx, next.Forward)
	if err != nil {
		t.Fatal(err)
	}
	if _, gone, err := s.DeleteConn(ctx, last); !gone || err != nil {
		t.Errorf("deleted %v, %v", gone, err)
	}
	if resp, err := s.Client().Get(ctx, connName(&next.Forward)); err != nil || len(resp.Kvs) != 0 {
		t.Errorf("a key stays: %v", err)
	}
	if _, found, _ := s.FindConn(ctx, next.Return()); found {
		t.Error("the other key stays")
	}
}

// TestSweepConns: what no live process owns goes at the second look.
func TestSweepConns(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	for i, v6 := range []bool{false, true} {
		c := testConn(100+uint16(i), v6)
		c.ForwardOwner = int64(1 + i)
		if _, created, err := s.CreateConn(ctx, c, nil, nil, nil); !created || err != nil {
			t.Fatal(created, err)
		}
	}
	live := map[int64]bool{2: true}
	seen, n, err := s.SweepConns(ctx, live, nil)
	if err != nil || n != 0 || len(seen) != 1 {
		t.Fatalf("first look: %d removed, %d seen, %v", n, len(seen), err)
	}
	if _, n, err = s.SweepConns(ctx, live, seen); err != nil || n != 1 {
		t.Errorf("second look: %d removed, %v", n, err)
	}
	left := testConn(101, true)
	if _, found, _ := s.FindConn(ctx, left.Forward); !found {
		t.Error("one that is owned is gone")
	}
}

// TestSweepInboxes: what dead processes were told goes with the second sweep; what those that live were told stays.
func TestSweepInboxes(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	alive, dead := s.NewRun(), s.NewRun()
	c := testConn(4000, true)
	rev, created, err := s.CreateConn(ctx, c, nil, nil, nil)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if _, done, err := s.UpdateConn(ctx, StoredConn{c, rev}, alive, dead); !done || err != nil {
		t.Fatal(done, err)
	}
	words := func(run int64) int64 {
		t.Helper()
		resp, err := s.Client().Get(ctx, inboxOf(run), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count
	}
	live := map[int64]bool{alive: true}
	var seen map[int64]bool
	for sweep := range 3 {
		if got, want := [2]int64{words(alive), words(dead)}, [2]int64{1, int64(max(0, 2-sweep)+1) / 2}; got != want {
			t.Errorf("before sweep %d: %v words, want %v", sweep, got, want)
		}
		if seen, err = s.SweepInboxes(ctx, live, seen); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("still looked for: %v", seen)
	}
}

// BenchmarkConnBytes reports ct_etcd_bytes, what a connection takes in the database, keys and values of both directions: the most of IPv4 and IPv6, plain and
// translated once.
func BenchmarkConnBytes(b *testing.B) {
	most := 0
	for b.Loop() {
		for _, v6 := range []bool{false, true} {
			translated := testConn(1, v6)
			translated.ForwardOwner, translated.ReturnOwner = conntrack.MaxOwner, conntrack.MaxOwner
			plain := conntrack.Conn{Forward: translated.Forward, RetZone: translated.RetZone, Progress: translated.Progress}
			for name, c := range map[string]conntrack.Conn{"plain": plain, "translated": translated} {
				ret := c.Return()
				n := len(connName(&c.Forward)) + len(c.Append(nil)) + len(connName(&ret)) + len(returnValue(&c))
				most = max(most, n)
				b.ReportMetric(float64(n), "ct_etcd_"+name+map[bool]string{false: "_v4", true: "_v6"}[v6]+"_bytes:B")
			}
		}
	}
	b.ReportMetric(float64(most), "ct_etcd_bytes:B")
}
