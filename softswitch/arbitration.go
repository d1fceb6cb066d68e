package softswitch

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// electionID is a 128-bit election id. A controller that gave none never is primary.
type electionID struct{ high, low uint64 }

func electionIDOf(u *p4v1.Uint128) electionID {
	return electionID{high: u.GetHigh(), low: u.GetLow()}
}

func (e electionID) proto() *p4v1.Uint128 { return &p4v1.Uint128{High: e.high, Low: e.low} }

func (e electionID) compare(o electionID) int {
	return cmp.Or(cmp.Compare(e.high, o.high), cmp.Compare(e.low, o.low))
}

// maxRoles bounds how many roles clients can make this target remember.
const maxRoles = 256

// arbiter decides which controller is the primary of each role (P4Runtime spec, "Client
// Arbitration and Controller Replication").
//
//	            id ≥ highest seen                 lower id, none, or stream ends
//	backup ───────────────────────────▶ primary ──────────────────────────────▶ none
//
// When a primary goes there is none until a controller presents an id ≥ highest seen:
// nobody is promoted by the departure of another.
type arbiter struct {
	deviceID   uint64
	maxStreams int // per role
	quirks     Quirks

	turn sync.Mutex // one change of primary at a time, waiting for writes included

	mu        sync.Mutex
	drained   sync.Cond // a role's writes in flight reached zero
	roles     map[string]*role
	primaries atomic.Pointer[[]receiver] // of all roles, for the packet path
}

// role is one (device, role) pair. It outlives its streams: highest is never forgotten.
type role struct {
	name     string
	config   *anypb.Any
	scope    *scope
	seen     bool // highest is valid
	highest  electionID
	primary  *session
	sessions []*session // live, in order of arrival
	inflight int        // writes being processed
}

// receiver is a primary as the packet path sees it.
type receiver struct {
	session *session
	scope   *scope
}

func newArbiter(deviceID uint64, maxStreams int, quirks Quirks) *arbiter {
	a := &arbiter{deviceID: deviceID, maxStreams: maxStreams, quirks: quirks, roles: map[string]*role{"": {}}}
	a.drained.L = &a.mu
	a.primaries.Store(new([]receiver))
	return a
}

// update handles one MasterArbitrationUpdate. An error ends the stream.
func (a *arbiter) update(s *session, msg *p4v1.MasterArbitrationUpdate) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.gone {
		return faultf(codes.Unavailable, "the stream has ended")
	}
	r, sc, err := a.admitLocked(s, msg)
	if err != nil {
		return err
	}
	if s.role == nil {
		s.role = r
		r.sessions = append(r.sessions, s)
	}
	if a.quirks.PromotesNext {
		a.rankLocked(r, s, msg)
		return nil
	}
	wasPrimary := r.primary == s
	s.hasID, s.id = msg.ElectionId != nil || a.quirks.UnsetIsZero, electionIDOf(msg.ElectionId)
	if !s.hasID || r.seen && s.id.compare(r.highest) < 0 {
		if wasPrimary {
			a.setPrimaryLocked(r, nil)
			r.notifyAll(a.deviceID)
		} else {
			s.notify(r.notification(a.deviceID, s))
		}
		return nil
	}
	a.promoteLocked(r, s, msg.GetRole().GetConfig(), sc)
	return nil
}

// promoteLocked makes s the primary of r in the order that the specification sets.
func (a *arbiter) promoteLocked(r *role, s *session, config *anypb.Any, sc *scope) {
	a.setPrimaryLocked(r, nil) // 1. stop accepting writes
	r.config, r.scope, r.seen, r.highest = config, sc, true, s.id
	for _, other := range r.sessions { // 2. tell the others
		if other != s {
			msg := r.notification(a.deviceID, other)
			msg.Status = &spb.Status{Code: int32(codes.AlreadyExists), Message: "another controller is primary"}
			other.notify(msg)
		}
	}
	for r.inflight > 0 { // 3. finish the writes that have started
		a.drained.Wait()
	}
	a.setPrimaryLocked(r, s)                // 4. accept writes of the new primary
	s.notify(r.notification(a.deviceID, s)) // 5. tell it
}

