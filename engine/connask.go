package engine

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// begin does something at the database for a key, once at a time, and then goes on with the packets that wait for the key.
// create: what is to be stored, nil if it is only looked for.
func (t *conns) begin(k conntrack.Key, create *creation, do func(context.Context) (done func(), err error)) {
	if _, busy := t.waiting[k]; busy {
		return
	}
	t.waiting[k] = create
	t.c.contact.asked()
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, connTime)
		defer cancel()
		done, err := do(ctx)
		t.c.a.mail.post(func() {
			delete(t.waiting, k)
			t.c.contact.told(err)
			done()
		})
	})
}

// ask finds out whether a packet of a key has a connection.
func (t *conns) ask(k conntrack.Key, f *packet.Frame, ingress flow.VPortID) {
	anew := t.asNew(k, f, ingress)
	switch {
	case anew != nil && t.beginLocal(anew, ingress):
	case t.c.contact.lost: // it is asked when it answers again
	case anew == nil:
		t.look(k)
	default:
		t.create(anew, ingress)
	}
}

// asNew returns what a packet of which it is not known whether it has a connection would have stored if it had none; nil: nothing. Storing it is then the question: the database takes it
// if nobody has either of its keys, and who has is answered otherwise. That saves a look for each new connection.
func (t *conns) asNew(k conntrack.Key, f *packet.Frame, ingress flow.VPortID) *sim.Track {
	if _, busy := t.waiting[k]; busy {
		return nil
	}
	return t.ifNew(k, f, ingress)
}

// ifNew is asNew whether or not the database is being asked.
func (t *conns) ifNew(k conntrack.Key, f *packet.Frame, ingress flow.VPortID) *sim.Track {
	c := t.c
	if t.made[ingress] >= t.c.shareOf(ingress, maxConnsOf) {
		return nil
	}
	t.fresh = k
	c.sim.Simulate(c.snap, f, ingress, c.now(), &c.guess)
	t.fresh = conntrack.Key{}
	if _, lost := c.lost(&c.guess); lost || !c.guess.Track.Commit || c.guess.Track.Key != k || len(c.guess.Effects) > 0 {
		return nil
	}
	return &c.guess.Track
}

// look asks the database for a connection.
func (t *conns) look(k conntrack.Key) {
	t.begin(k, nil, func(ctx context.Context) (func(), error) {
		found, there, err := t.c.a.cfg.Store.FindConn(ctx, k)
		return func() {
			switch {
			case t.isLocal(k): // it began meanwhile
				t.resume(k)
			case err != nil:
				t.failed(k, err)
			default:
				t.answer(k, found, there)
				t.resume(k)
			}
		}, err
	})
}

// answer notes what the database said, for the packets that wait.
func (t *conns) answer(k conntrack.Key, found state.StoredConn, there bool) {
	if len(t.answers) >= maxAnswers {
		clear(t.answers)
	}
	t.answers[k] = nil
	if there {
		t.answers[k] = &conn{stored: found}
	}
}

func (t *conns) failed(k conntrack.Key, err error) {
	t.c.a.counts.effectFails.Add(1)
	t.c.a.cfg.Logger.Debug("connection is not known", "connection", k.String(), "err", err)
	if n := (awaited{conn: k}); t.c.holds.wanted[n] != nil && !t.c.contact.retries(err) {
		t.c.giveUpOn(n)
	}
	t.unknown(k)
}

// unknown: the next packet of a key has it looked for again.
func (t *conns) unknown(k conntrack.Key) {
	delete(t.answers, k)
	delete(t.attempts, k)
}

// resume decides the packets that wait for a connection.
func (t *conns) resume(k conntrack.Key) {
	n := awaited{conn: k}
	if t.c.holds.wanted[n] == nil {
		t.unknown(k)
		return
	}
	t.c.sim.Attempt = t.attempts[k]
	packets := t.c.release(n).packets
	for i := range packets {
		t.c.again(&packets[i], sim.Lost{})
	}
	t.c.sim.Attempt = 0
	if _, busy := t.waiting[k]; !busy {
		t.unknown(k)
	}
}

