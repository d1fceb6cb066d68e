package engine

import (
	"context"
	"slices"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/state"
)

// maxUnderWay is how many connections are being stored or looked at when sweep stops to let go of more: as many connections may be idle at once as began at once, and the
// queue to the database is to have room for those that begin.
const maxUnderWay = 4096

// sweep lets go of directions that had no packet for the connection's timeout (C7).
func (t *conns) sweep(now time.Duration) {
	t.sweeps = max(t.sweeps+1, 1)
	t.letGo(now)
	if !t.c.contact.lost {
		t.storeAll()
		t.settleSome(now)
	}
	if now-t.swept >= sweepTime {
		t.swept = now
		t.sweepOrphans()
	}
}

// landed notes that one that was under way is there, and goes on letting go if that had stopped.
func (t *conns) landed() {
	if t.underWay--; t.stopped != 0 && t.underWay < maxUnderWay/2 {
		t.letGo(t.stopped)
	}
}

// letGo does what sweep does with connections without packets, until too many are under way.
func (t *conns) letGo(now time.Duration) {
	now = max(now, t.c.now()) // it may have stopped since: what rests since then has been seen later
	at := momentOf(now)
	t.stopped = 0
	for _, x := range slices.Backward(t.resting) { // who is taken out gives its place to one that was looked at
		if t.underWay >= maxUnderWay {
			t.stopped = now
			return
		}
		timeout, owned, let := t.timeouts.Of(x.stored.State), false, false
		for dir := range x.own {
			switch {
			case !x.own[dir] || x.flows[dir] > 0:
			case x.seen[dir].until(at) < timeout:
				owned = true
			case x.stored.State&conntrack.Answered == 0 && x.asked == 0 && !x.local: // by what is known here; another edge may have seen the answer
				x.asked, owned = t.sweeps, true
				t.refresh(x.stored.Forward)
			case x.asked == t.sweeps: // by this one, before it stopped
				owned = true
			default:
				x.own[dir], let = false, true
			}
		}
		if let {
			t.store(x)
		}
		if !owned {
			t.wake(x)
		}
	}
}

// sweepOrphans has the first of the live edges look for connections of processes that are gone, and for words to them.
func (t *conns) sweepOrphans() {
	if !t.isFirst() {
		return
	}
	ctx, live, seen, gone := t.c.ctx, map[int64]bool{t.run: true}, t.orphans, t.gone
	for run := range t.live {
		live[run] = true
	}
	t.c.effects.wg.Go(func() {
		next, n, err := t.c.a.cfg.Store.SweepConns(ctx, live, seen)
		dead, _ := t.c.a.cfg.Store.SweepInboxes(ctx, live, gone)
		t.c.a.mail.post(func() {
			t.gone = dead
			if t.orphans = next; err == nil && n > 0 {
				t.c.a.cfg.Logger.Info("connections that nobody owned are removed", "connections", n)
			}
		})
	})
}

// refresh reads what a connection has become.
func (t *conns) refresh(k conntrack.Key) {
	ctx := t.c.ctx
	t.underWay++
	t.c.effects.wg.Go(func() {
		found, there, err := t.c.a.cfg.Store.FindConn(ctx, k)
		t.c.a.mail.post(func() {
			if err == nil {
				t.heard(k, found, there)
			}
			t.landed()
		})
	})
}

// recheck reads what has become of all connections while this edge was not alive for others: they may have ended some, and given their translations to others.
func (t *conns) recheck() {
	t.back = t.c.now() + backTime
	keys := make([]conntrack.Key, 0, t.known.n)
	for x := range t.known.all() {
		if !x.local {
			keys = append(keys, x.stored.Forward)
		}
	}
	if len(keys) == 0 {
		return
	}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		for {
			var found []func()
			err := t.c.a.cfg.Store.FindConns(ctx, keys, func(k conntrack.Key, c state.StoredConn, there bool) {
				found = append(found, func() { t.heard(k, c, there) })
			})
			t.c.a.mail.post(func() {
				for _, f := range found {
					f()
				}
			})
			if keys = keys[len(found):]; err == nil || !t.c.effects.pause(ctx) {
				return
			}
		}
	})
}

// settleSome settles what is in doubt for long enough, so many at a time: the database may just have come back.
func (t *conns) settleSome(now time.Duration) {
	left := maxStoring
	for k, since := range t.doubts {
		if left == 0 {
			return
		}
		if now-since >= doubtTime {
			t.settle(k)
			left--
		}
	}
}

// settle takes a connection that was stored without this process' knowing out of the database: it would be taken for one that has an owner.
func (t *conns) settle(k conntrack.Key) {
	if x := t.known.get(k); x != nil {
		if !x.local { // what it is about to take the place of
			delete(t.doubts, k)
		}
		return
	}
	t.begin(k, nil, func(ctx context.Context) (func(), error) {
		found, there, err := t.c.a.cfg.Store.FindConn(ctx, k)
		if err == nil && there && found.Forward == k && found.ForwardOwner == t.run && found.ReturnOwner == 0 {
			var gone bool
			_, gone, err = t.c.a.cfg.Store.DeleteConn(ctx, found)
			there = !gone
		}
		return func() {
			switch {
			case t.isLocal(k): // it is found when that is stored
			case err != nil:
				t.failed(k, err)
			default:
				delete(t.doubts, k)
				t.answer(k, found, there)
				t.resume(k)
			}
		}, err
	})
}
