package state

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// ribNetwork is a provider's router with two uplinks.
const ribNetwork = `
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up1, tenant: isp}
spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8:1::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up2, tenant: isp}
spec: {device: router/core, addresses: [198.51.100.1/24, "2001:db8:2::1/64"]}
`

// ribLab is a database with a process for each of some edges, and the provider's network.
type ribLab struct {
	*testing.T
	all      *Store
	router   topology.DeviceID
	up1, up2 flow.VPortID
}

func newRIBLab(t *testing.T) *ribLab {
	l := &ribLab{T: t, all: embeddedStore(t)}
	apply(t, l.all, ribNetwork)
	id := func(kind topology.Kind, name string) uint32 { return uint32(idOf(t, l.all, kind, "isp", name)) }
	l.router, l.up1, l.up2 = topology.DeviceID(id(topology.KindRouter, "core")), flow.VPortID(id(topology.KindVPort, "up1")), flow.VPortID(id(topology.KindVPort, "up2"))
	return l
}

// edge has a process register an edge; stop ends its liveness.
func (l *ribLab) edge(id string) (s *Store, stop func()) {
	l.Helper()
	s = second(l.T, l.all)
	r, err := s.RegisterEdge(edgeInfo(id), EdgeConfig{})
	if err != nil {
		l.Fatal(err)
	}
	stop = running(l.T, r.Run)
	untilView(l.T, s, id, hasEdge(id))
	return s, stop
}

// learn runs the routes of a session, of which there are some at first.
func (l *ribLab) learn(s *Store, port flow.VPortID, edge string, routes ...RIBRoute) (r *RIB, stop func()) {
	l.Helper()
	r, err := s.NewRIB(RIBSource{l.router, port, edge, "upstream/" + port.String()})
	if err != nil {
		l.Fatal(err)
	}
	stop = running(l.T, r.Run)
	l.update(r, routes...)
	return r, stop
}

func (l *ribLab) update(r *RIB, routes ...RIBRoute) {
	l.Helper()
	if err := r.Update(routes); err != nil {
		l.Fatal(err)
	}
	l.sync(r)
}

func (l *ribLab) sync(r *RIB) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), time.Minute)
	defer cancel()
	if err := r.Sync(ctx); err != nil {
		l.Fatal(err)
	}
}

// leads waits until a store's routes to an address lead by these gateways.
func (l *ribLab) leads(s *Store, dst string, via ...string) {
	l.Helper()
	a := netip.MustParseAddr(dst)
	key := flow.AddrOf(a)
	untilView(l.T, s, fmt.Sprintf("%s via %v", dst, via), func(v *View) bool {
		var got []string
		r := v.Topology.Router(l.router)
		if r == nil {
			return false
		}
		for _, route := range r.Routes.Lookup(&key, &key, a.Is6()).Routes {
			if route.Origin == topology.OriginLearned {
				got = append(got, route.Via.String())
			}
		}
		return slices.Equal(got, via)
	})
}

func route(dst, via string, metric uint64) RIBRoute {
	r := RIBRoute{Dst: netip.MustParsePrefix(dst), Metric: metric}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

// TestRIB: what two edges learn of one destination is in force together; a better way goes first; what an edge learnt goes with it (G2).
func TestRIB(t *testing.T) {
	l := newRIBLab(t)
	b1, _ := l.edge("e1")
	b2, dies := l.edge("e2")
	r1, _ := l.learn(b1, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 5), route("2001:db8:f::/48", "2001:db8:1::9", 5), route("203.0.112.0/24", "192.0.2.9", 4))
	_, _ = l.learn(b2, l.up2, "e2", route("203.0.113.0/24", "198.51.100.9", 5), route("2001:db8:f::/48", "2001:db8:2::9", 5), route("203.0.112.0/24", "198.51.100.9", 5))
	for _, s := range []*Store{l.all, b1, b2} {
		l.leads(s, "203.0.113.7", "192.0.2.9", "198.51.100.9")
		l.leads(s, "2001:db8:f::7", "2001:db8:1::9", "2001:db8:2::9")
		l.leads(s, "203.0.112.7", "192.0.2.9")
	}
	l.update(r1, route("203.0.112.0/24", "", 0), route("2001:db8:f::/48", "2001:db8:1::a", 5), route("9.9.9.0/24", "", 0))
	l.leads(l.all, "203.0.112.7", "198.51.100.9")
	l.leads(l.all, "2001:db8:f::7", "2001:db8:1::a", "2001:db8:2::9")
	dies()
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	l.leads(l.all, "2001:db8:f::7", "2001:db8:1::a")
	l.leads(l.all, "203.0.112.7")
	r1.Clear()
	l.sync(r1)
	l.leads(l.all, "203.0.113.7")
	l.leads(l.all, "2001:db8:f::7")
	if all, _ := contents(t, l.all.client, recordPrefix(l.router, recordRIB)); len(all) != 0 {
		t.Errorf("left: %q", all)
	}
}

