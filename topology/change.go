package topology

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Changes is what happens from one snapshot to the next, in this order.
type Changes struct {
	Forget           []DeviceID // are not loaded any more, with their ports and all that was learnt there
	Delete           []Ref
	Put              []*Object // Status.ID is set; in any order
	FDB              []FDBEntry
	BridgeNeighbours []BridgeNeighbour
	Neighbours       []Neighbour
	Withdrawn        []Withdrawal
	Routes           []LearnedRoute
	Health           []MemberHealth
	Watchers         []PoolWatcher
	Publics          []PublicChange
	Links            []PortLink
	Demands          []LinkDemand
}

// FDBEntry is a learnt MAC.
type FDBEntry struct {
	Bridge DeviceID
	MAC    packet.MAC
	Port   flow.VPortID // 0: forget it
}

// BridgeNeighbour is a learnt entry of a bridge's ARP cache.
type BridgeNeighbour struct {
	Bridge DeviceID
	Addr   netip.Addr
	MAC    packet.MAC // unset: forget it
}

// Neighbour is an entry of a router port's ARP or ND cache.
type Neighbour struct {
	Port  flow.VPortID
	Addr  netip.Addr
	MAC   packet.MAC
	State NeighbourState // NeighbourAbsent: forget it
}

// LearnedRoute is a route that a protocol brought, or took away. One route is in a list once.
type LearnedRoute struct {
	Router DeviceID
	Route  Route // Origin is OriginLearned
	Delete bool
}

// Withdrawal is that no protocol brings a router's routes by some hops any more: all learned routes that lead there are out of force at once, in a table of any size, and leave it with this change and
// later ones. No route by these hops is brought before that is done.
type Withdrawal struct {
	Router DeviceID
	Hops   []Hop
	Swept  []Route // of these, those that leave the table now
	Done   bool    // no other is left in it
}

// With returns the next snapshot and what changed. An object whose references are not there yet waits for them.
// Cost: that of the changed devices; a device with n ports and static routes costs O(n).
func (s *Snapshot) With(c Changes) (*Snapshot, []Dep) {
	next := *s
	e := &edit{
		s: &next, before: s, dirty: map[DeviceID]struct{}{}, groups: map[DeviceID]struct{}{}, changed: map[Dep]struct{}{},
		vports: tableEdit[VPort]{target: &next.vports}, bridges: tableEdit[Bridge]{target: &next.bridges},
		routers: tableEdit[Router]{target: &next.routers}, chains: tableEdit[Chain]{target: &next.chains}, sets: tableEdit[group]{target: &next.sets}, pools: tableEdit[Pool]{target: &next.pools},
		dhcps: tableEdit[DHCP]{target: &next.dhcps}, names: shardEdit[Ref, uint32]{target: &next.names},
		bound: shardEdit[Ref, bound]{target: &next.bound},
	}
	for _, id := range c.Forget {
		e.forget(id)
	}
	for _, r := range c.Delete {
		e.remove(r)
	}
	for _, k := range Kinds() {
		for _, o := range c.Put {
			if o.Kind == k {
				e.put(o)
			}
		}
	}
	e.resolve()
	e.learn(c)
	for id := range e.dirty {
		e.rebuild(id)
	}
	e.announceGroups()
	deps := make([]Dep, 0, len(e.changed))
	for d := range e.changed {
		deps = append(deps, d)
	}
	slices.SortFunc(deps, compareDeps)
	return e.s, deps
}

// learn applies what was learnt.
func (e *edit) learn(c Changes) {
	e.learnBridges(c)
	e.learnHealth(c)
	e.learnLinks(c.Links)
	e.learnDemands(c.Demands)
	edits := map[flow.VPortID]*shardEdit[netip.Addr, neighbourEntry]{}
	table := tableEdit[neighbours]{target: &e.s.neigh}
	for _, n := range c.Neighbours {
		ed := edits[n.Port]
		if ed == nil {
			fresh := new(neighbours)
			if old := e.s.neigh.get(uint32(n.Port)); old != nil {
				*fresh = *old
			}
			table.set(uint32(n.Port), fresh)
			ed = &shardEdit[netip.Addr, neighbourEntry]{target: &fresh.entries}
			edits[n.Port] = ed
		}
		next := neighbourEntry{n.MAC, n.State}
		if was, ok := ed.target.get(n.Addr); ok && was == next {
			continue // confirmed
		}
		if n.State == NeighbourAbsent {
			ed.remove(n.Addr)
		} else {
			ed.set(n.Addr, next)
		}
		e.changed[NeighbourDep(n.Port, n.Addr)] = struct{}{}
	}
	e.withdraw(c.Withdrawn)
	e.learnRoutes(c.Routes)
	e.learnPublics(c.Publics)
}

