package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/state"
)

// Limits of being without the database.
const (
	awayAfter = time.Second            // that it may leave questions unanswered, if nothing else is configured
	awayProbe = 250 * time.Millisecond // between two questions to it while it is away
	probeWait = time.Second            // that it has for the answer
)

// dropAway is the reason for which packets are dropped that waited for the database while it was away.
const dropAway = "database away"

// contact is whether the database answers the questions about connections. It is asked only when there is something to ask: silence by itself says nothing.
//
//	         a question has no answer for Config.AwayAfter, nor has any later one
//	there ──────────────────────────────────────────────────────────────────────────▶ lost: connections may begin without it (unstored.go)
//	  ▲                                                                                │ probed
//	  └────────────────────────────────────────────────────────────────────────────────┘ an answer: what began meanwhile is stored
//
// The agent's own goroutine alone touches it.
type contact struct {
	c       *core
	lost    bool
	open    int           // questions under way
	waiting bool          // one was asked that has no answer, nor has a later one
	since   time.Duration // it was asked then. Valid iff waiting
	watched bool          // check is going to be called
	again   bool          // some questions are to be asked again
}

func newContact(c *core) *contact { return &contact{c: c} }

// asked: a question is under way.
func (t *contact) asked() {
	t.open++
	if !t.waiting {
		t.waiting, t.since = true, t.c.now()
	}
	if !t.watched && !t.lost {
		t.watch(t.c.a.cfg.AwayAfter)
	}
}

// told takes what became of a question.
func (t *contact) told(err error) {
	t.open--
	if !state.Answered(err) {
		return
	}
	t.waiting, t.since = t.open > 0, t.c.now() // the others were asked while it answered
	switch {
	case t.lost:
		t.regained()
	case t.again:
		t.again = false
		t.c.conns.askAll()
	}
}

// retries has a question that could not be asked be asked again when the database answers. False: it is not waited for.
func (t *contact) retries(err error) bool {
	if state.Answered(err) || t.lost || !t.waiting {
		return false
	}
	t.again = true
	return true
}

// watch looks after a while whether the database has answered.
func (t *contact) watch(after time.Duration) {
	t.watched = true
	time.AfterFunc(after, func() { t.c.a.mail.post(t.check) })
}

func (t *contact) check() {
	t.watched = false
	if !t.waiting || t.lost {
		return
	}
	if left := t.since + t.c.a.cfg.AwayAfter - t.c.now(); left > 0 {
		t.watch(left)
		return
	}
	t.lost = true
	t.c.a.counts.aways.Add(1)
	t.c.a.cfg.Logger.Warn("the database does not answer: what is installed goes on, and new connections follow the policy of their rules")
	t.probe()
	t.c.conns.goLocal()
}

// probe asks the database until it answers.
func (t *contact) probe() {
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		tick := time.NewTicker(awayProbe)
		defer tick.Stop()
		for {
			asked, cancel := context.WithTimeout(ctx, probeWait)
			err := t.c.a.cfg.Store.Answers(asked)
			cancel()
			if state.Answered(err) {
				t.c.a.mail.post(t.regained)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// regained: the database answers again.
func (t *contact) regained() {
	if !t.lost {
		return
	}
	t.lost, t.again, t.waiting, t.since = false, false, t.open > 0, t.c.now()
	t.c.a.cfg.Logger.Info("the database answers again", "unstored connections", len(t.c.conns.unstored))
	t.c.conns.storeAll()
	t.c.conns.askAll()
	if t.waiting && !t.watched {
		t.watch(t.c.a.cfg.AwayAfter)
	}
}
