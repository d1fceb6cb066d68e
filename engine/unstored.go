package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// Bounds of connections that are not stored.
const (
	maxUnstored = 1 << 16          // that an agent begins while the database is away
	maxLocalsOf = 1 << 13          // of these, of a host's port
	maxStoring  = 256              // of these, on their way to it at once; and of those in doubt, that are looked for in a second
	backTime    = 10 * time.Second // after this edge is alive again, in which what others took out since it was dead is stored again
)

// A connection may begin while the database is away (contact.go) if the rules that make it stateful say so, and if nobody else can give its source. It is stored when the
// database answers again.
//
//	away: sim wants it stored → the rules let it begin, blocks.safe → begun: flows, states, FINs as ever, none of it written
//	back: stored under both keys, with what was seen → as any other
//	      the database has another under one of them → that holds: this one's flows go, and its next packet is of the other, or begins anew
//	      its port is not this edge's any more before that → it ends

// beginLocal begins a connection that the database can not be asked for. False: it waits.
func (t *conns) beginLocal(r *sim.Track, ingress flow.VPortID) bool {
	if _, busy := t.waiting[r.Key]; busy || !t.c.contact.lost || !r.Local || !t.mayLocal(&r.New, ingress) {
		return false
	}
	c := r.New
	c.ForwardOwner, c.Birth = t.run, uint8(rand.Uint32())
	_, ended := t.c.balance.begins(r)
	t.c.blocks.wanted(r)
	t.local(c, ingress, false)
	ended(0)
	return true
}

func (t *conns) mayLocal(c *conntrack.Conn, ingress flow.VPortID) bool {
	return len(t.unstored) < maxUnstored && t.localsOf[ingress] < maxLocalsOf && t.c.blocks.safe(c)
}

// local begins a connection. doubt: it may be stored all the same, as it is.
func (t *conns) local(c conntrack.Conn, ingress flow.VPortID, doubt bool) {
	t.forget(c.Forward)
	x := &conn{stored: state.StoredConn{Conn: c}, own: [2]bool{forward: true}, local: true, doubt: doubt}
	t.c.a.counts.localConns.Add(1)
	t.beganBy(x, ingress)
	t.lacks(x)
	t.begun(x, ingress)
}

// lacks: the database does not have a connection.
func (t *conns) lacks(x *conn) {
	t.unstored[x] = struct{}{}
	if x.of != 0 {
		t.localsOf[x.of]++
	}
	t.c.a.counts.unstored.Store(uint64(len(t.unstored)))
}

// askAll asks for what packets wait for that was not asked for while the database was away.
func (t *conns) askAll() {
	var all []awaited
	for n := range t.c.holds.wanted {
		if _, busy := t.waiting[n.conn]; n.conn.Zone != 0 && !busy {
			all = append(all, n)
		}
	}
	for _, n := range all {
		t.c.decide(n)
	}
}

// goLocal goes on with packets that wait for the database, which is away.
func (t *conns) goLocal() {
	var clients, keys []awaited
	for n := range t.c.holds.wanted {
		switch {
		case n.client.Pool != 0:
			clients = append(clients, n)
		case n.conn.Zone != 0:
			keys = append(keys, n)
		}
	}
	for _, n := range keys {
		w := t.c.holds.wanted[n]
		creation := t.waiting[n.conn]
		switch {
		case w == nil || len(w.packets) == 0:
		case creation != nil && creation.local && t.mayLocal(&creation.Conn, creation.ingress): // what is on its way to the database: it may arrive
			t.local(creation.Conn, creation.ingress, true)
		case creation == nil:
			t.beginHeld(n.conn, &w.packets[0])
		}
	}
	for _, n := range clients {
		t.c.decide(n)
	}
}

// beginHeld begins a connection that was looked for, if its first packet may.
func (t *conns) beginHeld(k conntrack.Key, p *heldPacket) {
	var f packet.Frame
	if packet.ParseUntagged(p.data, &f) != nil || t.c.locals.ingress(p.local) != p.ingress {
		return
	}
	r := t.ifNew(k, &f, p.ingress)
	if r == nil || !r.Local || !t.mayLocal(&r.New, p.ingress) {
		return
	}
	c := r.New
	c.ForwardOwner, c.Birth = t.run, uint8(rand.Uint32())
	_, ended := t.c.balance.begins(r)
	t.local(c, p.ingress, false)
	ended(0)
}

// isLocal reports whether a key is of a connection that is not stored.
func (t *conns) isLocal(k conntrack.Key) bool {
	x := t.known.get(k)
	return x != nil && x.local
}

// crossed takes the database's word about a connection that began without it in the meantime. rev: it was stored then; 0: it was not, as far as is known.
func (t *conns) crossed(k conntrack.Key, c *conntrack.Conn, rev int64) {
	if x := t.known.get(k); rev != 0 && x.writing == idle && sameConn(&x.stored.Conn, c) {
		t.storedLocal(x, state.StoredConn{Conn: *c, Revision: rev})
	}
}

// sameConn reports whether two records are of one connection, whatever is known of it.
func sameConn(a, b *conntrack.Conn) bool {
	return a.Forward == b.Forward && a.RetZone == b.RetZone && a.Birth == b.Birth && slices.Equal(a.Steps(), b.Steps())
}

