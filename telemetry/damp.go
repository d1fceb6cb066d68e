package telemetry

import "time"

// How long a link that flaps is held down.
const (
	flapWindow = time.Minute // a link that goes down again within it flaps
	firstHold  = time.Second // of the second time; each further time doubles it
	maxHold    = 30 * time.Second
)

// damper follows a link. Down counts at once; up counts at once too unless the link went down twice within a minute: then it must stay up for a while, which doubles each time.
//
//	Unknown ─▶ Up ◀─at once, or after hold─ Down
//	   ▲        └──────────at once──────────▶ │
//	   └──────────────── stale ───────────────┘
type damper struct {
	link  State // as it counts
	told  State // as the target has it
	since time.Time
	down  time.Time // when it went down last; zero: never
	hold  time.Duration
	flaps uint64
}

// observe takes what is told now, and reports whether the link's state changed.
func (d *damper) observe(told State, now time.Time) bool {
	before := d.link
	if told != d.told {
		if told == Down && d.told == Up {
			d.flap(now)
		}
		d.told, d.since = told, now
	}
	if !d.held(now) {
		d.link = told
	}
	return d.link != before
}

func (d *damper) flap(now time.Time) {
	switch {
	case d.down.IsZero() || now.Sub(d.down) > flapWindow+d.hold:
		d.hold = 0
	default:
		d.hold = min(max(2*d.hold, firstHold), maxHold)
	}
	d.down = now
	d.flaps++
}

// held reports whether the link is told to be up, and does not count as that yet.
func (d *damper) held(now time.Time) bool {
	return d.told == Up && d.link == Down && now.Sub(d.since) < d.hold
}
