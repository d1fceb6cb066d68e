package conntrack

import (
	"time"

	"github.com/weft-sdn/weft/packet"
)

// State is that of a connection's protocol (C3, C5).
//
//	TCP      first packet → SynSent ──answer──▶ Established ──FIN──▶ Half ──FIN of the other side──▶ Closed
//	                          └────────────── RST of either side ──────────────────────────────────▶ Closed
//	others   first packet → Single ──answer──▶ Both
//
// Half is two states: which side ended.
type State uint8

// States. StateNone: there is no connection.
const (
	StateNone State = iota
	Single          // one direction was seen
	Both            // both were
	SynSent
	Established
	HalfForward // the side of the first packet sent a FIN
	HalfReturn
	Closed
	states
)

var stateNames = [...]string{"none", "single", "both", "syn-sent", "established", "half-closed", "half-closed by server", "closed"}

// String returns the state in words.
func (s State) String() string { return stateNames[s] }

// Next returns the state behind a packet of the forward or the other direction.
func (s State) Next(proto uint8, flags uint8, reply bool) State {
	if proto != packet.ProtoTCP {
		switch {
		case reply:
			return Both
		case s == StateNone:
			return Single
		}
		return s
	}
	switch {
	case flags&packet.TCPRst != 0 && s == StateNone:
		return StateNone // it begins nothing
	case flags&packet.TCPRst != 0:
		return Closed
	case s == StateNone:
		return SynSent // in the middle of a connection, too: remembered for long once there was an answer
	case s == SynSent && reply:
		s = Established
	}
	if flags&packet.TCPFin == 0 {
		return s
	}
	switch {
	case s == Established && reply:
		return HalfReturn
	case s == Established, s == SynSent:
		return HalfForward
	case s == HalfForward && reply, s == HalfReturn && !reply:
		return Closed
	}
	return s
}

// Join returns the state that two edges know together, each of one direction: who saw more is right, and of two that saw the FIN of one side each, both are.
func (s State) Join(o State) State {
	if s == HalfForward && o == HalfReturn || s == HalfReturn && o == HalfForward {
		return Closed
	}
	return max(s, o)
}

// Begins reports whether a packet begins a connection anew, whatever is remembered in state s: a SYN where the old one is over.
func (s State) Begins(proto uint8, flags uint8) bool {
	return proto == packet.ProtoTCP && s == Closed && flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn
}

// Timeouts are how long a connection is remembered after its last packet.
type Timeouts struct {
	TCPOpening     time.Duration // SYN without an answer; 30 s
	TCPEstablished time.Duration // 7,440 s (RFC 5382 REQ-5)
	TCPClosed      time.Duration // 30 s
	Single         time.Duration // other protocols, one direction; 30 s
	Both           time.Duration // other protocols, both directions; 180 s (RFC 4787 REQ-5 asks for 120 s)
}

// DefaultTimeouts are what is used if nothing else is said.
func DefaultTimeouts() Timeouts {
	return Timeouts{TCPOpening: 30 * time.Second, TCPEstablished: 7440 * time.Second, TCPClosed: 30 * time.Second, Single: 30 * time.Second, Both: 180 * time.Second}
}

// OrDefaults returns the times with those that are not given set to the defaults.
func (t Timeouts) OrDefaults() Timeouts {
	d := DefaultTimeouts()
	for _, x := range []struct{ at, def *time.Duration }{
		{&t.TCPOpening, &d.TCPOpening}, {&t.TCPEstablished, &d.TCPEstablished}, {&t.TCPClosed, &d.TCPClosed}, {&t.Single, &d.Single}, {&t.Both, &d.Both},
	} {
		if *x.at <= 0 {
			*x.at = *x.def
		}
	}
	return t
}

// Of returns the time of a state.
func (t *Timeouts) Of(s State) time.Duration {
	switch s {
	case SynSent:
		return t.TCPOpening
	case Established, HalfForward, HalfReturn:
		return t.TCPEstablished
	case Closed:
		return t.TCPClosed
	case Both:
		return t.Both
	}
	return t.Single
}
