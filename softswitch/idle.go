package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// idleBatch is the largest number of entries in one IdleTimeoutNotification.
const idleBatch = 512

// sweepIdle tells the primaries which entries have had no packet for their timeout. An
// entry comes again after another timeout; messages that don't fit a queue are dropped,
// counted.
func (s *Server) sweepIdle() {
	t := s.running.Load()
	receivers := *s.arbiter.primaries.Load()
	if t == nil || t.schema == nil || len(receivers) == 0 {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	byName := map[string]*boundTable{}
	for b := range t.allTables() {
		byName[b.name] = b
	}
	query := &p4v1.TableEntry{}
	for _, r := range receivers {
		r.session.idle = nil
	}
	t.machine.Idle(func(core *pipeline.Table, state pipeline.EntryState) bool {
		b := byName[core.Name()]
		if b == nil {
			return true
		}
		entry := t.encodeEntry(b, state, query, new(entryArena))
		for _, r := range receivers {
			if !r.scope.allows(b.name) {
				continue
			}
			r.session.idle = append(r.session.idle, entry)
			if len(r.session.idle) == idleBatch {
				s.tellIdle(r.session)
			}
		}
		return true
	})
	for _, r := range receivers {
		if len(r.session.idle) > 0 {
			s.tellIdle(r.session)
		}
	}
}

// tellIdle sends what a session has gathered.
func (s *Server) tellIdle(peer *session) {
	msg := &p4v1.IdleTimeoutNotification{TableEntry: peer.idle, Timestamp: s.options.Now().UnixNano()}
	peer.idle = nil
	if !offer(peer.events, &p4v1.StreamMessageResponse{
		Update: &p4v1.StreamMessageResponse_IdleTimeoutNotification{IdleTimeoutNotification: msg}}) {
		s.counts.eventsDropped.Add(1)
	}
}
