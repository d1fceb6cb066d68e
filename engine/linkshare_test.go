package engine

import (
	"context"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

const limitedNetwork = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: wan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: red}, spec: {device: bridge/lan, peer: in, rate: 64M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: red}, spec: {device: bridge/wan, peer: out}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, rate: 8M}}
`

// sharing is an agent's core whose target counts what the test says.
type sharing struct {
	*core
	t     *testing.T
	link  flow.VPortID
	bytes uint64
	at    time.Duration
}

func newSharing(t *testing.T) *sharing {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.effects.wait() })
	c.start(ctx, func(int64, []state.Lack) {})
	s := &sharing{core: c, t: t, at: time.Second}
	s.configure(limitedNetwork)
	s.link = vportOf(t, c, "in")
	return s
}

func (s *sharing) configure(yaml string) {
	s.t.Helper()
	snap, err := topology.Load("network.yaml", []byte(yaml))
	if err != nil {
		s.t.Fatal(err)
	}
	s.snap = snap
	touched := map[subject]struct{}{}
	for id := range s.linkRates.links {
		s.linkRates.limit(id, touched)
	}
	for p := range snap.VPorts() {
		s.linkRates.limit(p.ID, touched)
	}
	s.rebuild(touched)
}

// told has the database say what edges want.
func (s *sharing) told(demands ...topology.LinkDemand) {
	for i := range demands {
		demands[i].Port = s.link
	}
	s.snap, _ = s.snap.With(topology.Changes{Demands: demands})
	touched := map[subject]struct{}{}
	s.linkRates.limitTo(s.link, touched)
	s.rebuild(touched)
}

// second has the target count so many bits in a second.
func (s *sharing) second(bits uint64) {
	s.at, s.bytes = s.at+time.Second, s.bytes+bits/8
	s.linkRates.saw(flow.LinkSetOf(s.link), s.bytes, s.at)
	s.linkRates.apply()
}

// has checks what the edge may send, in bits a second, and that the meter of the link has that; and what it wants.
func (s *sharing) has(what string, may, wants topology.BitRate) {
	s.t.Helper()
	if got := s.view.limits[flow.LinkSetOf(s.link)]; got != may {
		s.t.Errorf("%s: it may send %d, want %d", what, got, may)
	}
	cell := s.a.tables.LinkRate(s.placer.Links().Number(flow.LinkSetOf(s.link)), int64(may))
	found := false
	s.layout.entities(func(e p4rt.Entity) { found = found || e.Key() == cell.Key() && same(e, cell) })
	if !found {
		s.t.Errorf("%s: no meter has %v", what, may)
	}
	var got topology.BitRate
	if l := s.linkRates.links[s.link]; l != nil {
		got = l.tells
	}
	if got != wants {
		s.t.Errorf("%s: it wants %d, want %d", what, got, wants)
	}
}

// TestLinkIsShared (Q1): what an edge wants of a link follows what comes to its meter, and what it gets what others want.
func TestLinkIsShared(t *testing.T) {
	s := newSharing(t)
	s.has("nobody uses it", 64e6, 0)
	s.told(topology.LinkDemand{Edge: "e2", Wants: 64e6})
	s.has("another edge does", 1e6, 0)
	s.linkRates.use(flow.LinkSetOf(s.link))
	s.has("the first packet", 32e6, 64e6)
	s.told(topology.LinkDemand{Edge: "e1", Wants: 64e6})
	s.second(0)
	s.second(16e6)
	s.has("it sends less than it may", 18e6, 18e6)
	s.second(17e6)
	s.has("more than leaves room for growth", 32e6, 64e6)
	for range 3 {
		s.second(17e6)
		s.has("the same each second", 19.125e6, 19.125e6)
	}
	s.second(1e3)
	s.has("hardly anything", 62500, 62500)
}

// TestLinkIsLeft (Q1): an edge that sends nothing any more wants nothing, and what is sent again without a first packet is seen by its meter; a rate that changes, or goes, and edges that do, count at once.
func TestLinkIsLeft(t *testing.T) {
	s := newSharing(t)
	s.linkRates.use(flow.LinkSetOf(s.link))
	s.told(topology.LinkDemand{Edge: "e1", Wants: 64e6}, topology.LinkDemand{Edge: "e2", Wants: 64e6})
	s.has("two edges want all", 32e6, 64e6)
	s.second(8e6)
	s.second(32e6)
	s.has("it sends what it may", 32e6, 64e6)
	for range mostIdle - 1 {
		s.second(0)
	}
	s.has("a pause", 32e6, 64e6)
	s.second(0)
	s.has("it is left", 1e6, 0)
	s.told(topology.LinkDemand{Edge: "e1", Wants: 0})
	s.second(8e6)
	s.has("entries that are still there carry it again", 32e6, 64e6)
	s.told(topology.LinkDemand{Edge: "e1", Wants: 64e6}, topology.LinkDemand{Edge: "e2", Wants: 0})
	s.has("the other edge went", 64e6, 64e6)
	number := s.placer.Links().Number(flow.LinkSetOf(s.link))
	s.configure(`{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}`)
	if len(s.view.limits) != 0 || s.placer.Links().Number(flow.LinkSetOf(s.link)) != 0 {
		t.Errorf("limits %v of links that are gone, number %d", s.view.limits, number)
	}
}

// TestRatesOfHosts (Q1): the meters of a vport that lives here have its rate, each way, and a change of it writes these and nothing else.
func TestRatesOfHosts(t *testing.T) {
	l, v := newLayout(tables(t), newLocals(new(residents), func(uint16) {})), baseView()
	id := flow.VPortID(5)
	v.places[id] = place{edge: "e1", at: offload.Attachment{Port: 1}}
	l.rebuild(v, l.all(v))
	v.rates[id] = 8e6
	stages, _ := l.rebuild(v, map[subject]struct{}{vportSubject(id): {}})
	var cells []*p4rt.MeterCell
	for _, u := range flatten(stages) {
		cell, ok := u.Entity.(*p4rt.MeterCell)
		if !ok {
			t.Fatalf("%v is written", u.Entity)
		}
		cells = append(cells, cell)
	}
	if len(cells) != 2 {
		t.Fatalf("%d meters are written, want 2", len(cells))
	}
	for _, cell := range cells {
		if want := (p4rt.MeterConfig{CIR: 1e6, CBurst: 200_000, PIR: 1e6, PBurst: 200_000}); *cell.Config != want {
			t.Errorf("%v: %+v, want %+v", cell, *cell.Config, want)
		}
	}
}