// create stores a connection (C1). Of two that want the same, or the same translation, one wins (N1, N2).
func (t *conns) create(r *sim.Track, ingress flow.VPortID) {
	k, c := r.Key, r.New
	if _, busy := t.waiting[k]; busy {
		return
	}
	c.ForwardOwner = t.run
	var old *state.StoredConn
	if x := t.known.get(k); r.Replace && x != nil {
		stored := x.stored
		old = &stored
	} else if x := t.answers[k]; r.Replace && x != nil {
		stored := x.stored
		old = &stored
	}
	var tell []int64
	c.Birth = uint8(rand.Uint32())
	if old != nil {
		tell, c.Birth = old.Owners(t.run), old.Birth+1
	}
	stick, ended := t.c.balance.begins(r)
	t.c.blocks.join(&c)
	t.c.blocks.wanted(r)
	uses := t.c.blocks.uses(&c)
	n := newConn{Conn: c, key: k, old: old, uses: uses, ended: ended, ingress: ingress}
	what := &creation{c, r.Local, ingress}
	if old == nil && stick == nil {
		t.createNow(&n, what)
		return
	}
	t.begin(k, what, func(ctx context.Context) (func(), error) {
		if old != nil && old.Forward != k { // the old one began on the other side: its keys are these, the other way round
			switch now, gone, err := t.c.a.cfg.Store.DeleteConn(ctx, *old, tell...); {
			case err != nil:
				return func() { ended(0); t.c.blocks.leave(&c, false); t.failed(k, err) }, err
			case !gone: // another edge changed it
				return func() { ended(0); t.c.blocks.leave(&c, true); t.again(k, now, now.Revision != 0) }, nil
			}
			n.old = nil
		}
		rev, created, err := t.c.a.cfg.Store.CreateConn(ctx, c, n.old, tell, stick, uses...)
		return t.outcome(ctx, &n, rev, created, err)
	})
}

// newConn is a connection that is being stored.
type newConn struct {
	conntrack.Conn
	key     conntrack.Key
	old     *state.StoredConn // that it replaces, nil: none
	uses    []state.BlockUse
	ended   func(revision int64)
	ingress flow.VPortID
}

// createNow stores a connection that replaces none, as most do, without a goroutine to wait for it.
func (t *conns) createNow(n *newConn, what *creation) {
	t.waiting[n.key] = what
	t.c.contact.asked()
	t.c.effects.wg.Add(1)
	post := func(done func(), err error) {
		t.c.a.mail.post(func() {
			delete(t.waiting, n.key)
			t.c.contact.told(err)
			done()
		})
		t.c.effects.wg.Done()
	}
	t.c.a.cfg.Store.CreateConnThen(t.c.ctx, &n.Conn, n.uses, connTime, func(rev int64, created bool, err error) {
		if err != nil || created {
			post(t.outcome(t.c.ctx, n, rev, created, err))
			return
		}
		go func() { // who has it is looked for
			ctx, cancel := context.WithTimeout(t.c.ctx, connTime)
			defer cancel()
			post(t.outcome(ctx, n, 0, false, nil))
		}()
	})
}

// outcome is what became of a connection that was to be stored, for the agent's goroutine to go on with. If it was not, it asks who has its keys.
func (t *conns) outcome(ctx context.Context, n *newConn, rev int64, created bool, err error) (done func(), failed error) {
	unknown := err != nil
	var found state.StoredConn
	var lost []state.HeldBlock
	there := false
	if !created {
		rev = 0
	}
	if err == nil && !created {
		found, there, lost, err = t.inTheWay(ctx, n.key, n.uses)
	}
	return func() {
		k := n.key
		t.c.blocks.lose(lost)
		n.ended(rev)
		if !unknown {
			t.c.blocks.stored(n.uses, rev)
		}
		local := t.isLocal(k)
		t.c.blocks.leave(&n.Conn, !created && !unknown && !local)
		if local {
			t.crossed(k, &n.Conn, rev)
			return
		}
		if unknown && len(t.doubts) < maxDoubts {
			t.doubts[k] = t.c.now()
		}
		switch {
		case err != nil:
			t.failed(k, err)
		case created:
			t.created(state.StoredConn{Conn: n.Conn, Revision: rev}, n.ingress)
		case there && !(n.old != nil && found.Revision == n.old.Revision): // another edge was faster: what it chose holds
			t.again(k, found, true)
		case !there && n.old != nil: // the old one is gone: as if there had been none
			t.again(k, found, false)
		default: // the translation is another connection's
			t.taken(k)
		}
	}, err
}

