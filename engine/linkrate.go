package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/topology"
)

// linkRates has this edge send no more over links than their rates leave it (Q1). A link is used one way from many edges, and its rate is for all of them together: each tells the others in
// the database what it wants to send, each computes from that what everybody gets, and sets its own meter (docs/decisions/0019-link-rates.md).
//
//	upcall                the first packet over a link: wanted is all of it, told at once
//	each second           what the target counted ahead of the meter: an eighth more than that is wanted, or all, if that is more than there is
//	the database's view   what others want, or no more: the share follows, and one meter's configuration
//
// What is told is stored under the edge's lease: what an edge that died had goes to the others.
type linkRates struct {
	c       *core
	used    map[flow.VPortID]*linkUse // by the port behind the link
	reading bool
	storing bool
}

// linkUse is a link that the edge uses.
type linkUse struct {
	wants   topology.BitRate // 0: nothing any more; it is forgotten when the database has that
	counted uint64           // bytes, when they were read last
	at      time.Duration    // when that was; 0: never
	idle    int              // reads since the last packet
}

const (
	demandsAtOnce = 256  // are written in one go
	mostIdle      = 5    // seconds without a packet after which a link is not used any more
	demandsBeside = 32   // of them, beside each other
	leastWanted   = 1024 // the part of its rate below which what is wanted of a link is not told exactly
)

func newLinkRates(c *core) *linkRates { return &linkRates{c: c, used: map[flow.VPortID]*linkUse{}} }

// limit takes what a change of an interior port makes of the rates of its link, both ways.
func (r *linkRates) limit(id flow.VPortID, touched map[subject]struct{}) {
	r.limitTo(id, touched)
	if p := r.c.snap.VPort(id); p != nil && p.Peer != 0 {
		r.limitTo(p.Peer, touched)
	}
}

// limitTo settles what this edge may send over the link that leads to a port.
func (r *linkRates) limitTo(id flow.VPortID, touched map[subject]struct{}) {
	c := r.c
	before, is := c.view.limits[id], topology.BitRate(0)
	if rate := c.snap.LinkRate(id); rate != 0 {
		is = rate.Share(r.wants(id), c.view.self.ID)
		c.view.limits[id] = is
	} else {
		delete(c.view.limits, id)
		if u := r.used[id]; u != nil {
			u.wants = 0
		}
	}
	if is != before {
		touched[linkSubject(id)] = struct{}{}
	}
}

// everything looks for links that are not there any more, after the whole network was read anew.
func (r *linkRates) everything() {
	for id, u := range r.used {
		if r.c.snap.LinkRate(id) == 0 {
			u.wants = 0
		}
	}
}

// wants are what edges want of the link to a port: the others by what they told, this one by what it tells.
func (r *linkRates) wants(id flow.VPortID) map[string]topology.BitRate {
	told := r.c.snap.LinkDemands(id)
	u, self := r.used[id], r.c.view.self.ID
	if u == nil || told[self] == u.wants {
		return told
	}
	all := make(map[string]topology.BitRate, len(told)+1)
	for edge, w := range told {
		all[edge] = w
	}
	if delete(all, self); u.wants != 0 {
		all[self] = u.wants
	}
	return all
}

// use is called for a packet that goes over a link which has a rate.
func (r *linkRates) use(id flow.VPortID) {
	rate := r.c.snap.LinkRate(id)
	if u := r.used[id]; rate == 0 || u != nil && u.wants != 0 {
		return
	}
	r.want(id, rate)
	r.flush()
}

// meter has a flow pass its link without a meter where the edge has none left: on the slow path it would not be served at all, and took its rate no better.
func (r *linkRates) meter(m *offload.Megaflow) {
	if links := r.c.placer.Links(); m.Link != 0 && links.Number(m.Link) == 0 && links.Full() {
		m.Link = 0
		r.c.a.counts.unmetered.Add(1)
	}
}

// meterLeft gives meters that have become free to links that had to do without, and has what passes these decided again.
func (r *linkRates) meterLeft() {
	c, touched := r.c, map[subject]struct{}{}
	for s := range c.layout.lacks {
		if s.kind == subjectLink && !c.placer.Links().Full() {
			touched[s] = struct{}{}
		}
	}
	if len(touched) == 0 {
		return
	}
	c.rebuild(touched)
	var has []topology.Dep
	for s := range touched {
		if id := flow.VPortID(s.id); c.placer.Links().Number(id) != 0 {
			has = append(has, topology.VPortDep(id))
		}
	}
	if len(has) > 0 {
		c.doubtAll(has, c.snap)
		c.recheck(0)
	}
}

// want takes what this edge wants of a link, and rewrites its meter if it gets another share by that.
func (r *linkRates) want(id flow.VPortID, wants topology.BitRate) {
	u := r.used[id]
	if u == nil {
		u = new(linkUse)
		r.used[id] = u
	}
	u.wants, u.idle = wants, 0
	touched := map[subject]struct{}{}
	if r.limitTo(id, touched); len(touched) > 0 {
		r.c.rebuild(touched)
	}
}

// sweep is called each second.
func (r *linkRates) sweep() {
	c := r.c
	for id := range c.view.limits { // what a predecessor told goes on
		if told := c.snap.LinkDemands(id)[c.view.self.ID]; told != 0 && r.used[id] == nil {
			r.want(id, told)
		}
	}
	r.meterLeft()
	r.read()
	r.flush()
}

// read asks the target what would have passed the links that flows here pass, or did lately.
func (r *linkRates) read() {
	c := r.c
	if r.reading || c.target.term != serving {
		return
	}
	links, numbers := c.placer.Links(), map[int64]flow.VPortID{}
	var queries []p4rt.Query
	for id := range c.view.limits {
		if n := links.Number(id); n != 0 && (r.used[id] != nil || links.References(id) > 1) { // one is the layout's
			numbers[int64(n)] = id
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
		counted := map[flow.VPortID]uint64{}
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
			for id, bytes := range counted {
				r.saw(id, bytes, now)
			}
			r.flush()
		})
	})
}

// saw takes what the target has counted of a link.
func (r *linkRates) saw(id flow.VPortID, bytes uint64, now time.Duration) {
	rate, u := r.c.snap.LinkRate(id), r.used[id]
	if rate == 0 {
		return
	}
	if u == nil {
		u = new(linkUse)
		r.used[id] = u
	}
	before, since := u.counted, now-u.at
	first := u.at == 0 || bytes < before
	if u.counted, u.at = bytes, now; first || since <= 0 {
		return
	}
	if bytes == before {
		if u.idle++; u.idle == mostIdle && u.wants != 0 {
			r.want(id, 0)
		}
		return
	}
	u.idle = 0
	seen, has := topology.BitRate(float64(bytes-before)*8/since.Seconds()), r.c.view.limits[id]
	wants := min(max(seen+seen/8, rate/leastWanted, 1), rate)
	if seen >= has-has/16 { // what it has is not enough. What it has for this much is: else it would want all each other second
		wants = rate
	}
	if wants > u.wants+u.wants/8 || wants < u.wants-u.wants/4 || wants == rate && u.wants != rate { // small changes are nobody's business
		r.want(id, wants)
	}
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
	for id, u := range r.used {
		switch told := c.snap.LinkDemands(id)[c.view.self.ID]; {
		case told != u.wants && len(some) < demandsAtOnce:
			some = append(some, demand{id, u.wants})
		case told == 0 && u.wants == 0 && c.placer.Links().References(id) <= 1:
			delete(r.used, id)
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
