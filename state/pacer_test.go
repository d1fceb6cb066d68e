package state

import (
	"testing"
	"time"
)

// TestPacer: questions are fewer the longer answers take, and calm ones no more often than their gap; what is asked twice says nothing of how long answers take.
func TestPacer(t *testing.T) {
	p, now := newPacer(), time.Unix(0, 0)
	answerAfter := func(d time.Duration) {
		p.ask(now)
		now = now.Add(d)
		p.answer(now)
	}
	if d := p.wait(now, true, time.Second); d > 0 {
		t.Errorf("the first question waits for %v", d)
	}
	for range 50 {
		answerAfter(time.Millisecond)
	}
	if d := p.wait(now, false, time.Second); d <= time.Millisecond || d > pauseFactor*time.Millisecond {
		t.Errorf("waits for %v after answers within a millisecond", d)
	}
	if d := p.wait(now, true, time.Second); d != time.Second-time.Millisecond {
		t.Errorf("a calm question waits for %v, want a second after the last one", d)
	}
	if d := p.ask(now); d != progressRetry {
		t.Errorf("asks again after %v, want %v", d, progressRetry)
	}
	p.expire()
	if d := p.ask(now); d != 2*progressRetry {
		t.Errorf("asks again after %v, want twice as long as the first time", d)
	}
	now = now.Add(time.Minute)
	p.answer(now)
	if d := p.wait(now, false, 0); d > pauseFactor*time.Millisecond {
		t.Errorf("waits for %v after an answer to what was asked twice", d)
	}
	answerAfter(80 * time.Millisecond)
	if d := p.wait(now, false, 0); d < 80*time.Millisecond || d > mostPause {
		t.Errorf("waits for %v after an answer that took 80 ms", d)
	}
	if d := p.ask(now); d < 160*time.Millisecond || d > mostRetry {
		t.Errorf("asks again after %v when answers take 80 ms", d)
	}
}

// TestHurry: who follows the network for an edge hears of that edge and of the network at once, of other edges some time, and of what the edge acknowledged with what comes next.
func TestHurry(t *testing.T) {
	for key, want := range map[string]need{
		bindKey(1, 5): atOnce, generationKey: atOnce, liveKey("e1"): atOnce, termKey("e1"): atOnce, agentKey("e1", "a"): atOnce,
		infoKey("e2"): calmly, liveKey("e11"): calmly, termKey("e2"): calmly, ackKey("e1"): nothing,
	} {
		if got := hurryOf(key, []string{"e1", "e3"}); got != want {
			t.Errorf("%s: %d, want %d", key, got, want)
		}
	}
}
