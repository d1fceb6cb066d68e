package engine

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/topology"
)

// linkRates has this edge send no more over links than their rates leave it (Q1). A link is used one way from many edges, and its rate is for all of them together: each tells the others in
// the database what it wants to send, each computes from that what everybody gets, and sets its own meters (docs/decisions/0019-link-rates.md). A meter is for all links with a rate that a packet
// passes: each link has one, and so has each set of several that flows here pass.
//
//	upcall                the first packet over links: wanted is all of them, told at once
//	each second           what the target counted ahead of each meter: an eighth more than that is wanted, or all, if that is more than there is
//	the database's view   what others want, or no more: the shares follow, and some meters' configuration
//
// What is told is stored under the edge's lease: what an edge that died had goes to the others.
type linkRates struct {
	c *core
	linkShares
	short   map[flow.LinkSet]struct{} // of several links, for which no meter was left
	reading bool
	storing bool
}

const (
	demandsAtOnce = 256  // are written in one go
	mostIdle      = 5    // seconds without a packet after which links are not used any more
	demandsBeside = 32   // of them, beside each other
	mostShort     = 4096 // sets without a meter that are remembered
)

func newLinkRates(c *core) *linkRates {
	rate := func(id flow.VPortID) topology.BitRate { return c.snap.LinkRate(id) }
	told := func(id flow.VPortID) map[string]topology.BitRate { return c.snap.LinkDemands(id) }
	return &linkRates{c: c, linkShares: newLinkShares(c.view.self.ID, rate, told), short: map[flow.LinkSet]struct{}{}}
}

// limit takes what a change of an interior port makes of the rates of its link, both ways.
func (r *linkRates) limit(id flow.VPortID, touched map[subject]struct{}) {
	r.limitTo(id, touched)
	if p := r.c.snap.VPort(id); p != nil && p.Peer != 0 {
		r.limitTo(p.Peer, touched)
	}
}

// limitTo settles what this edge may send over the link that leads to a port.
func (r *linkRates) limitTo(id flow.VPortID, touched map[subject]struct{}) {
	single := flow.LinkSetOf(id)
	switch s := r.sets[single]; {
	case r.rate(id) != 0:
		r.set(single)
	case r.links[id] == nil:
		return
	case s != nil:
		r.forget(s)
		r.meterOf(s, touched)
		for _, s := range r.links[id].sets {
			s.could[slices.Index(s.of[:], id)] = 0 // it is not limited by this one, until that has a rate again
			r.again(s)
		}
	}
	r.stale[id] = struct{}{}
	r.settle(touched)
}

// everything looks for links that are not there any more, after the whole network was read anew.
func (r *linkRates) everything(touched map[subject]struct{}) {
	for id := range r.links {
		if r.rate(id) == 0 {
			r.limitTo(id, touched)
		}
	}
}

// settle computes shares anew of links that are stale.
func (r *linkRates) settle(touched map[subject]struct{}) {
	for s := range r.divide() {
		r.meterOf(s, touched)
	}
}

// meterOf has a set's meter have what may be sent.
func (r *linkRates) meterOf(s *linkSet, touched map[subject]struct{}) {
	limits, is := r.c.view.limits, topology.BitRate(0)
	if r.sets[s.of] == s {
		is = r.may(s)
	}
	if limits[s.of] == is {
		return
	}
	if limits[s.of] = is; is == 0 {
		delete(limits, s.of)
	}
	touched[linkSubject(s.of)] = struct{}{}
}

// apply settles what is stale, and rewrites the meters that have another share by that.
func (r *linkRates) apply() {
	touched := map[subject]struct{}{}
	if r.settle(touched); len(touched) > 0 {
		r.c.rebuild(touched)
	}
}

// metered returns the links whose meter is for packets that pass some. Where the edge has no meter left for several it is that of the tightest, and where it has none for that, none. Not
// ok: it is not for all of them.
func (r *linkRates) metered(of flow.LinkSet) (by flow.LinkSet, ok bool) {
	links := r.c.placer.Links()
	if of.IsZero() || links.Number(of) != 0 {
		return of, true
	}
	if r.sets[of] == nil && !links.Full() {
		r.set(of)
		r.apply()
	}
	if links.Number(of) != 0 || !links.Full() {
		return of, true
	}
	all := of.Links()
	if len(all) == 1 {
		return flow.LinkSet{}, false
	}
	if len(r.short) < mostShort {
		r.short[of] = struct{}{}
	}
	by = flow.LinkSetOf(slices.MinFunc(all, func(a, b flow.VPortID) int { return cmp.Compare(r.rate(a), r.rate(b)) }))
	if links.Number(by) == 0 {
		return flow.LinkSet{}, false
	}
	return by, false
}

// use is called for a packet that goes over links which have a rate. It returns the number of their meter.
func (r *linkRates) use(of flow.LinkSet) uint16 {
	if of.IsZero() {
		return 0
	}
	by, _ := r.metered(of)
	s := r.sets[by]
	if s == nil {
		return 0
	}
	if most := r.most(s); s.wants == 0 && most != 0 {
		r.want(s, most)
		r.apply()
		r.flush()
	}
	return r.c.placer.Links().Number(by)
}

