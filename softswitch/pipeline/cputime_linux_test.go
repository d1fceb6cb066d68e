package pipeline

import (
	"testing"

	"golang.org/x/sys/unix"
)

// cpuNow is the processor time that this thread has had, in nanoseconds.
func cpuNow(t testing.TB) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