// TestRIBMany: thousands of routes are few keys, and a change of one is one write; who follows the router has the same.
func TestRIBMany(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	var routes []RIBRoute
	for i := range 20_000 {
		routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24), Via: addr("192.0.2.9"), Metric: uint64(i % 5)})
		routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 4: byte(i >> 8), byte(i)}), 48), Via: addr("2001:db8:1::9")})
	}
	r, _ := l.learn(s, l.up1, "e1", routes...)
	before := r.Stats()
	all, _ := contents(t, l.all.client, recordPrefix(l.router, recordRIB))
	if before.Routes != len(routes) || len(all) != before.Blocks || len(all) > len(routes)/100 {
		t.Errorf("%d keys for %+v", len(all), before)
	}
	l.update(r, route("20.1.2.0/24", "192.0.2.10", 1))
	if after := r.Stats(); after.Puts != before.Puts+1 || after.Deletes != before.Deletes {
		t.Errorf("a change of one route: %+v, before %+v", after, before)
	}
	l.leads(l.all, "20.1.2.3", "192.0.2.10")
	untilView(t, l.all, "all routes", func(v *View) bool {
		n := 0
		for range v.Topology.Router(l.router).Routes.All() {
			n++
		}
		return n > len(routes)
	})
	if bad := l.all.BadValues(); bad != 0 {
		t.Errorf("%d values were not understood", bad)
	}
}

// TestRIBRestart: an agent that starts again goes on with what is stored, until its session has told all that it has.
func TestRIBRestart(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	_, stop := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1), route("203.0.112.0/24", "192.0.2.9", 1))
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	stop()
	r, _ := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("203.0.111.0/24", "192.0.2.9", 1))
	l.leads(l.all, "203.0.111.7", "192.0.2.9")
	l.leads(l.all, "203.0.112.7", "192.0.2.9")
	r.DropStale()
	l.sync(r)
	l.leads(l.all, "203.0.112.7")
	l.leads(l.all, "2001:db8:f::7")
	l.leads(l.all, "203.0.113.7", "192.0.2.9")

	r.MarkStale() // the peer restarts
	l.update(r, route("203.0.111.0/24", "192.0.2.9", 1))
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	r.DropStale()
	l.sync(r)
	l.leads(l.all, "203.0.113.7")
	l.leads(l.all, "203.0.111.7", "192.0.2.9")
}

// TestRIBLease: routes under a lease that is lost are written again under the next one.
func TestRIBLease(t *testing.T) {
	l := newRIBLab(t)
	s, stop := l.edge("e1")
	r, _ := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1))
	l.leads(l.all, "2001:db8:f::7", "2001:db8:1::9")
	stop()
	l.leads(l.all, "2001:db8:f::7")
	if err := r.Update([]RIBRoute{route("203.0.112.0/24", "192.0.2.9", 1)}); err != nil {
		t.Fatal(err)
	}
	again, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running(t, again.Run)
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	l.leads(l.all, "203.0.112.7", "192.0.2.9")
	l.leads(l.all, "2001:db8:f::7", "2001:db8:1::9")
}

// TestEdgesOfOneProcess: what goes with one of a process's edges leaves what goes with another as it is, whichever came last.
func TestEdgesOfOneProcess(t *testing.T) {
	l := newRIBLab(t)
	s, stopFirst := l.edge("e1")
	second, err := s.RegisterEdge(edgeInfo("e2"), EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	stopSecond := running(t, second.Run)
	untilView(t, s, "e2", hasEdge("e2"))
	one, _ := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1))
	two, _ := l.learn(s, l.up2, "e2", route("203.0.112.0/24", "198.51.100.9", 1))
	for _, edge := range []string{"e1", "e2"} {
		if err := s.SetDemand(t.Context(), l.up1, edge, 1000); err != nil {
			t.Fatal(err)
		}
	}
	stopSecond()
	l.leads(l.all, "203.0.112.7")
	if err := s.SetDemand(t.Context(), l.up1, "e2", 2000); !errors.Is(err, errUnregistered) {
		t.Errorf("e2, which is gone, wants of a link: %v, want %v", err, errUnregistered)
	}
	l.update(one, route("198.18.0.0/15", "192.0.2.9", 1))
	l.leads(l.all, "198.18.7.7", "192.0.2.9")
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	l.leads(l.all, "2001:db8:f::7", "2001:db8:1::9")
	if wants := l.all.View().Topology.LinkDemands(l.up1); len(wants) != 1 || wants["e1"] != 1000 {
		t.Errorf("wanted of the link: %v, want 1000 by e1 alone", wants)
	}

	third, err := s.RegisterEdge(edgeInfo("e2"), EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running(t, third.Run)
	l.sync(two)
	l.leads(l.all, "203.0.112.7", "198.51.100.9")
	stopFirst()
	l.leads(l.all, "203.0.113.7")
	l.leads(l.all, "203.0.112.7", "198.51.100.9")
}

