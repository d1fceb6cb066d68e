package softswitch

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// The arbitration of the quirk PromotesNext: the primary is whoever has the highest id of
// those alive.

// rankLocked takes a message that admitLocked let pass.
func (a *arbiter) rankLocked(r *role, s *session, msg *p4v1.MasterArbitrationUpdate) {
	hasID, id := msg.ElectionId != nil || a.quirks.UnsetIsZero, electionIDOf(msg.ElectionId)
	if a.quirks.SilentRepeat && s.hasID && hasID && s.id == id {
		return
	}
	before := r.primary
	s.hasID, s.id = hasID, id
	a.succeedLocked(r)
	if (r.primary == s) != (before == s) {
		r.notifyAll(a.deviceID)
		return
	}
	s.notify(r.notification(a.deviceID, s))
}

// succeedLocked makes the live controller with the highest id primary. The highest id seen
// is its own: ids of those that left are forgotten.
func (a *arbiter) succeedLocked(r *role) {
	next := r.next()
	if next != r.primary {
		a.setPrimaryLocked(r, nil)
		for r.inflight > 0 {
			a.drained.Wait()
		}
		a.setPrimaryLocked(r, next)
	}
	if r.seen = next != nil; r.seen {
		r.highest = next.id
	}
}

// next is the live controller with the highest election id, or nil.
func (r *role) next() *session {
	var best *session
	for _, s := range r.sessions {
		if s.hasID && (best == nil || s.id.compare(best.id) > 0) {
			best = s
		}
	}
	return best
}
