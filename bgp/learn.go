package bgp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/state"
)

// learn takes what an UPDATE told.
func (s *session) learn(paths []*apiutil.Path) {
	s.mu.Lock()
	spec, dropped := s.spec, s.dropped
	s.mu.Unlock()
	if dropped {
		return
	}
	routes := make([]state.RIBRoute, 0, len(paths))
	for _, p := range paths {
		if r, verdict, _ := judge(spec, s.port, p); verdict != RejectedFamily {
			routes = append(routes, r) // one that is rejected takes away what was told of its destination before
		}
	}
	if err := s.rib.Update(routes); err != nil {
		s.log.Warn("what the neighbour told is not stored", "err", err)
	}
}

// judged is how many paths are judged again at once.
const judged = 1024

// judgeAgain takes all that the neighbour told once more: the import rules are others.
func (s *session) judgeAgain() {
	var some []*apiutil.Path
	err := s.eachPath(netip.Addr{}, func(p *apiutil.Path) {
		if some = append(some, p); len(some) == judged {
			s.learn(some)
			some = some[:0]
		}
	})
	s.learn(some)
	if err != nil {
		s.log.Warn("what the neighbour told before is not judged by the new import rules", "err", err)
	}
}

// eachPath goes through what the neighbour told and GoBGP keeps: all of it, or the prefixes that cover an address if that is valid.
func (s *session) eachPath(covers netip.Addr, f func(*apiutil.Path)) error {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	for _, family := range families(spec) {
		r := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: s.relay.Addr().Addr().String(), Family: family}
		if covers.IsValid() {
			if covers.Is4() != (family == msg.RF_IPv4_UC) {
				continue
			}
			r.Prefixes = []*apiutil.LookupPrefix{{Prefix: netip.PrefixFrom(covers, covers.BitLen()).String(), LookupOption: apiutil.LOOKUP_SHORTER}}
		}
		if err := s.server.ListPath(r, func(_ msg.NLRI, paths []*apiutil.Path) {
			for _, p := range paths {
				f(p)
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
}

// lost: the connection of the session is over; err is how the neighbour ended it, or nil. What it told goes at once, unless it restarts gracefully: GoBGP takes seconds to say so, if it was much.
func (s *session) lost(err error) {
	if s.over.Load() {
		return
	}
	s.mu.Lock()
	s.dropped = s.life.state == Established && (s.life.restart == 0 || err == nil)
	dropped := s.dropped
	s.mu.Unlock()
	if dropped {
		s.stale.Stop()
		s.rib.Clear()
	}
}

// became: GoBGP's state of the session is another.
func (s *session) became(p *apiutil.PeerState, at time.Time) {
	up := p.SessionState == msg.BGP_FSM_ESTABLISHED
	s.mu.Lock()
	was := s.life
	s.dropped = false
	s.life.become(p, families(s.spec), s.relay.LastError(), at)
	if s.cut != "" && !up && was.state == Established {
		s.life.ended(s.cut)
	}
	s.cut = ""
	now, peer := s.life, s.spec.PeerAddress
	if up {
		clear(s.eors)
	}
	s.mu.Unlock()
	s.relay.Established(up)
	switch {
	case up && was.state != Established:
		s.note(state.EventNormal, "SessionUp", fmt.Sprintf("up with %s, whose id is %s", peer, p.RouterID))
		s.log.Info("session is up", "neighbour", peer, "id", p.RouterID)
		switch {
		case was.keeps() && !now.forwards:
			s.dropStale() // RFC 4724 section 4.2
		case now.restart == 0:
			s.stale.Reset(restartTime) // it tells no End-of-RIB
		}
	case !up && was.state == Established:
		s.note(state.EventWarning, "SessionLost", fmt.Sprintf("lost with %s: %s", peer, now.why))
		s.log.Warn("session is lost", "neighbour", peer, "why", now.why, "kept", now.keeps())
		if now.keeps() {
			s.rib.MarkStale()
			s.stale.Reset(now.restart)
			return
		}
		s.stale.Stop()
		s.rib.Clear()
	}
}