// storeAll stores what began while the database was away, so many at once.
func (t *conns) storeAll() {
	for x := range t.unstored {
		if t.storing >= maxStoring {
			return
		}
		if x.writing == idle {
			t.storeLocal(x)
		}
	}
}

func (t *conns) storeLocal(x *conn) {
	x.writing = busy
	t.storing++
	t.c.contact.asked()
	want, uses, ctx := x.owned(t.run), t.c.blocks.uses(&x.stored.Conn), t.c.ctx
	_, doubted := t.doubts[want.Forward]
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, connTime)
		defer cancel()
		now, stored, err := t.reconcile(ctx, want, uses, doubted)
		t.c.a.mail.post(func() {
			t.storing--
			x.writing = idle
			t.reconciled(x, now, stored, err)
			t.c.contact.told(err)
			if !t.c.contact.lost && err == nil {
				t.storeAll()
			}
		})
	})
}

// reconcile stores a connection that began without the database, unless that has another under one of its keys. doubted: this process may have stored one there before, without
// hearing of it: that had no packet, and gives way.
func (t *conns) reconcile(ctx context.Context, want conntrack.Conn, uses []state.BlockUse, doubted bool) (now state.StoredConn, stored bool, err error) {
	store := t.c.a.cfg.Store
	rev, created, err := store.CreateConn(ctx, want, nil, nil, nil, uses...)
	if err != nil || created {
		return state.StoredConn{Conn: want, Revision: rev}, created, err
	}
	now, there, err := store.FindConn(ctx, want.Forward)
	switch {
	case err != nil, !there, now.Forward != want.Forward:
		return now, false, err
	case sameConn(&now.Conn, &want):
		return now, true, nil
	case doubted && now.ForwardOwner == want.ForwardOwner && now.ReturnOwner == 0:
		rev, created, err = store.CreateConn(ctx, want, &now, nil, nil, uses...)
		return state.StoredConn{Conn: want, Revision: rev}, created, err
	}
	return now, false, nil
}

func (t *conns) reconciled(x *conn, now state.StoredConn, stored bool, err error) {
	known := t.known.get(x.stored.Forward) == x
	switch {
	case err != nil:
		x.doubt = true // tried again
		if !known && len(t.doubts) < maxDoubts {
			t.doubts[x.stored.Forward] = t.c.now()
		}
	case !known && stored: // it ended meanwhile
		t.erase(now)
	case !known:
	case !stored:
		t.c.a.cfg.Logger.Warn("a connection that began while the database was away ends: another has its place", "connection", x.stored.Forward.String())
		x.doubt = false
		t.endLocal(x)
	default:
		t.storedLocal(x, now)
	}
}

// storedLocal takes a connection for stored, and stores what became of it since.
func (t *conns) storedLocal(x *conn, now state.StoredConn) {
	to := x.stored.Progress
	x.local, x.doubt = false, false
	t.settledLocal(x)
	delete(t.doubts, x.stored.Forward)
	t.c.a.counts.localStored.Add(1)
	x.stored, x.told = now, now.Ends()
	x.stored.Progress = to.Join(now.Progress)
	if x.stored.Progress != now.Progress || x.owned(t.run) != x.stored.Conn {
		t.store(x)
	}
}

// settledLocal: a connection is stored, or is no more.
func (t *conns) settledLocal(x *conn) {
	if _, was := t.unstored[x]; !was {
		return
	}
	delete(t.unstored, x)
	if x.of != 0 {
		if t.localsOf[x.of]--; t.localsOf[x.of] == 0 {
			delete(t.localsOf, x.of)
		}
	}
	t.c.a.counts.unstored.Store(uint64(len(t.unstored)))
}

// storeAgain stores a connection that others took out of the database because they took this edge for dead.
func (t *conns) storeAgain(x *conn) {
	x.local, x.stored.Revision = true, 0
	t.lacks(x)
	if !t.c.contact.lost {
		t.storeAll()
	}
}

// endLocal ends a connection that is not stored: its flows go.
func (t *conns) endLocal(x *conn) {
	t.c.a.counts.localEnded.Add(1)
	t.drop(x)
}

// lapsed ends the connections that are not stored and whose sources are of the agent's blocks, which are not its own any more.
func (t *conns) lapsed() {
	for x := range t.unstored {
		if steps := x.stored.Steps(); slices.ContainsFunc(steps, func(s conntrack.Step) bool { return !s.Dst && !s.Static }) {
			t.endLocal(x)
		}
	}
}

// giveUpOn drops the packets that wait for something that does not come.
func (c *core) giveUpOn(n awaited) {
	if !c.contact.lost || n.conn.Zone == 0 && n.client.Pool == 0 {
		c.a.counts.heldDrops.Add(c.inVain(n))
		return
	}
	packets := c.release(n).packets
	for i := range packets {
		c.lose(packets[i].ingress, dropAway)
		packets[i].due.life.settled(sim.Drop.String(), dropAway)
	}
	c.a.counts.heldDrops.Add(uint64(len(packets)))
	c.a.counts.awayDrops.Add(uint64(len(packets)))
}
