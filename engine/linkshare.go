package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// linkShares are what this edge may send over links that have a rate, and over sets of links that packets pass one after the other (Q1). They follow from what edges tell that they want of each link:
//
//	link   edges share its rate by what they tell; this edge's share is divided in the same way by its sets that the link is one of
//	set    may send what it has at the link where that is least, so that each of its links holds
//	told   what all sets want of a link, none more than it would get at its other links if it wanted all there: what it can't use here is left to others
//
// What a set would get is told by what others want, not by what it has: so shares do not depend on how they came about, and settle.
type linkShares struct {
	self  string
	rate  func(flow.VPortID) topology.BitRate            // of a link; 0: it has none
	told  func(flow.VPortID) map[string]topology.BitRate // by edges, of a link; not to be changed
	links map[flow.VPortID]*limitedLink                  // by the port behind the link
	sets  map[flow.LinkSet]*linkSet                      // each link alone, and what flows pass beside
	stale map[flow.VPortID]struct{}                      // links that are to be divided again
}

// limitedLink is a link that has a rate, one way, or had: until the database has nothing of it any more.
type limitedLink struct {
	port  flow.VPortID
	sets  []*linkSet // that it is one of
	tells topology.BitRate
	kept  int // seconds for which that is what a predecessor told
}

// linkSet are links that packets pass, and share a meter by that.
type linkSet struct {
	of      flow.LinkSet
	wants   topology.BitRate // 0: nobody sends over them
	has     [flow.MaxLinks]topology.BitRate
	could   [flow.MaxLinks]topology.BitRate // what it would have at the link if it wanted all
	counted uint64                          // bytes, when they were read last
	at      time.Duration                   // when that was; 0: never
	idle    int                             // reads since the last packet
}

const (
	leastWanted = 1024 // the part of a rate below which what is wanted, or could be had, is not told exactly
	mostRounds  = 32   // in which a link is divided at once; what is not settled then goes on in a second
)

func newLinkShares(self string, rate func(flow.VPortID) topology.BitRate, told func(flow.VPortID) map[string]topology.BitRate) linkShares {
	return linkShares{self: self, rate: rate, told: told, links: map[flow.VPortID]*limitedLink{}, sets: map[flow.LinkSet]*linkSet{}, stale: map[flow.VPortID]struct{}{}}
}

// link returns a link that has a rate, which is known from now on.
func (r *linkShares) link(port flow.VPortID) *limitedLink {
	l := r.links[port]
	if l == nil {
		l = &limitedLink{port: port, tells: r.told(port)[r.self]}
		if l.tells != 0 {
			l.kept = mostIdle
		}
		r.links[port] = l
	}
	return l
}

// set returns a set of links with a rate, which is known from now on.
func (r *linkShares) set(of flow.LinkSet) *linkSet {
	s := r.sets[of]
	if s == nil {
		s = &linkSet{of: of}
		r.sets[of] = s
		for _, port := range of.Links() {
			l := r.link(port)
			l.sets = append(l.sets, s)
		}
		r.again(s)
	}
	return s
}

// forget takes a set away.
func (r *linkShares) forget(s *linkSet) {
	delete(r.sets, s.of)
	for _, port := range s.of.Links() {
		l := r.links[port]
		l.sets = slices.DeleteFunc(l.sets, func(x *linkSet) bool { return x == s })
		r.stale[port] = struct{}{}
	}
}

// want takes what is wanted of a set's links.
func (r *linkShares) want(s *linkSet, wants topology.BitRate) {
	s.wants, s.idle = wants, 0
	r.again(s)
}

// again has a set's links divided again.
func (r *linkShares) again(s *linkSet) {
	for _, port := range s.of.Links() {
		r.stale[port] = struct{}{}
	}
}

// most is the least rate of a set's links; 0: none has one any more.
func (r *linkShares) most(s *linkSet) (least topology.BitRate) {
	for _, port := range s.of.Links() {
		if rate := r.rate(port); rate != 0 && (least == 0 || rate < least) {
			least = rate
		}
	}
	return least
}

// may is what the edge may send over a set's links; 0: none has a rate any more.
func (r *linkShares) may(s *linkSet) (least topology.BitRate) {
	for i, port := range s.of.Links() {
		if r.rate(port) != 0 && (least == 0 || s.has[i] < least) {
			least = s.has[i]
		}
	}
	return least
}

