package engine

import (
	"hash/maphash"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// ground is what some flows rely on, all of them on all of it: packets that take the same way through the network rely on the same things, so that there are few grounds for many
// flows. What a flow relies on alone, its connection, is not part of it.
type ground struct {
	deps    []topology.Dep
	crossed []flow.VPortID              // the links that their packets pass, by the ports by which they leave them: sim.Result.Crossed
	rules   []sim.RuleMet               // that their packets meet: sim.Result.Rules
	devices []topology.DeviceID         // that deps are about, which stay loaded (E7)
	flows   map[uint32][]*installedFlow // by portOf
	n       int                         // flows
	hash    uint64
	next    *ground // another with the same hash
}

// grounds are those of a table's flows.
type grounds struct {
	byHash  map[uint64]*ground
	byDep   map[topology.Dep]map[*ground]struct{}        // but routes, whose dependencies overlap
	byRoute map[uint32]*bart.Table[map[*ground]struct{}] // routes, by router and by the destinations' prefix
	made    func(*ground)                                // is called for each new one
	left    func(*ground)                                // is called for each whose last flow went
	seed    maphash.Seed
	buf     []topology.Dep
}

func newGrounds() grounds {
	none := func(*ground) {}
	return grounds{
		byHash: map[uint64]*ground{}, byDep: map[topology.Dep]map[*ground]struct{}{}, byRoute: map[uint32]*bart.Table[map[*ground]struct{}]{}, made: none, left: none, seed: maphash.MakeSeed(),
	}
}

// passage is what packets of a flow pass.
type passage struct {
	crossed []flow.VPortID // links
	rules   []sim.RuleMet
}

func passageOf(res *sim.Result) passage { return passage{res.Crossed, res.Rules} }

func (p passage) equal(o passage) bool {
	return slices.Equal(p.crossed, o.crossed) && slices.Equal(p.rules, o.rules)
}

// passage is what the packets of the ground's flows pass.
func (g *ground) passage() passage { return passage{g.crossed, g.rules} }

// add puts a flow on the ground of some dependencies but one; -1: all. deps and what is passed are copied.
func (t *grounds) add(f *installedFlow, deps []topology.Dep, but int, p passage) {
	t.buf = append(t.buf[:0], deps...)
	if but >= 0 {
		t.buf = slices.Delete(t.buf, but, but+1)
	}
	t.of(t.buf, p).add(f)
}

// add puts a flow on the ground.
func (g *ground) add(f *installedFlow) {
	f.relies, f.port = g, portOf(f)
	at := g.flows[f.port]
	f.at = int32(len(at))
	g.flows[f.port] = append(at, f)
	g.n++
}

// remove takes one off it.
func (g *ground) remove(f *installedFlow) {
	at := g.flows[f.port]
	last := len(at) - 1
	moved := at[last]
	at[f.at], moved.at = moved, f.at
	at[last], f.relies = nil, nil
	if g.n--; last == 0 {
		delete(g.flows, f.port)
	} else {
		g.flows[f.port] = at[:last]
	}
}

// all yields the flows.
func (g *ground) all() iter.Seq[*installedFlow] {
	return func(yield func(*installedFlow) bool) {
		for _, flows := range g.flows {
			for _, f := range flows {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// portOf is the protocol and destination port that all of a flow's packets have, as protocol << 16 | port; 0: they have several, or rules may see others than they have.
func portOf(f *installedFlow) uint32 {
	p := f.placed
	if m := p.Mask(); f.mayBeTranslated() || m.EtherType != 0xffff || m.Proto != 0xff || m.DstPort != 0xffff {
		return 0
	}
	return uint32(p.Key.Proto)<<16 | uint32(p.Key.DstPort)
}

// mayBeTranslated reports whether a rule may see something else of the flow's packets than is in its key: it is translated, or of a connection, which keeps its translation when the
// rule for that is gone.
func (f *installedFlow) mayBeTranslated() bool {
	return f.connDep != (topology.Dep{}) || f.placed.Translates()
}

// mostPorts is how many ports edited rules may name for their flows to be looked for by port.
const mostPorts = 256

// meeting yields the flows of which packets may meet one of some rules.
func (g *ground) meeting(rules []filter.Rule) iter.Seq[*installedFlow] {
	var ports []uint32
	for i := range rules {
		more, few := rules[i].Ports(mostPorts)
		if ports = append(ports, more...); !few || len(ports) > mostPorts {
			ports = slices.Collect(maps.Keys(g.flows))
			break
		}
	}
	ports = append(ports, 0)
	slices.Sort(ports)
	return func(yield func(*installedFlow) bool) {
		for _, port := range slices.Compact(ports) {
			for _, f := range g.flows[port] {
				m := f.placed.Mask()
				if (f.mayBeTranslated() || slices.ContainsFunc(rules, func(r filter.Rule) bool { return r.MayMeet(&f.placed.Key, &m) })) && !yield(f) {
					return
				}
			}
		}
	}
}

// of returns the ground of some dependencies and of what is passed. Both are copied.
func (t *grounds) of(deps []topology.Dep, p passage) *ground {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, d := range deps {
		maphash.WriteComparable(&h, d)
	}
	for _, v := range p.crossed {
		maphash.WriteComparable(&h, v)
	}
	for _, r := range p.rules {
		maphash.WriteComparable(&h, r)
	}
	hash := h.Sum64()
	for g := t.byHash[hash]; g != nil; g = g.next {
		if slices.Equal(g.deps, deps) && g.passage().equal(p) {
			return g
		}
	}
	g := &ground{deps: slices.Clone(deps), crossed: slices.Clone(p.crossed), rules: slices.Clone(p.rules), flows: map[uint32][]*installedFlow{}, hash: hash, next: t.byHash[hash]}
	t.byHash[hash] = g
	for _, d := range g.deps {
		if d.Kind() == topology.DepRoute {
			t.indexRoute(d, g)
			continue
		}
		if t.byDep[d] == nil {
			t.byDep[d] = make(map[*ground]struct{}, 1)
		}
		t.byDep[d][g] = struct{}{}
	}
	t.made(g)
	return g
}

// remove takes a flow off its ground.
func (t *grounds) remove(f *installedFlow) {
	g := f.relies
	if g == nil {
		return
	}
	if g.remove(f); g.n > 0 {
		return
	}
	if first := t.byHash[g.hash]; first != g {
		for ; first.next != g; first = first.next {
		}
		first.next = g.next
	} else if t.byHash[g.hash] = g.next; g.next == nil {
		delete(t.byHash, g.hash)
	}
	for _, d := range g.deps {
		if d.Kind() == topology.DepRoute {
			t.unindexRoute(d, g)
		} else if delete(t.byDep[d], g); len(t.byDep[d]) == 0 {
			delete(t.byDep, d)
		}
	}
	t.left(g)
}

// affected returns the grounds with something that changed.
func (t *grounds) affected(changed []topology.Dep) map[*ground]struct{} {
	seen := make(map[*ground]struct{})
	for _, c := range changed {
		if c.Kind() != topology.DepRoute {
			maps.Copy(seen, t.byDep[c])
			continue
		}
		if routes := t.byRoute[c.A()]; routes != nil {
			for _, grounds := range routes.Supernets(prefixOf(c)) { // itself, too
				maps.Copy(seen, grounds)
			}
			for _, grounds := range routes.Subnets(prefixOf(c)) {
				maps.Copy(seen, grounds)
			}
		}
	}
	return seen
}

// prefixOf is the destinations that a DepRoute is about.
func prefixOf(d topology.Dep) netip.Prefix { return netip.PrefixFrom(d.Addr(), int(d.Bits())) }

func (t *grounds) indexRoute(d topology.Dep, g *ground) {
	routes := t.byRoute[d.A()]
	if routes == nil {
		routes = new(bart.Table[map[*ground]struct{}])
		t.byRoute[d.A()] = routes
	}
	routes.Modify(prefixOf(d), func(at map[*ground]struct{}, there bool) (map[*ground]struct{}, bool) {
		if !there {
			at = make(map[*ground]struct{}, 1)
		}
		at[g] = struct{}{}
		return at, false
	})
}

func (t *grounds) unindexRoute(d topology.Dep, g *ground) {
	routes := t.byRoute[d.A()]
	routes.Modify(prefixOf(d), func(at map[*ground]struct{}, _ bool) (map[*ground]struct{}, bool) {
		delete(at, g)
		return at, len(at) == 0
	})
	if routes.Size() == 0 {
		delete(t.byRoute, d.A())
	}
}
