package vpn

import (
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// note records that something happened to the VPN, as the edge's word. It never waits.
func (s *site) note(kind state.EventType, reason, message string) {
	tenant, name, _ := strings.Cut(s.name, "/")
	s.k.cfg.Store.Record(state.Note{Type: kind, Reason: reason, Object: state.RefObject(topology.Ref{Kind: topology.KindVPN, Tenant: tenant, Name: name}), Message: message, Source: s.k.cfg.Edge})
}

// notePeers records which peers answer now and did not before, and the other way round. before: those that did.
func (s *site) notePeers(peers []Peer, before map[string]bool, now time.Time) {
	for i := range peers {
		p := &peers[i]
		switch is := p.Alive(now); {
		case is && !before[p.Name]:
			s.note(state.EventNormal, "PeerUp", "peer "+p.Name+" answers at "+p.Endpoint.String())
		case !is && before[p.Name]:
			why := " has not agreed on keys for three minutes; it was at " + p.Endpoint.String()
			if p.daemon {
				why = " does not answer any more. " + p.Problem
			}
			s.note(state.EventWarning, "PeerLost", "peer "+p.Name+why)
		}
		before[p.Name] = p.Alive(now)
	}
}

// noteEnded records that the daemon of the VPN ended by itself; it is started again.
func (s *site) noteEnded(why string) {
	s.note(state.EventWarning, "DaemonEnded", "the daemon that carries it ended, and is started again: "+why)
}
