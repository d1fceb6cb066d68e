package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// learn takes what an UPDATE told.
func (s *session) learn(paths []*apiutil.Path) {
	s.judging.Lock()
	defer s.judging.Unlock()
	if spec := s.taking(); spec != nil {
		if !spec.NoDamping && s.damper.take(paths, spec.AddPaths, time.Now()) {
			s.damped.Reset(releaseTime)
			if n, _ := s.damper.counts(); n == 1 {
				s.note(state.EventWarning, "PrefixesHeldBack", "the neighbour changes prefixes too often: they are held back")
			}
		}
		if spec.AddPaths {
			paths = s.besides(paths)
		}
		s.heard.take(paths)
		if s.checkLimit(spec) {
			s.store(spec, paths)
		}
	}
}

// taking returns the session's object, or nil while nothing that is told counts.
func (s *session) taking() *topology.BGPSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped || s.over.Load() {
		return nil
	}
	return s.spec
}

// store judges paths, those to one prefix next to each other, and has what comes of them be stored. The caller has judging.
func (s *session) store(spec *topology.BGPSession, paths []*apiutil.Path) {
	if s.taking() == nil || s.whyUnable() != "" {
		return // since paths were listed
	}
	routes := s.routesOf(spec, paths, time.Now())
	update := s.rib.Update
	if spec.AddPaths {
		routes, update = bestOfEach(routes), s.rib.UpdateSets
	}
	if err := update(routes); err != nil {
		s.log.Warn("what the neighbour told is not stored", "err", err)
	}
}

// whyUnable is why the edge can not forward what others would send it; empty: it can.
func (s *session) whyUnable() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unable
}

// setUnable is told why the edge can not forward what others send it; empty: it can. If it can not, what the neighbour told is no route, as others' packets would be lost here; when it can, it is judged again.
func (s *session) setUnable(why string) {
	s.judging.Lock()
	s.mu.Lock()
	was, is := s.unable != "", why != ""
	s.unable = why
	s.mu.Unlock()
	if is && !was {
		s.rib.Clear()
	}
	s.judging.Unlock()
	if was && !is {
		s.run.Go(func() { s.judgeAgain(nil) })
	}
}

// routesOf judges paths. One that the neighbour told before it was lost, and has not told again since, is stale (RFC 4724 section 4.2), however often it is judged.
func (s *session) routesOf(spec *topology.BGPSession, paths []*apiutil.Path, now time.Time) []state.RIBRoute {
	routes := make([]state.RIBRoute, 0, len(paths))
	for _, p := range paths {
		r, verdict, _ := judge(spec, s.port.Load(), p, s.origins)
		if verdict == RejectedFamily {
			continue
		}
		if _, held := s.damper.holds(r.Dst, now); held {
			r = state.RIBRoute{Dst: r.Dst}
		}
		r.Stale = p.Stale && r.Via.IsValid()
		routes = append(routes, r) // one that is rejected takes away what was told of its destination before
	}
	return routes
}

// judged is how many prefixes are judged again at once.
const judged = 1024

// judgeAgain takes what the neighbour told once more, of the prefixes that concern says; nil: of all. That is some at a time, so that what the neighbour tells meanwhile is taken in between.
func (s *session) judgeAgain(concern func(netip.Prefix) bool) {
	for some := range slices.Chunk(s.heardOf(concern), judged) {
		if s.ctx.Err() != nil {
			return
		}
		s.judgeSome(some)
	}
}

// heardOf lists what the neighbour tells, of the prefixes that concern says; nil: all.
func (s *session) heardOf(concern func(netip.Prefix) bool) (all []netip.Prefix) {
	s.judging.Lock()
	defer s.judging.Unlock()
	for p := range s.heard.prefixes.All() {
		if concern == nil || concern(p) {
			all = append(all, p)
		}
	}
	return all
}

// lookup is which of the paths that GoBGP keeps are looked for.
type lookup func(family msg.Family) (prefixes []*apiutil.LookupPrefix, any bool)

// everything looks for all.
func everything(msg.Family) ([]*apiutil.LookupPrefix, bool) { return nil, true }

// covering looks for those that cover an address; for all if it is not valid.
func covering(a netip.Addr) lookup {
	if !a.IsValid() {
		return everything
	}
	return func(family msg.Family) ([]*apiutil.LookupPrefix, bool) {
		return []*apiutil.LookupPrefix{{Prefix: netip.PrefixFrom(a, a.BitLen()).String(), LookupOption: apiutil.LOOKUP_SHORTER}}, a.Is4() == (family == msg.RF_IPv4_UC)
	}
}

// exactly looks for those to prefixes.
func exactly(wanted []netip.Prefix) lookup {
	return func(family msg.Family) (prefixes []*apiutil.LookupPrefix, _ bool) {
		for _, p := range wanted {
			if p.Addr().Is4() == (family == msg.RF_IPv4_UC) {
				prefixes = append(prefixes, &apiutil.LookupPrefix{Prefix: p.String()})
			}
		}
		return prefixes, len(prefixes) > 0
	}
}

