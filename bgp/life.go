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
	hold     time.Duration
	families []msg.Family  // that the neighbour has, of the last time that it was up
	restart  time.Duration // that the neighbour takes for one at most; 0: it does not restart gracefully
}

// keeps reports whether the routes of a session that was lost stay for a while.
func (l *life) keeps() bool { return l.graceful && l.restart > 0 }

// become takes GoBGP's word. Its connection is one with the relay, which may wait for the neighbour: until the neighbour has sent an OPEN there is none.
func (l *life) become(p *apiutil.PeerState, at time.Time) {
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
	default:
		if p.DisconnectMessage != "" && p.DisconnectReason != api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED {
			l.why = p.DisconnectMessage
		}
		l.graceful = p.DisconnectReason == api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART
		if l.state == Established {
			l.flaps++
			l.lostAt, l.lostWhy = at, l.why
		}
	}
	if l.state != state {
		l.state, l.since = state, at
	}
}

// open takes what the neighbour's OPEN says, of a session that is up now.
func (l *life) open(p *apiutil.PeerState) {
	l.id, l.restart, l.why, l.families = p.RouterID, 0, "", nil
	told := false // of families: a neighbour that tells none has IPv4 (RFC 4760 section 8)
	for _, c := range p.RemoteCap {
		switch c := c.(type) {
		case *msg.CapGracefulRestart:
			l.restart = time.Duration(c.Time) * time.Second
		case *msg.CapMultiProtocol:
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
