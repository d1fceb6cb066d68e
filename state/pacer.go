package state

import "time"

const (
	progressRetry = 20 * time.Millisecond // at least: etcd drops a progress request while a watch catches up
	mostRetry     = time.Second
	mostPause     = 100 * time.Millisecond // between an answer and the next question
	pauseFactor   = 2                      // of the time that an answer took
)

// pacer decides when a follower asks etcd how far it is: one question at a time, and the busier etcd is, the fewer of them. As with retransmissions of TCP, an
// answer to what was asked twice says nothing of how long answers take (Karn), and until there is one that does, patience stays as long as it has become.
type pacer struct {
	asked    time.Time     // the last question
	answered time.Time     // the last answer
	typical  time.Duration // that answers take, smoothed
	patience time.Duration
	again    bool // the question was asked before, without an answer
}

func newPacer() pacer { return pacer{patience: progressRetry} }

// wait is how long the next question is to wait; 0 or less: it does not. Calm is one that nobody waits for: at least gap passes between two of these.
func (p *pacer) wait(now time.Time, calm bool, gap time.Duration) time.Duration {
	next := p.answered.Add(min(pauseFactor*p.typical, mostPause))
	if after := p.asked.Add(gap); calm && after.After(next) {
		next = after
	}
	return next.Sub(now)
}

// ask takes note of a question, and returns how long to wait for the answer.
func (p *pacer) ask(now time.Time) time.Duration {
	p.asked = now
	return p.patience
}

// answer takes note of an answer.
func (p *pacer) answer(now time.Time) {
	p.answered = now
	if !p.again {
		took := now.Sub(p.asked)
		if p.typical += (took - p.typical) / 4; p.typical < took/2 {
			p.typical = took / 2 // what has become slow is noticed at once
		}
		p.patience = min(max(progressRetry, 4*p.typical), mostRetry)
	}
	p.again = false
}

// expire takes note that no answer came.
func (p *pacer) expire() {
	p.again = true
	p.patience = min(2*p.patience, mostRetry)
}
