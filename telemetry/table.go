package telemetry

import (
	"cmp"
	"slices"
	"strings"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// Leaves of an interface that are kept, as indices of entry's stamps: these, and counters behind them.
const (
	leafAdmin = iota
	leafOper
	leafLastChange
	leafSpeed
	leafNegotiated
	leafCounters
	numLeaves = leafCounters + int(NumCounters)
)

// leafOf finds a leaf by its path below the interface.
var leafOf = func() map[string]int {
	m := map[string]int{
		"state/admin-status": leafAdmin, "state/oper-status": leafOper, "state/last-change": leafLastChange,
		"ethernet/state/port-speed": leafSpeed, "ethernet/state/negotiated-port-speed": leafNegotiated,
	}
	for c, name := range counterLeaves {
		m["state/counters/"+name] = leafCounters + c
	}
	return m
}()

// Counts are what a collector met.
type Counts struct {
	Notifications uint64 `json:"notifications"`
	Malformed     uint64 `json:"malformed"`    // values that can't be read, or are of the wrong type
	OutOfOrder    uint64 `json:"out_of_order"` // values that are older than what was told before
	Foreign       uint64 `json:"foreign"`      // of interfaces or leaves that were not asked for
	Resets        uint64 `json:"resets"`       // of counters
	Syncs         uint64 `json:"syncs"`        // sync responses
	Connects      uint64 `json:"connects"`     // subscriptions that were made
	Failures      uint64 `json:"failures"`     // connections and subscriptions that ended
	Refusals      uint64 `json:"refusals"`     // subscriptions that the target did not take
}

// table is what is known of the interfaces that were asked for. Nothing else is kept, whatever the target sends.
type table struct {
	stale   time.Duration // without news
	sampled bool          // statuses are sampled, so that their age tells something
	of      map[string]*entry
	moved   bool   // a status was told, or deleted, since links were looked at
	left    []Link // of interfaces that are not asked for any more, and of which something is known elsewhere
	counts  Counts
}

// entry is one interface.
type entry struct {
	Interface
	damper
	// Speeds as the target has them: what the ends of the link agreed on counts.
	fixed, negotiated uint64

	totals  [NumCounters]total
	stamps  [numLeaves]int64     // of the target's clock, in this subscription; 0: none
	seen    [numLeaves]time.Time // by the own clock
	samples map[Counter]sample   // of counters with a rate
}

// sample is a counter at a time.
type sample struct {
	sum uint64
	at  time.Time
}

func newTable(stale time.Duration) *table { return &table{stale: stale, of: map[string]*entry{}} }

// begin has a subscription to some interfaces begin: others are forgotten, what is known of their links too, and clocks are compared anew.
func (t *table) begin(ports map[string]uint16, sampled bool) {
	t.sampled = sampled
	for name, e := range t.of {
		if port, is := ports[name]; !is || port != e.Port {
			if e.damper.link != Unknown {
				t.left = append(t.left, Link{name, e.Port, Unknown})
			}
			delete(t.of, name)
		}
	}
	for name, port := range ports {
		e := t.of[name]
		if e == nil {
			e = &entry{Interface: Interface{Name: name, Port: port}, samples: map[Counter]sample{}}
			t.of[name] = e
		}
		e.stamps = [numLeaves]int64{}
	}
}

// apply takes a notification: what it deletes, then what it updates.
func (t *table) apply(n *gpb.Notification, now time.Time) {
	t.counts.Notifications++
	stamp := n.GetTimestamp()
	if n.GetAtomic() { // it has all that there is below its prefix
		t.delete(n.GetPrefix(), nil, stamp, now)
	}
	for _, p := range n.GetDelete() {
		t.delete(n.GetPrefix(), p, stamp, now)
	}
	for _, u := range n.GetUpdate() {
		if !leaves(n.GetPrefix(), u, func(p place, v any) { t.set(p, v, stamp, now) }) {
			t.counts.Malformed++
		}
	}
}

func (t *table) set(p place, v any, stamp int64, now time.Time) {
	e, leaf := t.of[p.iface], -1
	if i, known := leafOf[p.leaf]; known {
		leaf = i
	}
	switch {
	case e == nil || leaf < 0:
		t.counts.Foreign++
		return
	case !e.newer(leaf, stamp, now, t.stale):
		t.counts.OutOfOrder++
		return
	case !e.take(leaf, v, stamp, now, &t.counts):
		t.counts.Malformed++
		return
	}
	if stamp > 0 {
		e.stamps[leaf] = stamp
	}
	e.seen[leaf], e.Updated = now, now
	t.moved = t.moved || leaf == leafAdmin || leaf == leafOper
}

// newer reports whether a leaf's value is to be taken: one that is older than what was told before is not, unless that is stale: the target's clock may have been set back.
func (e *entry) newer(leaf int, stamp int64, now time.Time, stale time.Duration) bool {
	return stamp <= 0 || stamp >= e.stamps[leaf] || now.Sub(e.seen[leaf]) >= stale
}

// take sets a leaf. It returns false if the value is not of the leaf's type.
func (e *entry) take(leaf int, v any, stamp int64, now time.Time, counts *Counts) (ok bool) {
	var s string
	var n uint64
	switch leaf {
	case leafAdmin:
		if s, ok = word(v); ok {
			e.Admin = s
		}
	case leafOper:
		if s, ok = word(v); ok {
			e.Oper = s
		}
	case leafLastChange:
		if n, ok = number(v); ok {
			e.LastChange = time.Unix(0, int64(n))
		}
	case leafSpeed:
		if n, ok = speed(v); ok {
			e.fixed = n
		}
	case leafNegotiated:
		if n, ok = speed(v); ok {
			e.negotiated = n
		}
	default:
		if n, ok = number(v); ok {
			e.count(Counter(leaf-leafCounters), n, stamp, now, counts)
		}
	}
	e.Speed = cmp.Or(e.negotiated, e.fixed)
	return ok
}

func (e *entry) count(c Counter, raw uint64, stamp int64, now time.Time, counts *Counts) {
	if e.totals[c].add(raw) {
		e.Resets++
		counts.Resets++
	}
	sum := e.totals[c].sum
	e.Counters[c] = Count{sum, true}
	var rate *float64
	unit := 1.0
	switch c {
	case InOctets:
		rate, unit = &e.Rates.InBits, 8
	case OutOctets:
		rate, unit = &e.Rates.OutBits, 8
	case InPackets:
		rate = &e.Rates.InPackets
	case OutPackets:
		rate = &e.Rates.OutPackets
	default:
		return
	}
	at := now
	if stamp > 0 {
		at = time.Unix(0, stamp)
	}
	before, had := e.samples[c]
	switch past := at.Sub(before.at); {
	case !had, past < 0: // the target's clock was set back: the rate is known with the next sample
	case past == 0:
		return
	default:
		*rate = unit * float64(sum-before.sum) / past.Seconds()
	}
	e.samples[c] = sample{sum, at}
}

// delete forgets what is below a path. Counters that come back go on from where they were.
func (t *table) delete(prefix, path *gpb.Path, stamp int64, now time.Time) {
	p, ok := placeOf(prefix, path)
	if !ok {
		t.counts.Foreign++
		return
	}
	for name, e := range t.of {
		if p.iface != "" && p.iface != "*" && p.iface != name {
			continue
		}
		for leaf, i := range leafOf {
			if p.leaf != "" && leaf != p.leaf && !strings.HasPrefix(leaf, p.leaf+"/") {
				continue
			}
			if !e.newer(i, stamp, now, t.stale) {
				t.counts.OutOfOrder++
				continue
			}
			e.forget(i)
			t.moved = true
		}
	}
}

func (e *entry) forget(leaf int) {
	switch leaf {
	case leafAdmin:
		e.Admin = ""
	case leafOper:
		e.Oper = ""
	case leafLastChange:
		e.LastChange = time.Time{}
	case leafSpeed:
		e.fixed = 0
	case leafNegotiated:
		e.negotiated = 0
	default:
		e.Counters[leaf-leafCounters].Known = false
	}
	e.Speed = cmp.Or(e.negotiated, e.fixed)
}

// told is the link's state as the target has it. Of a lower layer that is down, and of what is not present, no frame comes. An admin status counts if it is not too old.
func (e *entry) told(admin bool) State {
	switch down := admin && e.Admin == "DOWN"; {
	case down:
		return Down
	case e.Oper == "UP":
		return Up
	}
	switch e.Oper {
	case "DOWN", "LOWER_LAYER_DOWN", "NOT_PRESENT", "DORMANT", "TESTING":
		return Down
	}
	return Unknown
}

// sweep finds what is stale, and returns the links whose state changed: those that are not asked for any more first, others by name.
func (t *table) sweep(now time.Time) (changed []Link) {
	left := t.left
	t.left, t.moved = nil, false
	for name, e := range t.of {
		last := e.Updated
		if oper := e.seen[leafOper]; t.sampled && !oper.IsZero() {
			last = oper
		}
		e.Stale = now.Sub(last) >= t.stale // zero: never
		told := e.told(!t.sampled || now.Sub(e.seen[leafAdmin]) < t.stale)
		if e.Stale {
			told = Unknown
		}
		if e.observe(told, now) {
			changed = append(changed, Link{name, e.Port, e.damper.link})
		}
		e.Link, e.Held, e.Flaps = e.damper.link, e.held(now), e.flaps
	}
	slices.SortFunc(changed, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	return append(left, changed...)
}

// all are the interfaces, by port and name.
func (t *table) all() []Interface {
	out := make([]Interface, 0, len(t.of))
	for _, e := range t.of {
		out = append(out, e.Interface)
	}
	slices.SortFunc(out, func(a, b Interface) int {
		if a.Port != b.Port {
			return int(a.Port) - int(b.Port)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