// admitLocked checks a message against the stream's state and those of other controllers.
func (a *arbiter) admitLocked(s *session, msg *p4v1.MasterArbitrationUpdate) (*role, *scope, error) {
	name := a.roleName(msg.GetRole().GetName())
	if s.role == nil && msg.DeviceId != a.deviceID {
		return nil, nil, faultf(codes.NotFound, "no device has id %d", msg.DeviceId)
	}
	if s.role != nil && msg.DeviceId != a.deviceID {
		return nil, nil, faultf(codes.FailedPrecondition, "this stream is for device %d, not %d", a.deviceID, msg.DeviceId)
	}
	if s.role != nil && s.role.name != name {
		return nil, nil, faultf(codes.FailedPrecondition, "this stream has role %q, not %q", s.role.name, name)
	}
	var sc *scope
	if !a.quirks.IgnoresRoles {
		var err error
		if sc, err = parseScope(msg.GetRole().GetConfig()); err != nil {
			return nil, nil, err
		}
	}
	r := a.roles[name]
	if r == nil {
		if len(a.roles) >= maxRoles {
			return nil, nil, faultf(codes.ResourceExhausted, "more than %d roles", maxRoles)
		}
		r = &role{name: name}
	}
	if msg.ElectionId != nil || a.quirks.UnsetIsZero {
		for _, other := range r.sessions {
			if other != s && other.hasID && other.id == electionIDOf(msg.ElectionId) {
				return nil, nil, invalidf("election id %v is used by another controller", msg.ElectionId)
			}
		}
	}
	if s.role == nil && len(r.sessions) >= a.maxStreams {
		return nil, nil, faultf(codes.ResourceExhausted, "role %q has %d controllers already", name, len(r.sessions))
	}
	a.roles[name] = r
	return r, sc, nil
}

// leave forgets a stream that ended.
func (a *arbiter) leave(s *session) {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	s.gone = true
	r := s.role
	if r == nil {
		return
	}
	r.sessions = slices.DeleteFunc(r.sessions, func(other *session) bool { return other == s })
	s.hasID = false
	if r.primary != s {
		return
	}
	if a.quirks.PromotesNext {
		a.succeedLocked(r)
	} else {
		a.setPrimaryLocked(r, nil)
	}
	r.notifyAll(a.deviceID)
}

// setPrimaryLocked also publishes the primaries to the packet path.
func (a *arbiter) setPrimaryLocked(r *role, s *session) {
	r.primary = s
	list := []receiver{}
	for _, other := range a.roles {
		if other.primary != nil {
			list = append(list, receiver{session: other.primary, scope: other.scope})
		}
	}
	a.primaries.Store(&list)
}

// begin admits a Write or SetForwardingPipelineConfig of the role's primary; end must
// follow. The checks are in the order of the specification.
func (a *arbiter) begin(deviceID uint64, name string, id *p4v1.Uint128) (*role, *scope, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if deviceID != a.deviceID {
		return nil, nil, faultf(codes.NotFound, "no device has id %d", deviceID)
	}
	r := a.roles[a.roleName(name)]
	if r == nil {
		return nil, nil, faultf(codes.NotFound, "no controller has role %q", name)
	}
	if id == nil && a.quirks.OpenWrites && len(r.sessions) == 0 {
		r.inflight++
		return r, r.scope, nil
	}
	if id == nil && a.quirks.UnsetIsZero {
		id = &p4v1.Uint128{}
	}
	if r.primary == nil || id == nil || r.primary.id != electionIDOf(id) {
		return nil, nil, faultf(codes.PermissionDenied, "not the primary of role %q", name)
	}
	r.inflight++
	return r, r.scope, nil
}

func (a *arbiter) end(r *role) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.inflight--; r.inflight == 0 {
		a.drained.Broadcast()
	}
}

// isPrimary tells whether s is its role's primary, and the role's scope.
func (a *arbiter) isPrimary(s *session) (*scope, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.role == nil || s.role.primary != s {
		return nil, false
	}
	return s.role.scope, true
}

// scopeOf is the scope of a role, for reads.
func (a *arbiter) scopeOf(name string) (*scope, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.roles[a.roleName(name)]; r != nil {
		return r.scope, nil
	}
	return nil, faultf(codes.NotFound, "no controller has role %q", name)
}

// roleName is the role that a request's role stands for.
func (a *arbiter) roleName(name string) string {
	if a.quirks.IgnoresRoles {
		return ""
	}
	return name
}

func (r *role) notifyAll(deviceID uint64) {
	for _, s := range r.sessions {
		s.notify(r.notification(deviceID, s))
	}
}

// notification is what s is to know of its role.
func (r *role) notification(deviceID uint64, s *session) *p4v1.MasterArbitrationUpdate {
	msg := &p4v1.MasterArbitrationUpdate{DeviceId: deviceID}
	if r.name != "" || r.config != nil {
		msg.Role = &p4v1.Role{Name: r.name}
		if r.config != nil {
			msg.Role.Config = proto.CloneOf(r.config)
		}
	}
	if r.seen {
		msg.ElectionId = r.highest.proto()
	}
	switch r.primary {
	case nil:
		msg.Status = &spb.Status{Code: int32(codes.NotFound), Message: "there is no primary"}
	case s:
		msg.Status = &spb.Status{Code: int32(codes.OK)}
	default:
		msg.Status = &spb.Status{Code: int32(codes.AlreadyExists), Message: "another controller is primary"}
	}
	return msg
}

// endAll ends all streams.
func (a *arbiter) endAll(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.roles {
		for _, s := range r.sessions {
			s.end(err)
		}
	}
}
