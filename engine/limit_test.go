package engine

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// TestLimiter: a burst, then the rate, each vport by itself; full buckets are forgotten.
func TestLimiter(t *testing.T) {
	l := newLimiter(10, 5)
	count := func(v flow.VPortID, at time.Duration) int {
		n := 0
		for range 20 {
			if l.allow(v, at) {
				n++
			}
		}
		return n
	}
	if n := count(1, 0); n != 5 {
		t.Errorf("burst of %d, want 5", n)
	}
	if n := count(1, 300*time.Millisecond); n != 3 {
		t.Errorf("%d in 300 ms, want 3", n)
	}
	if !l.allow(2, 300*time.Millisecond) {
		t.Error("another vport pays too")
	}
	if n := count(1, time.Hour); n != 5 {
		t.Errorf("%d after an hour, want the burst of 5", n)
	}
	l.sweep(2 * time.Hour)
	if len(l.buckets) != 0 {
		t.Errorf("%d buckets are kept that are full", len(l.buckets))
	}
}