// eachPath goes through what the neighbour told and GoBGP keeps: the paths to one prefix at a time, several if it has addPaths.
func (s *session) eachPath(wanted lookup, f func([]*apiutil.Path)) error {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	for _, family := range families(spec) {
		prefixes, any := wanted(family)
		if !any {
			continue
		}
		r := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: s.relay.Addr().Addr().String(), Family: family, Prefixes: prefixes}
		if err := s.server.ListPath(r, func(_ msg.NLRI, paths []*apiutil.Path) {
			if len(paths) > 0 {
				f(paths)
			}
		}); err != nil {
			return fmt.Errorf("bgp: session %s: what the neighbour told can not be listed: %w", spec.Name, err)
		}
	}
	return nil
}

// endOfRIB: the neighbour told all that it has of a family (RFC 4724 section 2).
func (s *session) endOfRIB(f msg.Family) {
	s.mu.Lock()
	s.eors[f] = true
	whole := true
	for _, f := range families(s.spec) {
		whole = whole && s.eors[f]
	}
	s.mu.Unlock()
	if whole {
		s.dropStale()
	}
}

// dropStale takes away what an earlier run, or the neighbour before its restart, left and nobody told again.
func (s *session) dropStale() {
	s.stale.Stop()
	s.rib.DropStale()
	s.judging.Lock()
	s.heard.whole()
	s.judging.Unlock()
}

// dropAll takes away all that the neighbour told: the session is over.
func (s *session) dropAll() {
	s.stale.Stop()
	s.judging.Lock() // what is being judged is stored first, and goes, too
	s.rib.Clear()
	s.heard.clear()
	s.judging.Unlock()
	s.mu.Lock()
	s.exceeds = false
	s.mu.Unlock()
}

// lost: the connection of the session is over; err is how the neighbour ended it, or nil. What it told goes at once, unless it restarts gracefully: GoBGP takes seconds to say so, if it was much.
func (s *session) lost(err error) {
	if s.over.Load() {
		return
	}
	s.mu.Lock()
	s.dropped = s.dropped || s.life.state == Established && (s.life.restart == 0 || err == nil) // or since BFD, or maxPrefixes, ended it
	dropped := s.dropped
	s.mu.Unlock()
	if dropped {
		s.stale.Stop()
		s.rib.Clear()
	}
}

// waits is for how long stored routes wait to be told again.
func (s *session) waits() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec.RestartTime
}

// became: GoBGP's state of the session is another.
func (s *session) became(p *apiutil.PeerState, at time.Time) {
	up := p.SessionState == msg.BGP_FSM_ESTABLISHED
	var agreed timers
	if up {
		agreed = s.agreedTimers()
	}
	s.mu.Lock()
	was := s.life
	s.dropped = false
	s.life.become(p, families(s.spec), s.relay.LastError(), at)
	if s.spec.RestartTime == 0 {
		s.life.restart, s.life.forwards = 0, false // whatever the neighbour can do
	}
	if s.cut != "" && !up && was.state == Established {
		s.life.ended(s.cut)
	}
	if !up {
		s.cut = ""
	}
	now, peer := s.life, s.spec.PeerAddress
	if up {
		s.life.agreed = agreed
		clear(s.eors)
	}
	idle := time.Duration(0)
	if !up && s.stopped {
		idle = s.spec.RestartAfter
	}
	s.mu.Unlock()
	s.relay.Established(up)
	if idle > 0 {
		s.idle.Reset(idle)
	}
	switch {
	case up && was.state != Established:
		if was.keeps() {
			s.judging.Lock()
			s.heard.restart()
			s.judging.Unlock()
		}
		s.note(state.EventNormal, "SessionUp", fmt.Sprintf("up with %s, whose id is %s", peer, p.RouterID))
		s.log.Info("session is up", "neighbour", peer, "id", p.RouterID)
		switch {
		case was.keeps() && !now.forwards:
			s.dropStale() // RFC 4724 section 4.2
		case now.restart == 0:
			s.stale.Reset(s.waits()) // it tells no End-of-RIB
		}
	case !up && was.state != Established && now.why != was.why && now.why != "":
		s.note(state.EventWarning, "SessionRefused", fmt.Sprintf("with %s: %s", peer, now.why))
	case !up && was.state == Established:
		s.note(state.EventWarning, "SessionLost", fmt.Sprintf("lost with %s: %s", peer, now.why))
		s.log.Warn("session is lost", "neighbour", peer, "why", now.why, "kept", now.keeps())
		if now.keeps() {
			s.rib.MarkStale()
			s.stale.Reset(now.restart)
			return
		}
		s.dropAll()
	}
}

// judgeSome takes once more what the neighbour told of prefixes. Nothing is taken meanwhile: GoBGP's list is not older than what was taken before.
func (s *session) judgeSome(prefixes []netip.Prefix) {
	s.judging.Lock()
	defer s.judging.Unlock()
	spec := s.taking()
	if spec == nil || len(prefixes) == 0 {
		return
	}
	var some []*apiutil.Path
	if err := s.eachPath(exactly(prefixes), func(paths []*apiutil.Path) { some = append(some, paths...) }); err != nil && !s.over.Load() {
		s.log.Warn("what the neighbour told of some prefixes is not judged again", "err", err)
	}
	s.store(spec, some)
}
