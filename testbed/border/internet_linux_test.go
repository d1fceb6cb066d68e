package border

import (
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/internet"
	"github.com/weft-sdn/weft/testbed/peer"
	"github.com/weft-sdn/weft/topology"
)

// strideVariable has TestInternet take every so-manieth prefix of the Internet's table; 1: all of it, which takes minutes and 8 GB (make internet).
const strideVariable = "WEFT_INTERNET"

// TestInternet: two upstreams each tell a table of the Internet. The one with the shorter paths is lost, and comes back: flows that go by it go by the other meanwhile, and those that went by the other
// all along lose nothing, though the table changes below them.
func TestInternet(t *testing.T) {
	t.Parallel()
	peer.Need(t, peer.BIRD)
	stride := 50
	if text := os.Getenv(strideVariable); text != "" {
		var err error
		if stride, err = strconv.Atoi(text); err != nil || stride < 1 {
			t.Fatalf("%s is %q: want a number from 1", strideVariable, text)
		}
	}
	table, err := internet.Prefixes(stride)
	if err != nil {
		t.Fatal(err)
	}
	only := prefixes("198.51.110.0/24", "2001:db8:5a::/48") // the second upstream's
	first, second := upstream(peer.BIRD, 64501, nil, up1v4), upstream(peer.BIRD, 64502, prepended(nil), up2v6)
	first.Announce = append(first.Announce, table...)
	second.Announce = append(append(second.Announce, only...), table...)
	b := newBorder(t, testConfig{
		stack:    bgp.Kernel,
		sessions: session("first", "up1", 64501, isp1v4, "") + session("second", "up2", 64502, isp2v6, ""),
		peers:    map[string]peer.Config{"isp1": first, "isp2": second},
		patience: 2*time.Minute + 15*time.Minute/time.Duration(stride),
	})
	of := [...]int{count(first.Announce), count(second.Announce)}
	up := b.up("e1", "first", of[0]).Since
	if other := b.up("e2", "second", of[1]).Since; other.Before(up) {
		up = other
	}
	b.routed(of[0] + of[1])
	t.Logf("%d and %d prefixes are routes at all edges %v after the first session is up", of[0], of[1], time.Since(up).Round(time.Millisecond))
	b.logSize("two tables")

	moving, staying := b.echoes("isp1", "isp2"), []*stream{}
	for _, p := range oneOfEach(t, table) {
		b.answers(p.Addr(), "isp1", "isp2")
		moving = append(moving, b.begin(p.Addr()))
	}
	for _, p := range only {
		b.answers(p.Addr().Next(), "isp2")
		staying = append(staying, b.begin(p.Addr().Next()))
	}
	b.goes("isp1", moving...)
	change := func(what string, f func()) {
		t.Helper()
		began := time.Now()
		for i, gap := range b.through(append(moving[:len(moving):len(moving)], staying...), f) {
			t.Logf("%s: flow %d: %v", what, i, gap)
			if stays := i >= len(moving); stays && gap.lost > 10+gap.sent/100 {
				t.Errorf("%s: flow %d, which stays: %v", what, i, gap)
			}
		}
		t.Logf("%s: all goes as it should after %v", what, time.Since(began).Round(time.Millisecond))
	}
	change("the upstream with the shorter paths is lost", func() {
		b.peer("isp1").Kill()
		b.goes("isp2", append(moving[:len(moving):len(moving)], staying...)...)
	})
	b.routed(of[1])
	b.logSize("one table")
	change("it is back", func() {
		b.must(b.peer("isp1").Restart())
		b.up("e1", "first", of[0])
		b.goes("isp1", moving...)
	})
	b.routed(of[0] + of[1])
	b.logSize("two tables, one of them for the second time")
	if st := b.up("e2", "second", of[1]); st.Flaps != 0 {
		t.Errorf("the session beside: %+v", st)
	}
}

// routed waits until the routing tables of all edges have so many learnt routes.
func (b *border) routed(n int) {
	b.Helper()
	for _, edge := range b.Edges() {
		var has int
		if !b.eventually(func() bool { has = b.learnt(edge, n); return has == n }) {
			b.Fatalf("edge %s has %d learnt routes, want %d", edge, has, n)
		}
	}
}

// learnt is how many learnt routes an edge's routing table has, in force or not, once it has about as many as are wanted; else how many routes it has.
func (b *border) learnt(edge string, want int) (n int) {
	s, err := b.Store(edge)
	b.must(err)
	for r := range s.View().Topology.Routers() {
		if n = r.Routes.Len(); n < want || n > want+100 {
			return n
		}
		for route := range r.Routes.All() {
			if route.Origin != topology.OriginLearned {
				n--
			}
		}
	}
	return n
}

// logSize logs what the installation takes, and how long an edge takes to say how its sessions are.
func (b *border) logSize(what string) {
	b.Helper()
	members, err := state.Members(b.Context(), state.ClientConfig{Endpoints: b.Endpoints()})
	b.must(err)
	var used syscall.Rusage
	b.must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	began := time.Now()
	_, err = b.status("e1", "first")
	took := time.Since(began)
	b.must(err)
	for _, m := range members {
		b.Logf("%s: etcd has %.1f MB in use, in a file of %.1f MB; agents, targets and etcd, in one process, took %.1f GB at most and %v of processor time; the status of a session takes %v",
			what, float64(m.InUse)/1e6, float64(m.Size)/1e6, float64(used.Maxrss)/1e6, time.Duration(used.Utime.Nano()+used.Stime.Nano()).Round(time.Second), took.Round(time.Microsecond))
	}
}

// count is how many different prefixes there are.
func count(all []netip.Prefix) int {
	set := make(map[netip.Prefix]struct{}, len(all))
	for _, p := range all {
		set[p] = struct{}{}
	}
	return len(set)
}

// oneOfEach are addresses of a table, one of each IP version, each as a prefix of it alone.
func oneOfEach(t *testing.T, table []netip.Prefix) (some []netip.Prefix) {
	t.Helper()
	for _, is4 := range []bool{true, false} {
		for _, p := range table {
			if p.Addr().Is4() == is4 && p.Bits() > 8 && p.Bits() < p.Addr().BitLen()-4 {
				some = append(some, netip.PrefixFrom(p.Addr().Next(), p.Addr().BitLen()))
				break
			}
		}
	}
	if len(some) != 2 {
		t.Fatalf("the table has no prefix of an IP version: %v", some)
	}
	return some
}

// answers has upstreams have an address.
func (b *border) answers(a netip.Addr, upstreams ...string) {
	b.Helper()
	for _, name := range upstreams {
		if _, said, err := b.peer(name).Exec(b.Context(), "ip", "address", "add", netip.PrefixFrom(a, a.BitLen()).String(), "dev", "lo"); err != nil {
			b.Fatalf("%s: address %s: %v: %s", name, a, err, said)
		}
	}
}
