package bgp

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/topology"
)

// TestWatchedEnds: over how many hops BFD goes, and from how far away its packets may come, follows from the session.
func TestWatchedEnds(t *testing.T) {
	p := &port{port: &topology.VPort{Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}, LinkLocal: netip.MustParseAddr("fe80::1")}}
	for name, x := range map[string]struct {
		change   func(*topology.BGPSession)
		local    string
		multihop bool
		least    uint8
	}{
		"on the link":           {func(*topology.BGPSession) {}, "192.0.2.1", false, 0},
		"link-local":            {func(s *topology.BGPSession) { s.PeerAddress = netip.MustParseAddr("fe80::9") }, "fe80::1", false, 0},
		"three hops away":       {func(s *topology.BGPSession) { s.Multihop = 3 }, "192.0.2.1", true, 0},
		"secure, on the link":   {func(s *topology.BGPSession) { s.TTLSecurity = true }, "192.0.2.1", false, 0},
		"secure, three hops":    {func(s *topology.BGPSession) { s.TTLSecurity, s.Multihop = true, 3 }, "192.0.2.1", true, 253},
		"internal, on the link": {func(s *topology.BGPSession) { s.PeerAS = s.LocalAS }, "192.0.2.1", false, 0},
		"internal, further away": {func(s *topology.BGPSession) {
			s.PeerAS, s.PeerAddress = s.LocalAS, netip.MustParseAddr("2001:db8:9::9")
		}, "2001:db8::1", true, 0},
	} {
		s := &topology.BGPSession{LocalAS: 64500, PeerAS: 64501, PeerAddress: netip.MustParseAddr("192.0.2.9")}
		x.change(s)
		want := bfd.Ends{Local: netip.MustParseAddr(x.local), Neighbour: s.PeerAddress, Multihop: x.multihop, LeastTTL: x.least}
		if got := p.watchedEnds(s); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// changesOf are the changes that a watch told.
type changesOf struct {
	mu  sync.Mutex
	all []bfd.Change
}

func (x *changesOf) tell(c bfd.Change) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, c)
}

func (x *changesOf) last(t *testing.T, n int) bfd.Change {
	t.Helper()
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.all) != n {
		t.Fatalf("told %+v, want %d changes", x.all, n)
	}
	return x.all[n-1]
}

// TestWatch: a way is watched when the object says so, goes on being when the object says otherwise how, and is not any more when the object does not say so, which the other end does not take for a failure.
func TestWatch(t *testing.T) {
	for i := range addrsA {
		synctest.Test(t, func(t *testing.T) {
			var ports [2]*bfd.Port
			carry := func(to int) func([]byte) {
				return func(ip []byte) {
					ip = bytes.Clone(ip)
					time.AfterFunc(time.Millisecond, func() { ports[to].Receive(ip) })
				}
			}
			ports[0], ports[1] = bfd.NewPort(carry(1)), bfd.NewPort(carry(0))
			ends := [2]bfd.Ends{{Local: addrsA[i], Neighbour: addrsB[i]}, {Local: addrsB[i], Neighbour: addrsA[i]}}
			var heard [2]changesOf
			var w [2]watch
			on := topology.BFD{MinTx: 100 * time.Millisecond, MinRx: 100 * time.Millisecond, Multiplier: 3}
			for k := range w {
				w[k] = watch{port: ports[k], ends: ends[k], changed: heard[k].tell}
				if err := w[k].set(context.Background(), on); err != nil {
					t.Fatal(err)
				}
			}
			defer func() { w[0].end(); w[1].end() }()
			time.Sleep(5 * time.Second)
			if !heard[0].last(t, 1).Up || !heard[1].last(t, 1).Up {
				t.Fatal("the way is not up")
			}
			slow := on
			slow.MinTx = 500 * time.Millisecond
			if err := w[0].set(context.Background(), slow); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			st := &BFD{}
			if w[0].status(st); !st.Up() || st.Tx != 500 || st.Rx != 100 || st.Detection != 300 || st.Remote == 0 || st.Losses != 0 || heard[0].last(t, 1).Failed {
				t.Errorf("changed: %+v", st)
			}
			if err := w[0].set(context.Background(), topology.BFD{}); err != nil {
				t.Fatal(err)
			}
			if c := heard[1].last(t, 2); c.Up || c.Failed {
				t.Errorf("the other end takes it for a failure: %+v", c)
			}
			if c := heard[0].last(t, 2); c.Up || c.Failed {
				t.Errorf("this end takes it for a failure: %+v", c)
			}
			if err := w[0].set(context.Background(), on); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if !heard[0].last(t, 3).Up || !heard[1].last(t, 3).Up {
				t.Error("the way is not up again")
			}
			ports[0].Close(w[0].session) // packets of the other end do not come any more
			time.Sleep(time.Second)
			if c := heard[0].last(t, 4); c.Up || !c.Failed || c.Diagnostic != bfd.Expired {
				t.Errorf("the way is lost: %+v", c)
			}
		})
	}
}
