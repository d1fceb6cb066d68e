package engine

import (
	"slices"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

func directionOf(r *sim.Track) int {
	if r.Reply {
		return reply
	}
	return forward
}

// own makes this edge the owner of the packet's direction, and stores the state that the packet leads to.
func (t *conns) own(r *sim.Track) {
	x := t.known.get(r.Key)
	if x == nil {
		if x = t.answers[r.Key]; x == nil {
			return // there is none, and the packet makes none
		}
		t.keep(x)
		delete(t.answers, r.Key)
		for dir, owner := range [2]int64{x.stored.ForwardOwner, x.stored.ReturnOwner} {
			if owner == t.run { // an agent before this one had it, and is not taken over from yet: its flow may be there
				x.own[dir] = true
				t.rest(x, dir)
			}
		}
	}
	dir := directionOf(r)
	t.touch(x, dir)
	if x.own[dir] && !r.Changed {
		return
	}
	x.own[dir] = true
	if r.Changed {
		if r.Ended(r.Reply) {
			x.acked, x.ack = forwardEnd+ends(dir), r.Ack
		}
		t.progress(x, r.Progress)
	}
	t.store(x)
}

// progress takes a connection further. Flows of one that is over are taken out: what still comes is seen. So are those of one that goes on after a reset that
// was not its own, and those of a direction in which the acknowledgement of a FIN is awaited.
func (t *conns) progress(x *conn, to conntrack.Progress) {
	before := x.stored.State
	x.stored.Progress = to
	if x.acked != noEnd { // what this edge saw acknowledged before it heard of the FIN
		x.stored.Acknowledged(x.ack, x.acked == replyEnd)
	}
	if x.stored.Over() != before.Over() {
		t.invalidate(&x.stored)
	}
	for dir := range x.own {
		if x.stored.Awaits(dir == reply) && !before.Awaits(dir == reply) {
			t.cut(x.key(dir))
		}
	}
}

// key is that of a direction.
func (x *conn) key(dir int) conntrack.Key {
	if dir == reply {
		return x.stored.Return()
	}
	return x.stored.Forward
}

// touch notes a packet of a direction.
func (t *conns) touch(x *conn, dir int) {
	if x.flows[dir] == 0 {
		t.rest(x, dir)
	}
}

// rest: a direction has no flows; from now on its timeout counts.
func (t *conns) rest(x *conn, dir int) {
	x.seen[dir] = momentOf(t.c.now())
	if x.place == 0 {
		t.resting = append(t.resting, x)
		x.place = int32(len(t.resting))
	}
}

// wake takes a connection out of the list of those that rest.
func (t *conns) wake(x *conn) {
	if x.place == 0 {
		return
	}
	last := len(t.resting) - 1
	moved := t.resting[last]
	t.resting[x.place-1], moved.place = moved, x.place
	t.resting[last], t.resting, x.place = nil, t.resting[:last], 0
}

// store writes a connection with this edge's owned directions.
func (t *conns) store(x *conn) {
	if x.local {
		if !x.own[forward] && !x.own[reply] {
			t.drop(x) // it ended before it was stored
		}
		return
	}
	if x.writing != idle {
		x.writing = busyAndDue
		return
	}
	x.writing = busy
	want := x.stored
	want.Conn = x.owned(t.run)
	gone := !t.live[want.ForwardOwner] && !t.live[want.ReturnOwner]
	tell := t.listeners(x, &want, gone)
	ctx := t.c.ctx
	t.underWay++
	t.c.effects.wg.Go(func() {
		var now state.StoredConn
		var done bool
		var err error
		for {
			if gone {
				now, done, err = t.c.a.cfg.Store.DeleteConn(ctx, want, tell...)
			} else {
				now, done, err = t.c.a.cfg.Store.UpdateConn(ctx, want, tell...)
			}
			if err == nil || ctx.Err() != nil {
				break
			}
			t.c.effects.pause(ctx)
		}
		t.c.a.mail.post(func() {
			t.storedConn(x, now, done, gone, want.Progress)
			t.landed()
		})
	})
}

// owned is the connection with the owners that it has here.
func (x *conn) owned(run int64) conntrack.Conn {
	c := x.stored.Conn
	for dir, owner := range [2]*int64{&c.ForwardOwner, &c.ReturnOwner} {
		if x.own[dir] {
			*owner = run
		} else if *owner == run {
			*owner = 0
		}
	}
	return c
}

// listeners are the processes that are to hear of a change: who owns the other direction, if an end was seen or the connection goes; and who owned a direction
// that is taken over, since the owner alone knows when it is idle.
func (t *conns) listeners(x *conn, want *state.StoredConn, gone bool) (runs []int64) {
	if want.Ends() != x.told || gone {
		runs = append(runs, want.Owners(t.run)...)
	}
	for _, at := range [2][2]int64{{x.stored.ForwardOwner, want.ForwardOwner}, {x.stored.ReturnOwner, want.ReturnOwner}} {
		if was := at[0]; was != 0 && was != at[1] && was != t.run && !slices.Contains(runs, was) {
			runs = append(runs, was)
		}
	}
	return runs
}

// storedConn takes the database's word.
func (t *conns) storedConn(x *conn, now state.StoredConn, done, deleted bool, wanted conntrack.Progress) {
	again := x.writing == busyAndDue
	x.writing = idle
	if t.known.get(x.stored.Forward) != x {
		return
	}
	newer := x.stored.Revision > now.Revision // a word came first
	switch {
	case done && deleted, !done && now.Revision == 0:
		x.gone = true
		t.drop(x)
		return
	case done && newer:
		t.release(x, conntrack.Progress{})
		if t.known.get(x.stored.Forward) != x {
			return
		}
	case done:
		progress := x.stored.Progress
		x.stored, x.told = now, now.Ends()
		if again {
			x.stored.Progress = progress
		}
	default: // another process changed it: both are right
		to := x.stored.Join(wanted)
		if !newer && !t.adopt(x, now) {
			return
		}
		t.progress(x, to.Join(x.stored.Progress))
		again = true
	}
	if !x.own[forward] && !x.own[reply] && !again {
		t.drop(x)
		return
	}
	if again {
		t.store(x)
	}
}

// adopt takes what another process stored; false: it is another connection, with the same keys or one of them, and the one that was known is no more.
func (t *conns) adopt(x *conn, now state.StoredConn) bool {
	if now.Birth != x.stored.Birth || now.Forward != x.stored.Forward || now.Return() != x.stored.Return() {
		t.drop(x)
		return false
	}
	before, to := x.stored.Progress, now.Progress
	if x.writing != idle { // what it has come to here is not stored yet
		to = to.Join(before)
	}
	x.stored, x.told = now, now.Ends()
	x.stored.Progress = before
	t.progress(x, to)
	return true
}

// told: another edge changed connections that this one owns a direction of.
func (t *conns) told(words []state.Told) {
	words = slices.DeleteFunc(slices.Clone(words), func(w state.Told) bool { return w.Run != t.run })
	if len(words) == 0 {
		return
	}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		for _, w := range words {
			found, there, err := t.c.a.cfg.Store.FindConn(ctx, w.Key)
			for err != nil && t.c.effects.pause(ctx) {
				found, there, err = t.c.a.cfg.Store.FindConn(ctx, w.Key)
			}
			if err != nil {
				return
			}
			t.c.a.mail.post(func() { t.heard(w.Key, found, there) })
			_ = t.c.a.cfg.Store.Heard(ctx, w)
		}
	})
}

