package bgp

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// How a prefix is held back that changes again and again, in the way of RFC 2439: each UPDATE of it adds 1 to its penalty, which is halved every halfLife; from suppressFrom on it is no route until
// the penalty is down to reuseFrom. What goes on for good may change so 1.7 times a second; writes of one prefix in the database are no more. The times are short for they are not to keep a network
// stable (RFC 7196), but etcd and those who read it.
const (
	halfLife     = 5 * time.Second
	suppressFrom = 12
	reuseFrom    = 2
	mostPenalty  = 64 // that reuse is 25 s away from
	forgetFrom   = 0.5

	mostPaths  = 2 * mostWays // whose ids are known, of a prefix: what changes of more is not counted
	mostDamped = 1 << 14      // prefixes whose penalties are known; of more that change at once, writes of all are gathered (state.RIB)
)

// damper has the penalties of prefixes that changed of late.
type damper struct {
	mu    sync.Mutex
	flaps map[netip.Prefix]*flap
	swept time.Time
	total uint64 // how often a prefix began to be held back
}

// flap is how a prefix changed.
type flap struct {
	penalty    float64 // at the time at
	at         time.Time
	changes    uint64 // since it is known
	suppressed bool
	ids        []uint32 // of the paths that a neighbour tells which tells several; mostPaths at most
}

// tells takes note of a path, and reports whether the neighbour told it before: what it is told now takes its place.
func (f *flap) tells(id uint32) bool {
	if slices.Contains(f.ids, id) {
		return true
	}
	if len(f.ids) < mostPaths {
		f.ids = append(f.ids, id)
	}
	return false
}

// untells takes note that the neighbour withdrew a path.
func (f *flap) untells(id uint32) {
	if i := slices.Index(f.ids, id); i >= 0 {
		f.ids = slices.Delete(f.ids, i, i+1)
	}
}

// now is the penalty as it is.
func (f *flap) now(at time.Time) float64 {
	return f.penalty * math.Exp2(-float64(at.Sub(f.at))/float64(halfLife))
}

// take takes note of an UPDATE's paths. Of a neighbour that tells several to a prefix, all of which come one after the other, a path counts that it withdraws, or tells again.
func (d *damper) take(paths []*apiutil.Path, several bool, at time.Time) (held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range paths {
		nlri, ok := p.Nlri.(*msg.IPAddrPrefix)
		if !ok || !nlri.Prefix.IsValid() {
			continue
		}
		if f := d.flapLocked(nlri.Prefix.Masked(), at); f != nil {
			if several && p.Withdrawal {
				f.untells(p.RemoteID)
			} else if several && !f.tells(p.RemoteID) {
				continue
			}
			f.penalty, f.at = min(f.now(at)+1, mostPenalty), at
			f.changes++
			if !f.suppressed && f.penalty >= suppressFrom {
				f.suppressed, held = true, true
				d.total++
			}
		}
	}
	return held
}

// flapLocked is how a prefix changes; nil: there are too many to be known.
func (d *damper) flapLocked(p netip.Prefix, at time.Time) *flap {
	if f := d.flaps[p]; f != nil {
		return f
	}
	if len(d.flaps) >= mostDamped {
		if at.Sub(d.swept) < time.Second {
			return nil
		}
		d.swept = at
		for p, f := range d.flaps {
			if !f.suppressed && f.now(at) < forgetFrom {
				delete(d.flaps, p)
			}
		}
		if len(d.flaps) >= mostDamped {
			return nil
		}
	}
	if d.flaps == nil {
		d.flaps = map[netip.Prefix]*flap{}
	}
	f := &flap{at: at}
	d.flaps[p] = f
	return f
}

// holds says whether a prefix is held back, and if so why and until when if it does not change.
func (d *damper) holds(p netip.Prefix, at time.Time) (why string, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flaps[p]
	if f == nil || !f.suppressed {
		return "", false
	}
	left := time.Duration(math.Log2(f.now(at)/reuseFrom) * float64(halfLife))
	return fmt.Sprintf("it changed %d times; held back for %d s more if it does not change", f.changes, max(int(math.Ceil(left.Seconds())), 1)), true
}

// released are prefixes that are not held back any more; more: others are.
func (d *damper) released(at time.Time) (free []netip.Prefix, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p, f := range d.flaps {
		switch {
		case !f.suppressed:
		case f.now(at) <= reuseFrom:
			f.suppressed = false
			free = append(free, p)
		default:
			more = true
		}
	}
	return free, more
}

// forget has nothing be held back that changed until now, and returns what was.
func (d *damper) forget() (held []netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p, f := range d.flaps {
		if f.suppressed {
			held = append(held, p)
		}
	}
	d.flaps = nil
	return held
}

// counts are how many prefixes are held back, and how often one began to be.
func (d *damper) counts() (held int, total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.flaps {
		if f.suppressed {
			held++
		}
	}
	return held, d.total
}

// releaseTime is how often prefixes that are held back are looked at.
const releaseTime = time.Second

// release has prefixes be routes again that are not held back any more.
func (s *session) release() {
	free, more := s.damper.released(time.Now())
	s.judgeSome(free)
	if more && !s.over.Load() {
		s.damped.Reset(releaseTime)
	}
}
