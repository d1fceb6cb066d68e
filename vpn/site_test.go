package vpn

import (
	"log/slog"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
)

// TestPause: who failed does not try again because of what its failure changed, waits longer each time, and tries at once what is another VPN.
func TestPause(t *testing.T) {
	r := state.VPNRecord{}
	locked := state.VPNRecord{Lock: &state.VPNLock{}}
	other := state.VPNRecord{Key: &state.VPNKey{}}
	var p pause
	if !p.over(r, time.Now()) {
		t.Error("there is a pause at first")
	}
	var last time.Duration
	for range 20 {
		p.fail(r)
		wait := time.Until(p.until)
		if p.over(r, time.Now()) || p.over(locked, time.Now()) {
			t.Fatal("a change of the lock ends the pause")
		}
		if !p.over(other, time.Now()) || !p.over(r, p.until) {
			t.Fatal("another VPN waits")
		}
		if wait < last-tryAgain/2 || wait > maxTryAgain {
			t.Fatalf("a pause of %v, the last was %v", wait, last)
		}
		last = wait
	}
	if last < maxTryAgain/2 {
		t.Errorf("after many failures a pause of %v", last)
	}
	if p.fail(other); time.Until(p.until) > tryAgain {
		t.Error("another VPN's first failure counts as one of many")
	}
}

// TestClockWait: a host whose clock is behind the last handshake waits for that, but no longer than it makes sense, however often it is asked.
func TestClockWait(t *testing.T) {
	now := time.Now()
	s := &site{k: New(Config{Store: new(state.Store)}), log: slog.New(slog.DiscardHandler), name: "acme/office"}
	if s.clockWait(nil, now) > 0 || s.clockWait(&state.VPNLast{Stamp: now.Add(-time.Second)}, now) > 0 {
		t.Error("a clock that is right waits")
	}
	s.behindFrom = now // as it was told of
	if w := s.clockWait(&state.VPNLast{Stamp: now.Add(time.Second)}, now); w != time.Second {
		t.Errorf("it waits %v", w)
	}
	far := &state.VPNLast{Stamp: now.Add(time.Hour)}
	if w := s.clockWait(far, now.Add(maxClockWait/2)); w != maxClockWait/2 {
		t.Errorf("it waits %v", w)
	}
	if w := s.clockWait(far, now.Add(maxClockWait)); w > 0 {
		t.Errorf("it waits %v more", w)
	}
}