// heard takes what a connection has become.
func (t *conns) heard(k conntrack.Key, found state.StoredConn, there bool) {
	x := t.known.get(k)
	switch {
	case x == nil, x.local:
	case !there && found.Revision < x.stored.Revision: // it was stored since
	case !there && (t.away || t.c.now() < t.back) && !x.stored.Over() && x.writing == idle:
		t.storeAgain(x)
	case !there:
		x.gone = true
		t.drop(x)
	case found.Revision > x.stored.Revision && t.adopt(x, found):
		t.release(x, found.Progress)
	}
}

// release lets go of directions that another process has taken over, with their flows, and stores what this one has seen, if it did.
func (t *conns) release(x *conn, stored conntrack.Progress) {
	if x.writing != idle {
		return // if it does not fail, this process has them after all
	}
	for dir, owner := range [2]int64{x.stored.ForwardOwner, x.stored.ReturnOwner} {
		if x.own[dir] && owner != t.run && t.live[owner] {
			x.own[dir] = false
			t.cut(x.key(dir))
		}
	}
	switch {
	case !x.own[forward] && !x.own[reply]:
		t.drop(x)
	case x.stored.Progress != stored:
		t.store(x)
	}
}

// ended takes the copy of a TCP segment with FIN or RST that went on: the connection's state changes, and nothing else.
func (c *core) ended(f *packet.Frame, ingress flow.VPortID) {
	f.Untag()
	c.sim.Simulate(c.snap, f, ingress, c.now(), &c.res)
	if r := &c.res.Track; r.Used && !r.Wait && c.conns.known.get(r.Key) != nil && forwards(&c.res) {
		c.conns.own(r)
	}
}
