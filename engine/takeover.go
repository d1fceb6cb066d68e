package engine

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// rulesTime is how long a start waits for stored flow rules: packets are decided without.
const rulesTime = 10 * time.Second

// takeOver prepares the first term of an agent: it goes on with the local numbers that the target's entries have, with the flows that the database has of the vports that are here, and with
// those of the edge's connections, each decided again. What is right in the target is then not touched (K7).
func (a *Agent) takeOver(ctx context.Context, term *p4rt.Term) error {
	var local []flow.VPortID
	begun := false
	run := a.cfg.Store.View().Known.Of(a.cfg.Self.ID).Run // of who had the edge before
	if err := a.mail.call(ctx, func() {
		if begun = a.core.begun; !begun && run != 0 {
			a.core.conns.goOnAs(run)
		}
		for id, p := range a.core.view.places {
			if p.edge == a.core.view.self.ID {
				local = append(local, id)
			}
		}
	}); err != nil || begun {
		return err
	}
	stored := a.beginLoad(ctx, local) // while the target tells what it holds
	numbers, entries, err := a.takeNumbers(ctx, term)
	all, usage, unread := stored()
	if err != nil {
		return err
	}
	if unread != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("usage is not read: what was not stored of it is lost", "err", unread)
	}
	if err := a.mail.call(ctx, func() {
		if a.core.usage.numbers = numbers; unread == nil {
			a.core.inherit(usage)
		}
	}); err != nil {
		return err
	}
	for _, x := range all {
		if err := a.useRules(ctx, x.id, x.rules, x.blocks); err != nil {
			return err
		}
	}
	if err := a.adoptFlows(ctx, numbers, entries); err != nil {
		return err
	}
	defer a.reach(taken)
	return a.mail.call(ctx, func() {
		a.core.begun = true
		if run != 0 {
			if r := a.registration.Load(); r != nil {
				r.GoOn(run)
			}
			a.cfg.Store.GoOnRun(run)
			a.core.conns.reclaim()
		}
	})
}

// vportStored are the stored rules of a vport, and the blocks that there are.
type vportStored struct {
	id     flow.VPortID
	rules  []offload.Stored
	blocks []uint32
}

// beginLoad begins to read what the database has of vports that are here, and of the edge's usage; what it returns waits for it.
func (a *Agent) beginLoad(ctx context.Context, local []flow.VPortID) func() (all []vportStored, usage []state.Usage, unread error) {
	reading, cancel := context.WithTimeout(ctx, rulesTime)
	all := make([]vportStored, len(local))
	var asks errgroup.Group
	asks.SetLimit(adoptAsks)
	var usage []state.Usage
	var unread error
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		asks.Go(func() error {
			usage, unread = a.cfg.Store.Usage(reading, a.cfg.Self.ID)
			return nil
		})
		for i, id := range local {
			asks.Go(func() error {
				all[i].id = id
				all[i].rules, all[i].blocks = a.loadRules(reading, id)
				return nil
			})
		}
	}()
	return func() ([]vportStored, []state.Usage, error) {
		<-begun
		_ = asks.Wait() // what can't be read is not used
		cancel()
		return all, usage, unread
	}
}

// takeNumbers goes on with the numbers of what the target holds, and returns both. First packets need not wait for all of it: they are decided, and no more.
func (a *Agent) takeNumbers(ctx context.Context, term *p4rt.Term) (numbers *offload.Numbers, entries []*p4rt.Entry, err error) {
	if !term.Pushed {
		few, err := a.read(ctx, a.tables.VPortTables())
		if err == nil {
			err = a.mail.call(ctx, func() { a.core.renumber(a.tables.NumbersOf(few), false) })
		}
		if err != nil {
			return nil, nil, err
		}
		a.reach(numbered)
		if entries, err = a.read(ctx, a.tables.NumberTables()); err != nil {
			return nil, nil, err
		}
		a.reach(unnumbered)
	}
	numbers = a.tables.NumbersOf(entries)
	if err := a.mail.call(ctx, func() { a.core.renumber(numbers, true) }); err != nil {
		return nil, nil, err
	}
	a.reach(numbered)
	return numbers, entries, nil
}

// read reads the entries of tables.
func (a *Agent) read(ctx context.Context, tables []*p4rt.Table) (entries []*p4rt.Entry, err error) {
	err = a.session.ReadEntries(ctx, p4rt.ReadOptions{Tables: tables}, func(e *p4rt.Entry, _ p4rt.Counter) error {
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// renumber builds what an edge's tables are to hold anew, with a target's numbers, all of them or those of vports alone: then flows are decided, and not installed. Nothing was written yet.
func (c *core) renumber(n *offload.Numbers, all bool) {
	for f := range c.flows.all() {
		c.remove(f)
	}
	c.locals.here.clear()
	c.locals = c.newLocals()
	c.locals.reserve(n, c.view)
	c.placer = c.a.newPlacer()
	c.layout = c.newLayout()
	c.cache.reset()
	c.placer.Reserve(n)
	c.numbered, c.placeable, c.reserving = true, all, true
	c.rebuild(c.layout.all(c.view))
}

// unreserve gives free the numbers of what the target does not hold any more.
func (c *core) unreserve() {
	if c.reserving {
		c.reserving = false
		c.locals.unreserve()
		c.placer.Unreserve()
	}
}

// reserve keeps a target's numbers for what they are for.
func (n *locals) reserve(of *offload.Numbers, v *view) {
	for id, p := range v.places {
		if local, ok := of.VPorts[p.at]; ok && p.edge == v.self.ID {
			n.vports.Reserve(id, local)
		}
	}
	for local := range of.Locals {
		n.vports.Withhold(local)
	}
	paths := map[offload.PathEnds]uint16{}
	for id, ends := range of.Paths {
		paths[ends] = id
	}
	for _, e := range v.edges {
		for _, name := range pathNames(&e, v.routes(&e)) {
			if id, ok := paths[offload.PathEnds{Src: name.src, Dst: name.dst, Port: name.port}]; ok {
				n.paths.Reserve(name, id)
				n.peers.Reserve(e.ID, of.Peers[id])
			}
		}
	}
	for d := range v.groups {
		if way, ok := v.set(d); ok {
			if id, ok := paths[offload.PathEnds{Src: way.src, Dst: way.dst}]; ok { // no peer's: its port is not in the tables
				n.paths.Reserve(setPath(&way), id)
			}
		}
	}
	for id := range of.Paths {
		n.paths.Withhold(id)
	}
	for _, peer := range of.Peers {
		n.peers.Withhold(peer)
	}
	for d, all := range of.Groups {
		n.groups.Reserve(d, all/2)
	}
}

func (n *locals) unreserve() {
	n.vports.Unreserve()
	n.paths.Unreserve()
	n.peers.Unreserve()
	n.groups.Unreserve()
}
