package bgp

import (
	"net/netip"

	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// origins says whether an AS may originate a prefix (RFC 6811).
type origins interface {
	Validate(p netip.Prefix, from uint32) (rpki.State, rpki.VRP)
}

// validate asks o, which is nil where there are no caches: nothing is found then.
func validate(o origins, p netip.Prefix, from uint32) (topology.Validity, rpki.VRP) {
	if o == nil {
		return topology.Validity(rpki.NotFound), rpki.VRP{}
	}
	state, vrp := o.Validate(p, from)
	return topology.Validity(state), vrp
}

// fewPrefixes is how many prefixes at most are looked up one by one when what caches say of them changes; else all that a neighbour told is gone through.
const fewPrefixes = 4096

// judgeAgain has sessions judge again what changes concern.
func (s *Speaker) judgeAgain(c *rpki.Changes) {
	s.running.RLock()
	var sessions []*session
	for _, p := range s.ports {
		for _, x := range p.sessions {
			sessions = append(sessions, x)
		}
	}
	s.running.RUnlock()
	for _, x := range sessions {
		if x.asksRPKI() {
			x.originsChanged(c)
		}
	}
}

// noteCache has what happened to a cache recorded, as the edge's.
func (s *Speaker) noteCache(e rpki.Event) {
	kind := state.EventWarning
	if e.Kind == rpki.CacheUp {
		kind = state.EventNormal
	}
	s.cfg.Store.Record(state.Note{Type: kind, Reason: "RPKI" + string(e.Kind), Object: state.EdgeObject(s.cfg.Edge), Message: e.Message, Source: s.cfg.Edge})
}

// asksRPKI reports whether what caches say matters.
func (s *session) asksRPKI() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec.Import.AsksRPKI()
}

// originsChanged judges again what the neighbour told within prefixes of which caches say something else.
func (s *session) originsChanged(c *rpki.Changes) {
	if some, all := s.within(c); !all {
		s.judgeSome(some)
		return
	}
	s.judgeAgain(c.Concern)
}

// within returns what the neighbour tells that changes concern; many: that is too much to be listed.
func (s *session) within(c *rpki.Changes) (some []netip.Prefix, many bool) {
	s.judging.Lock()
	defer s.judging.Unlock()
	if c.Len() > fewPrefixes {
		return nil, true
	}
	seen := map[netip.Prefix]struct{}{}
	c.Each(func(changed netip.Prefix) {
		for p := range s.heard.prefixes.Subnets(changed) {
			if seen[p] = struct{}{}; len(seen) > fewPrefixes {
				many = true
				return
			}
		}
	})
	for p := range seen {
		some = append(some, p)
	}
	return some, many
}