// TestRIBPortGone: a port that is deleted takes its routes along, and nothing is stored for it any more.
func TestRIBPortGone(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	r, _ := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1))
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	if _, err := l.all.Delete(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "isp", Name: "up1"}); err != nil {
		t.Fatal(err)
	}
	l.leads(l.all, "203.0.113.7")
	l.leads(l.all, "2001:db8:f::7")
	if err := r.Update([]RIBRoute{route("203.0.112.0/24", "192.0.2.9", 1)}); err != nil {
		t.Fatal(err)
	}
	until(t, "a write that failed", func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed == nil || errors.Is(r.failed, errNoLease) {
			return errors.New("there is none")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Sync(ctx); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("routes of a port that is gone: %v", err)
	}
	if all, _ := contents(t, l.all.client, recordPrefix(l.router, recordRIB)); len(all) != 0 {
		t.Errorf("left: %q", all)
	}
}

// TestRIBLazy: who does not need the router does not follow its routes; who comes to need it has them with it.
func TestRIBLazy(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1))
	other := lazyStore(t, l.all, 50*time.Millisecond, "e9")
	wait(t, other, l.all.View().Conf)
	if len(other.reader.known) > 0 && other.View().Topology.Router(l.router) != nil {
		t.Error("a store that hosts nothing has the router")
	}
	for range 2 { // loaded, forgotten, and loaded again
		other.Load(l.router)
		l.leads(other, "203.0.113.7", "192.0.2.9")
		l.leads(other, "2001:db8:f::7", "2001:db8:1::9")
		other.Release(l.router)
		untilView(t, other, "no router", func(v *View) bool { return v.Topology.Router(l.router) == nil })
	}
}

// TestNoRoutes: who does without learned routes has all else, and is at the same revision.
func TestNoRoutes(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	r, _ := l.learn(s, l.up1, "e1", route("203.0.113.0/24", "192.0.2.9", 1), route("2001:db8:f::/48", "2001:db8:1::9", 1))
	l.leads(l.all, "203.0.113.7", "192.0.2.9")
	other, _ := openStore(t, Config{Client: ClientConfig{Endpoints: l.all.Endpoints()}, NoRoutes: true})
	for range 2 { // what is read at first, and what changes
		v := wait(t, other, l.all.View().Revision)
		all, none := l.all.View().Topology.Router(l.router).Routes.Len(), v.Topology.Router(l.router).Routes.Len()
		if n := r.Stats().Routes; all-none != n || none == 0 {
			t.Errorf("%d routes without the %d that were learnt, %d with them", none, n, all)
		}
		l.update(r, route("203.0.112.0/24", "192.0.2.9", 1))
		l.leads(l.all, "203.0.112.7", "192.0.2.9")
	}
	if n := other.reader.bad.Load(); n != 0 {
		t.Errorf("%d values were not understood", n)
	}
}

