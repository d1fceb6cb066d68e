package bgp

import (
	"context"
	"fmt"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// overLimit returns how many prefixes of a family the neighbour tells, if it may not tell as many.
func (h *heardSet) overLimit(s *topology.BGPSession) (n int, over bool) {
	v4, v6 := h.counts()
	n = max(v4, v6)
	return n, s.MaxPrefixes > 0 && n > int(s.MaxPrefixes)
}

// checkLimit sees to maxPrefixes once the neighbour has told something; false: nothing of it counts, for the session is stopped. The caller has judging.
//
// GoBGP has a limit, too, but goes through all that the neighbour told at each UPDATE to see whether it is reached. It is told one when it is to stop the session: it has the right word for that
// (Cease, maximum number of prefixes, RFC 4486).
func (s *session) checkLimit(spec *topology.BGPSession) bool {
	n, over := s.heard.overLimit(spec)
	s.mu.Lock()
	first := over && !s.exceeds
	s.exceeds = over
	if first {
		s.exceeded++
	}
	stop := first && !spec.WarnOnMaxPrefixes
	if stop {
		s.dropped, s.stopped = true, true
	}
	s.mu.Unlock()
	if !first {
		return true
	}
	text := fmt.Sprintf("it tells %d prefixes of one family, more than maxPrefixes, %d", n, spec.MaxPrefixes)
	s.note(state.EventWarning, "MaxPrefixes", text)
	s.log.Warn("a neighbour tells more prefixes than it may", "prefixes", n, "maxPrefixes", spec.MaxPrefixes, "stopped", stop)
	if !stop {
		return true
	}
	s.rib.Clear()
	s.setLimit(1)
	s.run.Go(s.stopSurely)
	return false
}

// stopTime is how long GoBGP has to stop a session for its prefixes.
const stopTime = time.Second

// stopSurely stops the session if GoBGP does not: the neighbour withdrew so much, before GoBGP counted, that it is below the limit again.
func (s *session) stopSurely() {
	select {
	case <-s.ctx.Done():
		return
	case <-time.After(stopTime):
	}
	s.mu.Lock()
	up := s.stopped && s.dropped
	if up {
		s.cut = tooMany
	}
	s.mu.Unlock()
	if !up {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, limitTime)
	defer cancel()
	if err := s.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: s.relay.Addr().Addr().String(), Communication: "too many prefixes"}); err != nil {
		s.log.Warn("GoBGP did not stop a session; its connection is ended", "err", err)
		s.relay.Break()
	}
}

// tooMany is why a session is stopped whose neighbour told more than it may.
const tooMany = "the neighbour told more prefixes than maxPrefixes; it is stopped"

// setLimit has GoBGP stop the session if the neighbour told more than so many prefixes of a family; 0: it does not.
func (s *session) setLimit(most uint32) {
	s.mu.Lock()
	spec := s.spec
	s.mu.Unlock()
	p := s.neighbour(spec)
	for _, a := range p.AfiSafis {
		a.PrefixLimits.MaxPrefixes = most
	}
	ctx, cancel := context.WithTimeout(s.ctx, limitTime)
	defer cancel()
	if _, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: p}); err != nil && !s.over.Load() {
		s.log.Warn("GoBGP did not take a limit of prefixes", "limit", most, "err", err)
	}
}

// limitTime is how long GoBGP may take to change a neighbour.
const limitTime = 10 * time.Second

// resume has a session that was stopped for too many prefixes begin again; there may be a limit, which is seen to when the neighbour has told more.
func (s *session) resume() {
	s.mu.Lock()
	was := s.stopped
	s.stopped, s.exceeds = false, false
	s.mu.Unlock()
	if !was || s.over.Load() {
		return
	}
	s.setLimit(0)
	ctx, cancel := context.WithTimeout(s.ctx, limitTime)
	defer cancel()
	if err := s.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: s.relay.Addr().Addr().String()}); err != nil && !s.over.Load() {
		s.log.Warn("a session that was stopped does not begin again", "err", err)
	}
	s.mu.Lock()
	up := s.dropped && s.life.state == Established
	s.mu.Unlock()
	if up { // it was not stopped yet: what it tells does not count until it begins anew
		s.relay.Break()
	}
}

// limitChanged sees to a limit that is another.
func (s *session) limitChanged(old, spec *topology.BGPSession) {
	if old.MaxPrefixes == spec.MaxPrefixes && old.WarnOnMaxPrefixes == spec.WarnOnMaxPrefixes && old.RestartAfter == spec.RestartAfter {
		return
	}
	s.mu.Lock()
	stopped := s.stopped
	s.exceeds = s.exceeds && spec.WarnOnMaxPrefixes == old.WarnOnMaxPrefixes
	s.mu.Unlock()
	if stopped {
		s.idle.Stop()
		s.resume()
		return
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	if s.taking() != nil {
		s.checkLimit(spec)
	}
}
