//go:build !linux

package sim

import (
	"testing"
	"time"
)

var begin = time.Now()

// cpuTime is the time that has passed: here there is no clock of one thread.
func cpuTime(*testing.B) time.Duration { return time.Since(begin) }
