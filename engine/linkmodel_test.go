package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// linkModel are edges that share links, each second by what the others told by then.
type linkModel struct {
	rates map[flow.VPortID]topology.BitRate
	told  map[flow.VPortID]map[string]topology.BitRate
	edges []*linkShares
	sends map[*linkSet]topology.BitRate // what is sent over a set's links, as far as it may or not
	at    time.Duration
}

func newLinkModel(edges int, rates ...topology.BitRate) *linkModel {
	return linkModelOf(map[flow.VPortID]map[string]topology.BitRate{}, edges, rates...)
}

// linkModelOf is a model of which something was told before.
func linkModelOf(told map[flow.VPortID]map[string]topology.BitRate, edges int, rates ...topology.BitRate) *linkModel {
	m := &linkModel{rates: map[flow.VPortID]topology.BitRate{}, told: told, sends: map[*linkSet]topology.BitRate{}, at: time.Second}
	for i, rate := range rates {
		m.rates[flow.VPortID(i+1)] = rate
	}
	for i := range edges {
		e := newLinkShares(fmt.Sprint("e", i+1), func(id flow.VPortID) topology.BitRate { return m.rates[id] }, func(id flow.VPortID) map[string]topology.BitRate { return m.told[id] })
		for id := range m.rates {
			e.set(flow.LinkSetOf(id))
		}
		e.divide()
		m.edges = append(m.edges, &e)
	}
	return m
}

// send has hosts of an edge send so much over links.
func (m *linkModel) send(edge int, bits topology.BitRate, over ...flow.VPortID) *linkSet {
	e := m.edges[edge]
	s := e.set(flow.LinkSetOf(over...))
	if m.sends[s] = bits; bits != 0 {
		e.want(s, e.most(s))
	}
	e.divide()
	return s
}

// second has each edge see what was sent, and then tell what it wants. It reports whether anything changed by that.
func (m *linkModel) second() (changed bool) {
	m.at += time.Second
	for _, e := range m.edges {
		for of, s := range e.sets {
			before := e.may(s)
			e.saw(of, s.counted+uint64(m.sends[s])/8, m.at)
			e.divide()
			changed = changed || e.may(s) != before
		}
	}
	for _, e := range m.edges {
		for id, l := range e.links {
			if m.told[id] == nil {
				m.told[id] = map[string]topology.BitRate{}
			}
			if m.told[id][e.self] != l.tells {
				changed = true
				if m.told[id][e.self] = l.tells; l.tells == 0 {
					delete(m.told[id], e.self)
				}
			}
		}
	}
	for _, e := range m.edges {
		for id := range e.links {
			e.stale[id] = struct{}{}
		}
		e.divide()
	}
	return changed
}

// settle lets seconds pass until nothing changes any more.
func (m *linkModel) settle(t *testing.T) {
	t.Helper()
	for quiet, n := 0, 0; quiet < mostIdle+3; n++ {
		if quiet++; m.second() {
			quiet = 0
		}
		if n == 40 {
			t.Fatalf("after %d seconds it still swings: %v", n, m)
		}
	}
}

func (m *linkModel) String() string {
	out := fmt.Sprintf("rates %v, told %v", m.rates, m.told)
	for _, e := range m.edges {
		for of, s := range e.sets {
			if m.sends[s] != 0 {
				out += fmt.Sprintf("\n%s over %v: sends %d, wants %d, may %d: has %v, could have %v", e.self, of, m.sends[s], s.wants, e.may(s), s.has, s.could)
			}
		}
	}
	return out
}

// passes is what of a set's packets passes.
func (m *linkModel) passes(e *linkShares, s *linkSet) topology.BitRate {
	return min(m.sends[s], e.may(s))
}

// reserved is what a set has of what it wants: up to an eighth more than it sends, if it has that.
func (m *linkModel) reserved(e *linkShares, s *linkSet) topology.BitRate {
	return min(s.wants, e.may(s))
}

// load is how much of a link edges have, each and all.
func (m *linkModel) load(id flow.VPortID, part func(*linkShares, *linkSet) topology.BitRate) (of []topology.BitRate, all topology.BitRate) {
	for _, e := range m.edges {
		sum := topology.BitRate(0)
		for _, s := range e.links[id].sets {
			sum += part(e, s)
		}
		of, all = append(of, sum), all+sum
	}
	return of, all
}

// holds checks that no link carries more than its rate.
func (m *linkModel) holds(t *testing.T) {
	t.Helper()
	for id, rate := range m.rates {
		if of, all := m.load(id, m.passes); all > rate && rate != 0 {
			t.Errorf("link %d carries %d of %d: %v\n%v", id, all, rate, of, m)
		}
	}
}