// withdraw has routes go with their hops. What is swept later was out of force before, and changes nothing.
func (e *edit) withdraw(list []Withdrawal) {
	for i := range list {
		w := &list[i]
		old := e.s.Router(w.Router)
		if old == nil {
			continue
		}
		for _, h := range w.Hops {
			if _, was := old.Routes.gone[h]; !was {
				e.note(RouteDep(w.Router, new(flow.Addr), h.Via.Is6(), 0))
			}
		}
		fresh := *old
		fresh.Routes = old.Routes.withdraw(w.Hops, w.Swept, w.Done)
		e.routers.set(uint32(w.Router), &fresh)
	}
}

// learnRoutes has routes come and go; one that is there already, or is not, changes nothing.
func (e *edit) learnRoutes(routes []LearnedRoute) {
	type change struct{ add, del []Route }
	changes := map[DeviceID]*change{}
	for i := range routes {
		r := &routes[i]
		router := e.s.Router(r.Router)
		if router == nil || router.Routes.Has(r.Route) != r.Delete {
			continue
		}
		c := changes[r.Router]
		if c == nil {
			c = new(change)
			changes[r.Router] = c
		}
		if r.Delete {
			c.del = append(c.del, r.Route)
		} else {
			c.add = append(c.add, r.Route)
		}
	}
	for id, c := range changes {
		fresh := *e.s.Router(id)
		fresh.Routes = fresh.Routes.With(c.add, c.del)
		e.routers.set(uint32(id), &fresh)
		e.routesChanged(id, c.add, c.del)
	}
}

func (e *edit) learnBridges(c Changes) {
	type edits struct {
		macs  shardEdit[macKey, flow.VPortID]
		neigh shardEdit[netip.Addr, packet.MAC]
		addrs addrEdit
	}
	all := map[DeviceID]*edits{}
	table := tableEdit[learned]{target: &e.s.learned}
	of := func(id DeviceID) *edits {
		ed := all[id]
		if ed == nil {
			fresh := new(learned)
			if old := e.s.learned.get(uint32(id)); old != nil {
				*fresh = *old
			}
			table.set(uint32(id), fresh)
			ed = &edits{macs: shardEdit[macKey, flow.VPortID]{target: &fresh.macs}, neigh: shardEdit[netip.Addr, packet.MAC]{target: &fresh.neigh}, addrs: addrEdit{shardEdit: shardEdit[macKey, []netip.Addr]{target: &fresh.addrs}}}
			all[id] = ed
			if b := e.s.Bridge(id); b != nil {
				next := *b
				next.learned = fresh
				e.bridges.set(uint32(id), &next)
			}
		}
		return ed
	}
	for _, f := range c.FDB {
		if f.Port == 0 {
			of(f.Bridge).macs.remove(macKey(f.MAC.Uint64()))
		} else {
			of(f.Bridge).macs.set(macKey(f.MAC.Uint64()), f.Port)
		}
		e.changed[FDBDep(f.Bridge, f.MAC)] = struct{}{}
	}
	for _, n := range c.BridgeNeighbours {
		ed := of(n.Bridge)
		if old, had := ed.neigh.target.get(n.Addr); had {
			ed.addrs.take(old, n.Addr)
		}
		if n.MAC.IsZero() {
			ed.neigh.remove(n.Addr)
		} else {
			ed.neigh.set(n.Addr, n.MAC)
			ed.addrs.give(n.MAC, n.Addr)
		}
		e.changed[BridgeNeighbourDep(n.Bridge, n.Addr)] = struct{}{}
	}
}

// addrEdit changes which addresses each MAC has.
type addrEdit struct {
	shardEdit[macKey, []netip.Addr]
	fresh map[macKey]struct{} // whose list this edit made
}

// list returns a MAC's addresses, to be changed.
func (e *addrEdit) list(k macKey) []netip.Addr {
	addrs, _ := e.target.get(k)
	if _, own := e.fresh[k]; own {
		return addrs
	}
	if e.fresh == nil {
		e.fresh = map[macKey]struct{}{}
	}
	e.fresh[k] = struct{}{}
	return slices.Clone(addrs)
}

func (e *addrEdit) give(m packet.MAC, a netip.Addr) {
	k := macKey(m.Uint64())
	e.set(k, append(e.list(k), a))
}

func (e *addrEdit) take(m packet.MAC, a netip.Addr) {
	k := macKey(m.Uint64())
	addrs := e.list(k)
	if i := slices.Index(addrs, a); i >= 0 {
		addrs[i] = addrs[len(addrs)-1]
		addrs = addrs[:len(addrs)-1]
	}
	if len(addrs) == 0 {
		e.remove(k)
		delete(e.fresh, k)
	} else {
		e.set(k, addrs)
	}
}
