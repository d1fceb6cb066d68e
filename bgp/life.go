package bgp

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// State is how far a session is, in the words of RFC 4271 section 8.2.2.
type State string

// States.
const (
	Idle        State = "Idle"
	Connecting  State = "Connect" // there is no connection with the neighbour
	OpenSent    State = "OpenSent"
	OpenConfirm State = "OpenConfirm"
	Established State = "Established"
)

// life is what a session went through.
type life struct {
	state    State
	since    time.Time
	flaps    uint64    // how often it was lost
	why      string    // it is not up
	lostAt   time.Time // the last time
	lostWhy  string
	graceful bool // the last loss was one after which routes are kept
	id       netip.Addr
	families []msg.Family  // that the neighbour has, of the last time that it was up
	restart  time.Duration // that the neighbour takes for one at most; 0: it does not restart gracefully
	forwards bool          // it has gone on forwarding since it was lost, as far as it says
	agreed   timers        // of the last time that it was up
}

// timers are those of a session, in seconds.
type timers struct{ hold, keepalive int }

// keeps reports whether the routes of a session that was lost stay for a while.
func (l *life) keeps() bool { return l.graceful && l.restart > 0 }

// agreedTimers asks GoBGP for the timers of a session that came up; if it does not say, those that were asked for. GoBGP counts what the neighbour told, one by one, to answer: status must not ask.
func (s *session) agreedTimers() timers {
	s.mu.Lock()
	t := timers{int(s.spec.HoldTime / time.Second), int(s.spec.Keepalive / time.Second)}
	s.mu.Unlock()
	_ = s.server.ListPeer(s.ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		if x := p.GetTimers().GetState(); p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED { // still
			t = timers{int(x.GetNegotiatedHoldTime()), int(x.GetKeepaliveInterval())}
		}
	})
	return t
}

// become takes GoBGP's word about a session of these families; lost is how the neighbour ended the last connection, or nil. GoBGP's connection is one with the relay, which may wait for the neighbour: until the neighbour has sent an OPEN there is none.
func (l *life) become(p *apiutil.PeerState, families []msg.Family, lost error, at time.Time) {
	state := Connecting
	switch p.SessionState {
	case msg.BGP_FSM_IDLE:
		state = Idle
	case msg.BGP_FSM_OPENCONFIRM:
		state = OpenConfirm
	case msg.BGP_FSM_ESTABLISHED:
		state = Established
	}
	switch {
	case state == Established && l.state != Established:
		l.open(p)
		l.restart, l.forwards = graceful(p.RemoteCap, families)
	case state != Established && l.state == Established:
		l.flaps++
		l.why, l.graceful = lossOf(p, lost)
		l.lostAt, l.lostWhy = at, l.why
	case p.DisconnectMessage != "" && p.DisconnectReason != api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED:
		l.why = p.DisconnectMessage
	}
	if l.state != state {
		l.state, l.since = state, at
	}
}

// ended: it was this end that ended the session, for a reason that GoBGP does not know.
func (l *life) ended(why string) { l.why, l.lostWhy, l.graceful = why, why, false }

// open takes what the neighbour's OPEN says, of a session that is up now.
func (l *life) open(p *apiutil.PeerState) {
	l.id, l.why, l.graceful, l.families = p.RouterID, "", false, nil
	told := false // of families: a neighbour that tells none has IPv4 (RFC 4760 section 8)
	for _, c := range p.RemoteCap {
		if c, ok := c.(*msg.CapMultiProtocol); ok {
			told = true
			if c.CapValue == msg.RF_IPv4_UC || c.CapValue == msg.RF_IPv6_UC {
				l.families = append(l.families, c.CapValue)
			}
		}
	}
	if !told {
		l.families = []msg.Family{msg.RF_IPv4_UC}
	}
}

// lossOf tells why a session was lost, and whether in a way in which a restart begins (RFC 4724 section 4.2): the neighbour ended the connection without a NOTIFICATION.
func lossOf(p *apiutil.PeerState, lost error) (why string, graceful bool) {
	if p.AdminState == api.PeerState_ADMIN_STATE_PFX_CT {
		return tooMany, false
	}
	switch p.DisconnectReason {
	case api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART, api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		if lost == nil { // GoBGP ended it, and takes that for a restart, too
			return "nothing came from the neighbour for the hold time", false
		}
		return lost.Error(), p.DisconnectReason == api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART
	}
	return p.DisconnectMessage, false
}

// forwardingPreserved is a flag of a family in the capability of graceful restart (RFC 4724 section 3).
const forwardingPreserved = 0x80

// graceful reads what a neighbour's OPEN says of restarts (RFC 4724 section 3): how long one takes at most, if it goes on forwarding meanwhile, else 0, and whether it did in the last one.
// Routes of a session are kept together: one family that it does not forward in the meantime, and that is exchanged, counts for all.
func graceful(capabilities []msg.ParameterCapabilityInterface, families []msg.Family) (restart time.Duration, forwards bool) {
	exchanged, flags := map[msg.Family]bool{}, map[msg.Family]uint8{}
	for _, c := range capabilities {
		switch c := c.(type) {
		case *msg.CapMultiProtocol:
			exchanged[c.CapValue] = true
		case *msg.CapGracefulRestart:
			restart = time.Duration(c.Time) * time.Second
			for _, t := range c.Tuples {
				flags[msg.NewFamily(t.AFI, t.SAFI)] = t.Flags
			}
		}
	}
	if len(exchanged) == 0 {
		exchanged[msg.RF_IPv4_UC] = true // RFC 4760 section 8
	}
	forwards = true
	for _, f := range families {
		if exchanged[f] {
			flag, said := flags[f]
			if !said {
				return 0, false
			}
			forwards = forwards && flag&forwardingPreserved != 0
		}
	}
	return restart, forwards
}