// wantsOf is what a set wants of one of its links: no more than it would have at the others if it wanted all there.
func (r *linkShares) wantsOf(s *linkSet, port flow.VPortID) topology.BitRate {
	wants := s.wants
	for i, other := range s.of.Links() {
		if other != port && r.rate(other) != 0 && s.could[i] != 0 {
			wants = min(wants, s.could[i])
		}
	}
	return wants
}

// saw takes what the target has counted of a set of links.
func (r *linkShares) saw(of flow.LinkSet, bytes uint64, now time.Duration) {
	s := r.sets[of]
	if s == nil {
		return
	}
	most := r.most(s)
	if most == 0 {
		return
	}
	before, since := s.counted, now-s.at
	first := s.at == 0 || bytes < before
	if s.counted, s.at = bytes, now; first || since <= 0 {
		return
	}
	if bytes == before {
		if s.idle++; s.idle == mostIdle && s.wants != 0 {
			r.want(s, 0)
		}
		return
	}
	s.idle = 0
	seen, has := topology.BitRate(float64(bytes-before)*8/since.Seconds()), r.may(s)
	wants := min(max(seen+seen/8, most/leastWanted, 1), most)
	if seen >= has-has/16 { // what it has is not enough. What it has for this much is: else it would want all each other second
		wants = most
	}
	if wants > s.wants+s.wants/8 || wants < s.wants-s.wants/4 || wants == most && s.wants != most { // small changes are nobody's business
		r.want(s, wants)
	}
}

// divide divides links again that are stale, and those that sets pass who may have another part of them by that. It returns the sets that are concerned.
func (r *linkShares) divide() map[*linkSet]struct{} {
	concerned, rounds := map[*linkSet]struct{}{}, map[flow.VPortID]int{}
	next := slices.Sorted(maps.Keys(r.stale))
	clear(r.stale)
	for len(next) > 0 {
		port := next[0]
		next = next[1:]
		l := r.links[port]
		if l == nil {
			continue
		}
		if rounds[port]++; rounds[port] > mostRounds {
			r.stale[port] = struct{}{}
			continue
		}
		for _, s := range l.sets {
			concerned[s] = struct{}{}
		}
		for _, s := range r.divideLink(l) {
			for _, other := range s.of.Links() {
				if other != port && !slices.Contains(next, other) {
					next = append(next, other)
				}
			}
		}
	}
	return concerned
}

// divideLink divides this edge's share of a link by what its sets want. It returns those that could have more or less than before: their other links are to be divided again.
func (r *linkShares) divideLink(l *limitedLink) (moved []*linkSet) {
	rate := r.rate(l.port)
	if rate == 0 {
		l.tells, l.kept = 0, 0
		return nil
	}
	var total topology.BitRate
	wants := make([]topology.BitRate, 0, len(l.sets))
	for _, s := range l.sets {
		if w := r.wantsOf(s, l.port); w != 0 {
			wants = append(wants, w)
			total += w
		}
	}
	l.tell(min(total, rate), rate)
	all := maps.Clone(r.told(l.port))
	if all == nil {
		all = map[string]topology.BitRate{}
	}
	if delete(all, r.self); l.tells != 0 {
		all[r.self] = l.tells
	}
	has := rate.Share(all, r.self).Divide(wants)
	all[r.self] = rate
	most := rate.Share(all, r.self).Divide(wants)
	for _, s := range l.sets {
		i, w := slices.Index(s.of[:], l.port), r.wantsOf(s, l.port)
		s.has[i] = has.Of(w)
		could := rate // who wants nothing yet is not known to get less
		if w != 0 {
			could = most.IfAll(w)
		}
		if before := s.could[i]; before == 0 || max(before, could)-min(before, could) > before/leastWanted {
			s.could[i] = could
			moved = append(moved, s)
		}
	}
	return moved
}

// tell takes what is wanted of the link, but for small changes.
func (l *limitedLink) tell(wants, rate topology.BitRate) {
	switch {
	case wants != 0:
		l.kept = 0
	case l.kept > 0:
		return
	}
	if wants == 0 || l.tells == 0 || wants == rate || max(wants, l.tells)-min(wants, l.tells) > rate/leastWanted {
		l.tells = wants
	}
}
