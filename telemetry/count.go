package telemetry

import "math"

// total makes a counter that only grows of one that may begin anew.
type total struct {
	raw, sum uint64
	known    bool // something was told since the beginning
}

// add takes what the target counts now. It reports whether the target's counter began anew: it is lower than before, and not because it is at the end of its 32 or 64 bits.
func (t *total) add(raw uint64) (reset bool) {
	before := t.raw
	t.raw = raw
	switch {
	case !t.known:
		t.known, t.sum = true, raw
	case raw >= before:
		t.sum += raw - before
	case nearEnd(before, raw, math.MaxUint32):
		t.sum += raw + (math.MaxUint32 - before) + 1
	case nearEnd(before, raw, math.MaxUint64):
		t.sum += raw - before // modulo 2^64
	default:
		t.sum += raw
		return true
	}
	return false
}

// nearEnd reports whether a counter that ends at limit was in the last quarter of its range, and is in the first one now.
func nearEnd(before, now, limit uint64) bool {
	return before <= limit && before > limit/4*3 && now < limit/4
}
