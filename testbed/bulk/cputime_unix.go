package bulk

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the processor time that this process has used.
func CPUTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
