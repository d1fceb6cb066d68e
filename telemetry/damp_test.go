package telemetry

import (
	"testing"
	"time"
)

func TestDamper(t *testing.T) {
	begin := time.Unix(1e9, 0)
	type step struct {
		at   time.Duration
		told State
		want State
	}
	s := time.Second
	for name, steps := range map[string][]step{
		"unknown at first":           {{0, Unknown, Unknown}, {s, Up, Up}},
		"down at first":              {{0, Down, Down}, {s, Up, Up}},
		"once, and up again at once": {{0, Up, Up}, {s, Down, Down}, {2 * s, Up, Up}},
		"twice: up for a second before it counts": {{0, Up, Up}, {s, Down, Down}, {2 * s, Up, Up}, {3 * s, Down, Down}, {4 * s, Up, Down},
			{4*s + 999*time.Millisecond, Up, Down}, {5 * s, Up, Up}},
		"three times: two seconds": {{0, Up, Up}, {s, Down, Down}, {s, Up, Up}, {2 * s, Down, Down}, {2 * s, Up, Down}, {2 * s, Down, Down}, {3 * s, Up, Down},
			{4 * s, Up, Down}, {5 * s, Up, Up}},
		"a long time between": {{0, Up, Up}, {s, Down, Down}, {2 * s, Up, Up}, {65 * s, Down, Down}, {65 * s, Up, Up}},
		"stale is not down":   {{0, Down, Down}, {s, Unknown, Unknown}, {2 * s, Down, Down}, {3 * s, Up, Up}},
	} {
		var d damper
		for i, x := range steps {
			before := d.link
			changed := d.observe(x.told, begin.Add(x.at))
			if d.link != x.want || changed != (d.link != before) {
				t.Errorf("%s: step %d: %v (changed %t), want %v", name, i, d.link, changed, x.want)
			}
		}
	}
	var d damper
	for i := range 40 {
		d.observe(Up, begin.Add(time.Duration(2*i)*s))
		d.observe(Down, begin.Add(time.Duration(2*i+1)*s))
	}
	if d.hold != maxHold || d.flaps != 40 {
		t.Errorf("held for %v after %d flaps, want %v", d.hold, d.flaps, maxHold)
	}
}
