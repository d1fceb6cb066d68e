package telemetry

import (
	"math"
	"testing"
)

func TestTotal(t *testing.T) {
	for name, tc := range map[string]struct {
		raw    []uint64
		want   uint64
		resets int
	}{
		"grows":               {[]uint64{5, 5, 9}, 9, 0},
		"begins anew":         {[]uint64{1000, 7, 10}, 1010, 1},
		"wraps at 32 bits":    {[]uint64{math.MaxUint32 - 9, 10}, math.MaxUint32 - 9 + 20, 0},
		"at 32 bits, too far": {[]uint64{math.MaxUint32 - 9, 1 << 31}, math.MaxUint32 - 9 + 1<<31, 1},
		"wraps at 64 bits":    {[]uint64{math.MaxUint64 - 9, 10}, 10, 0}, // as a counter of Prometheus would have to
		"twice":               {[]uint64{1000, 0, 1000, 0, 5}, 2005, 2},
	} {
		var c total
		resets := 0
		for _, raw := range tc.raw {
			if c.add(raw) {
				resets++
			}
		}
		if c.sum != tc.want || resets != tc.resets {
			t.Errorf("%s: %d, %d resets; want %d, %d", name, c.sum, resets, tc.want, tc.resets)
		}
	}
}