// inTheWay finds out why a connection could not be stored: there is one, or blocks of its sources are held no more, or else others have its translation.
func (t *conns) inTheWay(ctx context.Context, k conntrack.Key, uses []state.BlockUse) (found state.StoredConn, there bool, lost []state.HeldBlock, err error) {
	if found, there, err = t.c.a.cfg.Store.FindConn(ctx, k); err == nil && !there {
		lost, err = t.c.a.cfg.Store.LostBlocks(ctx, uses)
	}
	return found, there, lost, err
}

// again decides the packets that wait anew, by what the database has.
func (t *conns) again(k conntrack.Key, found state.StoredConn, there bool) {
	t.forget(k)
	t.answer(k, found, there)
	t.resume(k)
}

// taken tries another translation.
func (t *conns) taken(k conntrack.Key) {
	if t.attempts[k]++; t.attempts[k] < maxAttempts {
		t.c.a.counts.natRetries.Add(1)
		t.again(k, state.StoredConn{}, false)
		return
	}
	n := awaited{conn: k}
	if t.c.holds.wanted[n] != nil {
		packets := t.c.release(n).packets
		t.c.a.counts.natFails.Add(uint64(len(packets)))
		for i := range packets {
			packets[i].due.life.settled(sim.Drop.String(), sim.DropNAT.String())
			t.c.dropped(packets[i].ingress, sim.DropNAT)
		}
	}
	t.unknown(k)
}

// created: the first packet leaves as that of a new connection, and its successors are those of one that is known.
func (t *conns) created(c state.StoredConn, ingress flow.VPortID) {
	if x := t.known.get(c.Forward); x != nil {
		x.gone = true // what was there has been replaced
		t.drop(x)
	}
	t.begun(&conn{stored: c, own: [2]bool{forward: true}}, ingress)
}

// begun goes on with the packets of a connection that this edge began.
func (t *conns) begun(x *conn, ingress flow.VPortID) {
	k := x.stored.Forward
	t.beganBy(x, ingress)
	t.keep(x)
	n := awaited{conn: k}
	if t.c.holds.wanted[n] == nil {
		t.rest(x, forward)
		return
	}
	packets := t.c.release(n).packets
	t.fresh, t.c.sim.Chosen = k, &x.stored.Conn
	t.c.first(&packets[0])
	t.fresh, t.c.sim.Chosen = conntrack.Key{}, nil
	t.unknown(k)
	for i := range packets {
		t.c.successor(&packets[i], i > 0)
	}
	if x.flows[forward] == 0 {
		t.rest(x, forward)
	}
}

// beganBy counts a connection as one of the port of its first packet.
func (t *conns) beganBy(x *conn, ingress flow.VPortID) {
	if p := t.c.snap.VPort(ingress); p != nil && x.of == 0 {
		x.of = ingress
		t.made[ingress]++
	}
}

// first sends the packet for which a connection was stored, as that of a new connection. The packet itself stays as it is: its successors are like it.
func (c *core) first(p *heldPacket) {
	var f packet.Frame
	if packet.ParseUntagged(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		c.a.counts.heldDrops.Add(1)
		c.lose(p.ingress, dropDeparted)
		return
	}
	defer c.turned(c.turn(p.due.life, p.matched, &f, p.ingress))
	c.sim.Simulate(c.snap, &f, p.ingress, c.now(), &c.res)
	c.logRules(&c.res, &f, p.ingress)
	c.carryOut(c.res.Effects, p.ingress)
	c.tracing.saw(&c.res, &f, p.ingress, flow.ReasonMissFlow)
	c.slow(&c.res, p.ingress, len(f.Data))
	hash, piece := flow.Hash(&f), fragmentOf(&f, p.ingress)
	c.lives.now.verdict(&c.res)
	c.emitAll(&c.res, &f, p.ingress, p.local, hash, false) // of a copy: what its successors are is decided by the packet as it came in
	c.fragments.came(c, &f, piece)
}

// successor installs what is decided of the packets that follow, and sends this one too, if it is one of them.
func (c *core) successor(p *heldPacket, send bool) {
	if send {
		c.again(p, sim.Lost{})
		return
	}
	var f packet.Frame
	if packet.ParseUntagged(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		return
	}
	defer c.turned(c.turn(p.due.life, p.matched, &f, p.ingress))
	c.sim.Simulate(c.snap, &f, p.ingress, c.now(), &c.res)
	learns := slices.ContainsFunc(c.res.Effects, func(e sim.Effect) bool { return e.Kind == sim.Learn })
	if c.res.Installable && c.res.Track.Used && !learns {
		c.install(&c.res, flow.KeyOf(&f, p.ingress), p.local)
	}
}