// TestLinksInARow (Q1): of two links in a row both hold. What flows over both leave on the first, since the second has no more, is for those that pass the first alone; from whichever edges they come, and
// whatever was before.
func TestLinksInARow(t *testing.T) {
	const a, b = 1, 2
	for _, edges := range []int{1, 2} {
		m := newLinkModel(edges, 50e6, 10e6)
		alone, both := m.send(0, 100e6, a), m.send(edges-1, 20e6, a, b)
		far := m.edges[edges-1]
		near := func(what string, s *linkSet, e *linkShares, want float64) {
			t.Helper()
			m.settle(t)
			m.holds(t)
			if got := float64(m.passes(e, s)); got < 0.99*want || got > want {
				t.Errorf("%d edges, %s: %.0f pass over %v, want %.0f\n%v", edges, what, got, s.of, want, m)
			}
		}
		near("all send", alone, m.edges[0], 40e6)
		near("all send", both, far, 10e6)
		m.send(edges-1, 10e6, b)
		near("one more behind", both, far, 5e6)
		near("one more behind", alone, m.edges[0], 45e6)
		m.sends[alone] = 0
		near("the first is left", both, far, 5e6)
		m.sends[alone] = 100e6
		near("and used again", alone, m.edges[0], 45e6)
		m.rates[b] = 100e6
		near("the second is wider", both, far, 20e6)
		near("the second is wider", alone, m.edges[0], 27.5e6) // who is content has an eighth more than he sends
		m.rates[b] = 0
		near("the second has no rate", both, far, 20e6)
		m.rates[b] = 2e6
		near("and has one again", alone, m.edges[0], 49e6)
	}
}

// TestLinksAreFair (Q1): whatever flows pass which links from which edges, shares settle, no link carries more than its rate, and what gets less than it sends has a link on its way that is full, on which no
// edge has more than its own, and no other flows of its edge have more than they.
func TestLinksAreFair(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 400 {
		rates := make([]topology.BitRate, 1+r.IntN(6))
		for i := range rates {
			rates[i] = topology.BitRate(1e6 * (1 + r.IntN(100)))
		}
		m := newLinkModel(1+r.IntN(4), rates...)
		for turn := range 3 { // the others begin with what came before
			for edge := range m.edges {
				for range 1 + r.IntN(4) {
					var over []flow.VPortID
					for _, i := range r.Perm(len(rates))[:1+r.IntN(min(len(rates), flow.MaxLinks))] {
						over = append(over, flow.VPortID(i+1))
					}
					m.send(edge, topology.BitRate(r.IntN(4)*r.IntN(60e6)), over...)
				}
			}
			m.settle(t)
			m.holds(t)
			m.fair(t)
			if t.Failed() {
				t.Fatalf("network %d, turn %d: %v", n, turn, m)
			}
		}
	}
}

// fair checks that nobody is held back but by a link that is full, and no more than others there.
func (m *linkModel) fair(t *testing.T) {
	t.Helper()
	const slack = 0.02 // of the rate: what is not told exactly
	for _, e := range m.edges {
		for _, s := range e.sets {
			passes := m.passes(e, s)
			if float64(passes) >= 0.9*float64(m.sends[s]) {
				continue
			}
			held := slices.ContainsFunc(s.of.Links(), func(id flow.VPortID) bool {
				of, all := m.load(id, m.reserved)
				rate := float64(m.rates[id])
				own := of[slices.Index(m.edges, e)]
				most := topology.BitRate(0)
				for _, other := range e.links[id].sets {
					most = max(most, m.reserved(e, other))
				}
				return float64(all) >= (1-slack)*rate && float64(slices.Max(of)-own) <= slack*rate && float64(most-m.reserved(e, s)) <= slack*rate
			})
			if !held {
				t.Errorf("%s over %v: %d of %d pass", e.self, s.of, passes, m.sends[s])
			}
		}
	}
}

// TestWantsOfAPredecessor (Q1): what an agent before this one told of a link goes on, until it is known what is sent, or that nothing is.
func TestWantsOfAPredecessor(t *testing.T) {
	told := func() map[flow.VPortID]map[string]topology.BitRate {
		return map[flow.VPortID]map[string]topology.BitRate{1: {"e1": 5e6, "e2": 64e6}}
	}
	for what, x := range map[string]struct {
		then func(m *linkModel)
		want topology.BitRate
	}{
		"at first":                {func(m *linkModel) {}, 5e6},
		"once something is sent":  {func(m *linkModel) { m.send(0, 64e6, 1) }, 64e6},
		"when nothing is counted": {func(m *linkModel) { m.edges[0].links[1].kept = 0; m.second() }, 0},
	} {
		m := linkModelOf(told(), 1, 64e6)
		x.then(m)
		if got := m.edges[0].links[1].tells; got != x.want {
			t.Errorf("%s: it tells %v, want %v", what, got, x.want)
		}
	}
}
