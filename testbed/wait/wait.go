// Package wait has tests wait for what others do beside them, in real time.
package wait

import (
	"testing"
	"time"
)

const (
	patience = 30 * time.Second // on a machine that is busy with other things
	pause    = 2 * time.Millisecond
)

// Until looks until a condition holds. The test fails if that takes too long.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}