func TestRIBRefuses(t *testing.T) {
	l := newRIBLab(t)
	if _, err := l.all.NewRIB(RIBSource{Router: 1, Port: 2, Edge: "e1"}); err == nil {
		t.Error("a session without name is taken")
	}
	r, err := l.all.NewRIB(RIBSource{l.router, l.up1, "e1", "s"})
	if err != nil {
		t.Fatal(err)
	}
	good := route("203.0.113.0/24", "192.0.2.9", 0)
	for _, bad := range []RIBRoute{
		{}, {Dst: netip.MustParsePrefix("10.0.0.1/24"), Via: good.Via}, {Dst: netip.MustParsePrefix("::ffff:1.2.3.0/120"), Via: addr("2001:db8::1")},
		route("203.0.113.0/24", "2001:db8::1", 0), route("2001:db8::/32", "192.0.2.9", 0), route("2001:db8::/32", "fe80::1%eth0", 0), route("203.0.113.0/24", "224.0.0.1", 0), route("203.0.113.0/24", "0.0.0.0", 0),
	} {
		if err := r.Update([]RIBRoute{good, bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if n := r.Stats().Pending; n != 0 {
		t.Errorf("%d routes of refused updates are taken", n)
	}
	for _, leaf := range []string{"", "5", "5/e1/s", "5/e1/s/0000000000/x", "5/e1//0000000000", "5/e1/s/000000000", "5/e1/s/00000000ff", "5/e1/s/0a00000118", "5/e1/s/0A00000018", "5/e%311/s/0000000000", "05/e1/s/0000000000"} {
		if _, err := parseDeviceKey(recordPrefix(1, recordRIB) + leaf); err == nil {
			t.Errorf("key with %q is taken", leaf)
		}
	}
	source := RIBSource{7, 5, "rack 1/e@1", "up/stream"}
	for _, bound := range []string{"0.0.0.0/0", "10.1.0.0/16", "::/0", "2001:db8::/33"} {
		want := netip.MustParsePrefix(bound)
		if k, err := parseDeviceKey(source.prefix() + boundName(want)); err != nil || k.source != source || k.bound != want || k.port != 5 {
			t.Errorf("%s: %+v, %v", source.prefix()+boundName(want), k, err)
		}
	}
}

// TestRIBSets: several routes to a destination are told together, and replace each other so; of two by one gateway the last counts.
func TestRIBSets(t *testing.T) {
	r, err := new(Store).NewRIB(RIBSource{1, 2, "e", "s"})
	if err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:51::/48")
	route := func(dst netip.Prefix, via string, metric uint64) RIBRoute {
		if via == "" {
			return RIBRoute{Dst: dst}
		}
		return RIBRoute{Dst: dst, Via: netip.MustParseAddr(via), Metric: metric}
	}
	stale := func(r RIBRoute) RIBRoute {
		r.Stale = true
		return r
	}
	pending := func() (all []RIBRoute) {
		for dst, first := range r.pending {
			all = append(append(all, first), r.more[dst]...)
		}
		slices.SortFunc(all, compareRIB)
		return all
	}
	for _, x := range []struct {
		do   func() error
		want []RIBRoute
	}{
		{func() error {
			return r.UpdateSets([]RIBRoute{route(four, "192.0.2.1", 1), route(four, "192.0.2.2", 1), route(six, "2001:db8::1", 1), route(six, "2001:db8::2", 1), route(six, "2001:db8::2", 2)})
		},
			[]RIBRoute{route(four, "192.0.2.1", 1), route(four, "192.0.2.2", 1), route(six, "2001:db8::1", 1), route(six, "2001:db8::2", 2)}},
		{func() error { return r.UpdateSets([]RIBRoute{route(four, "192.0.2.3", 1)}) }, []RIBRoute{route(four, "192.0.2.3", 1), route(six, "2001:db8::1", 1), route(six, "2001:db8::2", 2)}},
		{func() error { return r.Update([]RIBRoute{route(six, "2001:db8::3", 1), route(six, "2001:db8::4", 1)}) }, []RIBRoute{route(four, "192.0.2.3", 1), route(six, "2001:db8::4", 1)}},
		{func() error {
			return r.UpdateSets([]RIBRoute{route(four, "", 0), route(four, "192.0.2.4", 1), route(four, "192.0.2.5", 1)})
		}, []RIBRoute{route(four, "192.0.2.4", 1), route(four, "192.0.2.5", 1), route(six, "2001:db8::4", 1)}},
		{func() error { r.MarkStale(); r.DropStale(); return nil }, []RIBRoute{route(four, "", 0), route(six, "", 0)}},
		{func() error {
			return r.UpdateSets([]RIBRoute{stale(route(four, "192.0.2.4", 1)), route(four, "192.0.2.5", 1), stale(route(four, "192.0.2.6", 1)), stale(route(six, "2001:db8::4", 1))})
		}, []RIBRoute{stale(route(four, "192.0.2.4", 1)), route(four, "192.0.2.5", 1), stale(route(four, "192.0.2.6", 1)), stale(route(six, "2001:db8::4", 1))}},
		{func() error { r.DropStale(); return nil }, []RIBRoute{route(four, "192.0.2.5", 1), route(six, "", 0)}},
		{func() error { r.Clear(); return nil }, nil},
	} {
		if err := x.do(); err != nil {
			t.Fatal(err)
		}
		if got := pending(); !slices.Equal(got, x.want) {
			t.Errorf("pending %v, want %v", got, x.want)
		}
	}
}
