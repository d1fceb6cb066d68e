package engine

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
)

// Bounds of adoption.
const (
	adoptAsks  = 8   // looks at the database at once
	reclaimSet = 256 // connections that are taken up at once
)

// anybody is the source of a flow of which it is not known, where it does not matter.
var anybody = packet.MAC{0: 2}

// leftover is a flow that a target has, and of which the database has no rule: one of a connection, or one of the last second.
type leftover struct {
	key   flow.Key
	local uint16
	conn  conntrack.Key
	found state.StoredConn // Revision is 0 if there is none
}

// adoptFlows goes on with the flows that a target has beyond those of stored rules. A flow of a connection is decided again by what the database has of the connection, which is in it
// before the first packet leaves (C1); the edge owns what its predecessor did.
func (a *Agent) adoptFlows(ctx context.Context, n *offload.Numbers, entries []*p4rt.Entry) error {
	c := a.core
	var flows []offload.WholeFlow
	for some := range slices.Chunk(entries, recheckAtOnce) {
		if err := a.mail.call(ctx, func() {
			some = slices.DeleteFunc(slices.Clone(some), func(e *p4rt.Entry) bool { return c.flows.byEntry[c.placer.Hash(e)] != nil })
		}); err != nil {
			return err
		}
		for _, e := range some {
			if f, ok := a.tables.WholeOf(e, n); ok {
				flows = append(flows, f)
			}
		}
	}
	var of []leftover
	for some := range slices.Chunk(flows, recheckAtOnce) {
		if err := a.mail.call(ctx, func() {
			for i := range some {
				if l, waits := c.leftover(&some[i]); waits {
					of = append(of, l)
				}
			}
		}); err != nil {
			return err
		}
	}
	reading, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	if err := a.findLeftovers(reading, of); err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("connections of flows that the target has are not read", "err", err)
	}
	for some := range slices.Chunk(of, recheckAtOnce) {
		if err := a.mail.call(ctx, func() {
			for i := range some {
				c.goOn(&some[i])
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// findLeftovers reads the connections of flows.
func (a *Agent) findLeftovers(ctx context.Context, of []leftover) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(adoptAsks)
	for some := range slices.Chunk(of, reclaimSet) {
		g.Go(func() error {
			keys := make([]conntrack.Key, len(some))
			for i := range some {
				keys[i] = some[i].conn
			}
			return a.cfg.Store.FindEither(ctx, keys, func(i int, found state.StoredConn) { some[i].found = found })
		})
	}
	return g.Wait()
}

// leftover takes up a flow if no stored rule accounted for it. waits: it is of a connection that is to be looked for.
func (c *core) leftover(w *offload.WholeFlow) (l leftover, waits bool) {
	ingress := c.locals.ingress(w.VPort)
	if ingress == 0 {
		return l, false
	}
	l.key, l.local = w.Key, w.VPort
	l.key.Ingress = ingress
	var known bool
	if l.key.SrcMAC, known = c.sourceOf(&l.key, w.Sources); !known {
		return l, false
	}
	s := &c.stale
	s.buf = l.key.AppendFrame(s.buf[:0])
	if packet.ParseUntagged(s.buf, &s.frame) != nil || flow.KeyOf(&s.frame, ingress) != l.key {
		return l, false
	}
	c.sim.Exemplar = true
	c.sim.Simulate(c.snap, &s.frame, ingress, c.now(), &s.res)
	c.sim.Exemplar = false
	if s.res.Track.Wait {
		l.conn = s.res.Track.Key
		return l, true
	}
	c.continueFlow(&l, nil)
	return l, false
}

// sourceOf guesses who sent the packet that an entry was decided for: the one station that is known at the vport, or the one of these that has the address.
func (c *core) sourceOf(k *flow.Key, sources []packet.MAC) (packet.MAC, bool) {
	switch len(sources) {
	case 0:
		return anybody, true
	case 1:
		return sources[0], true
	}
	p := c.snap.VPort(k.Ingress)
	if p == nil {
		return packet.MAC{}, false
	}
	b := c.snap.Bridge(p.Device)
	if b == nil {
		return packet.MAC{}, false
	}
	mac, ok := b.Neighbour(k.Src.Netip(k.EtherType))
	return mac, ok && slices.Contains(sources, mac)
}

// goOn takes up a flow of a connection, by what the database has of that.
func (c *core) goOn(l *leftover) {
	t := c.conns
	if l.found.Revision == 0 {
		t.answers[l.conn] = nil
		c.continueFlow(l, nil)
		delete(t.answers, l.conn)
		return
	}
	x := t.known.get(l.conn)
	if x == nil {
		x = t.takeUp(l.found)
	}
	if x == nil {
		return
	}
	dir := forward
	if _, isReply := x.has(&l.conn); isReply {
		dir = reply
	} else {
		t.beganBy(x, l.key.Ingress)
	}
	if x.own[dir] {
		c.continueFlow(l, x)
	}
}

// continueFlow installs a flow where the target has it, if it is still decided and of one flow alone.
func (c *core) continueFlow(l *leftover, of *conn) {
	m, ok := c.redecide(l.key, c.generation(), of)
	if !ok || m.Act != offload.Forward || !offload.LaneExact.MayHold(m.Key.EtherType, m.Mask) || l.key.SrcMAC == anybody && m.Guards.KnownSource || c.flows.find(m.Key, m.Mask) != nil {
		return
	}
	if f, err := c.enterIn(m, &c.stale.res, l.local, offload.LaneExact); err == nil {
		f.recount = true
		c.a.counts.adopted.Add(1)
	}
}

// takeUp makes a stored connection one of this edge, if it owns a direction of it; nil: it does not.
func (t *conns) takeUp(found state.StoredConn) *conn {
	x := &conn{stored: found, own: [2]bool{found.ForwardOwner == t.run, found.ReturnOwner == t.run}, told: found.Ends()}
	if !x.own[forward] && !x.own[reply] {
		return nil
	}
	t.keep(x)
	for dir, own := range x.own {
		if own {
			t.rest(x, dir)
		}
	}
	return x
}

// goOnAs has this agent own what its predecessor did. What was told to that waits until hears.
func (t *conns) goOnAs(run int64) {
	t.c.a.cfg.Store.EndRun(t.run)
	delete(t.live, t.run)
	t.run, t.live[run] = run, true
}

// reclaim takes up connections that the edge owns and that have no flow: they are let go of when their time is over.
func (t *conns) reclaim() {
	ctx, a, run := t.c.ctx, t.c.a, t.run
	t.c.effects.wg.Go(func() {
		var some []state.StoredConn
		give := func() error {
			if len(some) == 0 {
				return nil
			}
			all := some
			some = nil
			return a.mail.call(ctx, func() {
				for _, found := range all {
					if t.known.get(found.Forward) == nil {
						t.takeUp(found)
					}
				}
			})
		}
		err := a.cfg.Store.Connections(ctx, func(found state.StoredConn) error {
			if found.ForwardOwner == run || found.ReturnOwner == run {
				some = append(some, found)
			}
			if len(some) < reclaimSet {
				return nil
			}
			return give()
		})
		if err == nil {
			err = give()
		}
		if err != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("connections of the edge are not read; those without a flow are not let go of before its next start", "err", err)
		}
	})
}
