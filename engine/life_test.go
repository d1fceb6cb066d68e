package engine

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestSampler: all are sampled, none, or about the share; and nothing is allocated on the way of a packet that is not.
func TestSampler(t *testing.T) {
	tell := func(*Life) {}
	for _, x := range []struct {
		share    float64
		min, max int
	}{{0, 0, 0}, {-1, 0, 0}, {1, 10_000, 10_000}, {2, 10_000, 10_000}, {0.1, 700, 1300}} { // ten times the deviation
		s, n := newSampler(x.share, tell), 0
		for range 10_000 {
			if s.begin(1, flow.ReasonMissFlow) != nil {
				n++
			}
		}
		if n < x.min || n > x.max {
			t.Errorf("share %v: %d of 10,000", x.share, n)
		}
	}
	if s := newSampler(1, nil); s.begin(1, flow.ReasonMissFlow) != nil {
		t.Error("a life that nobody is told")
	}
}

// TestUnsampled: a packet that is not sampled costs no allocation, be tracing on or off.
func TestUnsampled(t *testing.T) {
	for name, s := range map[string]sampler{"off": {}, "on": newSampler(1e-18, func(*Life) {})} {
		q := newPacketQueue(new(residents), 0)
		q.lives = s
		frame := make([]byte, 64)
		var taken []*packetIn
		step := func() {
			q.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonMissFlow, data: frame})
			q.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonMissFlow, data: frame}) // so that the lane stays
			for taken = q.take(taken[:0]); len(taken) > 0; taken = taken[1:] {
				taken[0].life.taken()
				taken[0].life.made()
				taken[0].life.let()
				q.free(taken[0])
			}
		}
		c := new(core)
		off := testing.AllocsPerRun(200, step)
		life := testing.AllocsPerRun(200, func() {
			before := c.turn(nil, false, nil, 0)
			c.lives.now.end(c.lives.now.begin(StepSimulate), "")
			c.lives.now.verdict(nil)
			c.lives.now.waits(nil)
			c.turned(before)
		})
		if life != 0 {
			t.Errorf("%s: %v allocations of the decision", name, life)
		}
		base := newPacketQueue(new(residents), 0)
		plain := testing.AllocsPerRun(200, func() {
			base.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonMissFlow, data: frame})
			base.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonMissFlow, data: frame})
			for taken = base.take(taken[:0]); len(taken) > 0; taken = taken[1:] {
				base.pool.Put(taken[0])
			}
		})
		if off > plain {
			t.Errorf("%s: %v allocations of the queue, %v without lives", name, off, plain)
		}
	}
}

// TestLifeSteps: a life is told once, when the last of its steps has ended; what is dropped before is told, too.
func TestLifeSteps(t *testing.T) {
	var told []*Life
	s := newSampler(1, func(l *Life) { told = append(told, l) })
	l := s.begin(3, flow.ReasonMissFlow)
	l.taken()
	l.made()
	l.keep()
	step := l.begin(StepInstall)
	l.settled("forward", "")
	l.settled("drop", "late")
	l.let()
	if len(told) != 0 {
		t.Fatal("it was told before its entry was there")
	}
	due{l, step}.done("refused")
	var kinds []StepKind
	for _, s := range l.Steps {
		kinds = append(kinds, s.Kind)
	}
	if len(told) != 1 || told[0] != l || l.Verdict != "forward" || l.Drop != "" || !slices.Equal(kinds, []StepKind{StepQueue, StepSimulate, StepTurn, StepInstall}) || l.Steps[3].Err != "refused" {
		t.Errorf("%d told, %+v", len(told), l)
	}
	for range 2 * maxSteps {
		l.begin(StepAsk)
	}
	if len(l.Steps) != maxSteps {
		t.Errorf("%d steps", len(l.Steps))
	}

	told = nil
	q := newPacketQueue(new(residents), 0)
	q.lives = s
	for range queueLimit + 3 {
		q.push(earlyPacket{port: 1, vport: 7, reason: flow.ReasonMissFlow, data: make([]byte, 64)})
	}
	if len(told) != 3 || told[0].Drop != dropOverload {
		t.Errorf("%d told of what the queue dropped: %+v", len(told), told)
	}
	q.purge(7)
	if len(told) != queueLimit+3 || told[queueLimit].Drop != dropDeparted || told[queueLimit].Ended.IsZero() {
		t.Errorf("%d told of what left", len(told))
	}
}