// meter has a flow pass its links without a meter of theirs where the edge has none left: on the slow path it would not be served at all, and took their rates no better.
func (r *linkRates) meter(m *offload.Megaflow) {
	by, ok := r.metered(m.Links)
	if m.Links = by; !ok {
		r.c.a.counts.unmetered.Add(1)
	}
}

// meterLeft gives meters that have become free to links that had to do without, and has what passes these decided again.
func (r *linkRates) meterLeft() {
	c, touched := r.c, map[subject]struct{}{}
	links := c.placer.Links()
	for s := range c.layout.lacks {
		if s.kind == subjectLink && !links.Full() {
			touched[s] = struct{}{}
		}
	}
	if len(touched) > 0 {
		c.rebuild(touched)
	}
	var has []topology.Dep
	for s := range touched {
		if links.Number(s.links) != 0 {
			has = append(has, depsOf(s.links)...)
		}
	}
	free := links.Free()
	for of := range r.short {
		if free--; free < 0 {
			break
		}
		delete(r.short, of)
		has = append(has, depsOf(of)...)
	}
	if len(has) > 0 {
		c.doubtAll(has, c.snap)
		c.recheck(0)
	}
}

func depsOf(of flow.LinkSet) (deps []topology.Dep) {
	for _, port := range of.Links() {
		deps = append(deps, topology.VPortDep(port))
	}
	return deps
}

// sweep is called each second.
func (r *linkRates) sweep() {
	for _, l := range r.links { // what a predecessor told goes on until what goes by its entries is counted
		if l.kept > 0 {
			l.kept--
			r.stale[l.port] = struct{}{}
		}
	}
	for of, s := range r.sets {
		if s.wants != 0 || r.c.placer.Links().References(of) > 1 { // one is the layout's
			continue
		}
		if s.at = 0; len(s.of.Links()) > 1 || r.most(s) == 0 {
			r.leave(s)
		}
	}
	r.apply()
	r.meterLeft()
	r.read()
	r.flush()
}

// leave gives up a set that no flow passes.
func (r *linkRates) leave(s *linkSet) {
	touched := map[subject]struct{}{}
	r.forget(s)
	if r.meterOf(s, touched); len(touched) > 0 {
		r.c.rebuild(touched)
	}
}

// read asks the target what would have passed the links that flows here pass, or did lately.
func (r *linkRates) read() {
	c := r.c
	if r.reading || c.target.term != serving {
		return
	}
	links, numbers := c.placer.Links(), map[int64]flow.LinkSet{}
	var queries []p4rt.Query
	for of, s := range r.sets {
		if n := links.Number(of); n != 0 && (s.wants != 0 || s.at != 0 || links.References(of) > 1) {
			numbers[int64(n)] = of
			queries = append(queries, p4rt.CounterCells(c.a.tables.LinkLoads(), int64(n)))
		}
	}
	if len(queries) == 0 {
		return
	}
	r.reading = true
	parent := c.ctx
	c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(parent, tallyTime)
		defer cancel()
		counted := map[flow.LinkSet]uint64{}
		err := c.a.session.Read(ctx, func(e p4rt.Entity) error {
			if x, ok := e.(*p4rt.CounterCell); ok {
				counted[numbers[x.Index]] = uint64(x.Bytes)
			}
			return nil
		}, queries...)
		c.a.mail.post(func() {
			r.reading = false
			if err != nil {
				return
			}
			now := c.now()
			for of, bytes := range counted {
				r.saw(of, bytes, now)
			}
			r.apply()
			r.flush()
		})
	})
}

// flush tells what the database does not have: when it changes, and each second what was not stored.
func (r *linkRates) flush() {
	c := r.c
	if r.storing {
		return
	}
	type demand struct {
		port  flow.VPortID
		wants topology.BitRate
	}
	var some []demand
	for id, l := range r.links {
		switch told := r.told(id)[r.self]; {
		case told != l.tells && len(some) < demandsAtOnce:
			some = append(some, demand{id, l.tells})
		case told == 0 && l.tells == 0 && r.rate(id) == 0 && len(l.sets) == 0:
			delete(r.links, id)
		}
	}
	if len(some) == 0 {
		return
	}
	slices.SortFunc(some, func(a, b demand) int { return cmp.Compare(a.port, b.port) })
	r.storing = true
	ctx := c.ctx
	c.effects.wg.Go(func() {
		var g errgroup.Group
		g.SetLimit(demandsBeside)
		for _, d := range some {
			g.Go(func() error { return c.a.cfg.Store.SetDemand(ctx, d.port, c.a.cfg.Self.ID, d.wants) })
		}
		failed := g.Wait()
		c.a.mail.post(func() {
			r.storing = false
			if failed != nil && ctx.Err() == nil {
				c.a.cfg.Logger.Debug("what is wanted of links is not stored; tried again", "err", failed)
			}
		})
	})
}
