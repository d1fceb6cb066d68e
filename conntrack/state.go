package conntrack

import (
	"time"

	"github.com/weft-sdn/weft/packet"
)

// State is what all edges together have seen of a connection: a set of events, so that what two of them know is the union (C3, C5).
type State uint16

// Events. StateNone: there is no connection. Those of the two directions stand side by side.
const (
	StateNone State = 0
	Begun     State = 1 << (iota - 1)
	Answered
	finForward // the side of the first packet sent a FIN
	finReturn
	ackForward // the other side has acknowledged it
	ackReturn
	resetForward
	resetReturn
	stream // TCP

	resets = resetForward | resetReturn
	fins   = finForward | finReturn
	acks   = ackForward | ackReturn
)

// sides are the events of the two directions: that of the first packet, and the other.
var sides = [2]struct{ fin, ack, reset State }{{finForward, ackForward, resetForward}, {finReturn, ackReturn, resetReturn}}

// Progress is how far a connection has come.
type Progress struct {
	State
	End [2]uint32 // sequence number behind the FIN of either side; valid iff it was seen
}

// Packet is what of a packet takes its connection on.
type Packet struct {
	Proto, Flags uint8 // Flags are TCP's
	packet.Segment
}

// PacketOf reads what of a packet takes its connection on.
func PacketOf(f *packet.Frame) (p Packet) {
	p.Proto, p.Flags = f.Proto, f.TCPFlags
	p.Segment, _ = f.Segment()
	return p
}

// sound reports whether a TCP segment has flags that go together (RFC 9293 section 3.10.7): all but a first one, or a reset, acknowledge something.
func (k *Packet) sound() bool {
	const syn, fin, rst, ack = packet.TCPSyn, packet.TCPFin, packet.TCPRst, packet.TCPAck
	if k.Proto != packet.ProtoTCP {
		return true
	}
	switch k.Flags & (syn | fin | rst | ack) {
	case syn, syn | ack, ack, fin | ack, rst, rst | ack:
		return true
	}
	return false
}

// MayBegin reports whether a packet may be the first that is seen of a connection: of TCP a SYN, or an acknowledgement in the middle of one, but no end.
func (k *Packet) MayBegin() bool {
	return k.sound() && (k.Proto != packet.ProtoTCP || k.Flags&(packet.TCPFin|packet.TCPRst) == 0)
}

// Next returns what there is behind a packet of the forward or the other direction.
func (p Progress) Next(k *Packet, reply bool) Progress {
	at := 0
	if reply {
		at = 1
	}
	side := &sides[at]
	switch {
	case p.State == StateNone && !k.MayBegin(), !k.sound():
		return p
	case k.Proto == packet.ProtoTCP && k.Flags&packet.TCPRst != 0:
		p.State |= side.reset
		return p
	}
	p.State |= Begun // in the middle of a connection, too: remembered for long once there was an answer
	if reply {
		p.State |= Answered
	}
	if k.Proto != packet.ProtoTCP {
		return p
	}
	p.State = p.State&^side.reset | stream // who goes on did not send the reset
	if k.Flags&packet.TCPAck != 0 {
		p.Acknowledged(k.Ack, reply)
	}
	if k.Flags&packet.TCPFin != 0 && p.State&side.fin == 0 {
		p.State |= side.fin
		p.End[at] = k.Seq + k.Len
	}
	return p
}

// Acknowledged notes that one side has all up to a sequence number; reply: the side that did not begin. It is the acknowledgement of the other side's FIN if
// it is behind that (C6).
func (p *Progress) Acknowledged(number uint32, reply bool) {
	of := 1
	if reply {
		of = 0
	}
	if p.State&sides[of].fin != 0 && int32(number-p.End[of]) >= 0 {
		p.State |= sides[of].ack
	}
}

// Join returns what two edges know together.
func (p Progress) Join(o Progress) Progress {
	for i := range sides {
		if p.State&sides[i].fin == 0 {
			p.End[i] = o.End[i]
		}
	}
	p.State |= o.State
	return p
}

// Over reports whether nothing more is to be sent: both sides ended it, or one reset it.
func (s State) Over() bool { return s&resets != 0 || s&fins == fins }

// Ended reports whether a side sent a FIN.
func (s State) Ended(reply bool) bool {
	return s&finForward != 0 && !reply || s&finReturn != 0 && reply
}

// Awaits reports whether the next packet of a direction may be the acknowledgement of the other side's FIN, so that it is to be seen (C4).
func (s State) Awaits(reply bool) bool {
	return s&finForward != 0 && s&ackForward == 0 && reply || s&finReturn != 0 && s&ackReturn == 0 && !reply
}

// Beyond reports whether a segment has data that its side sent behind its own FIN (C3).
func (p *Progress) Beyond(k *Packet, reply bool) bool {
	at := 0
	if reply {
		at = 1
	}
	return k.Proto == packet.ProtoTCP && k.Flags&(packet.TCPSyn|packet.TCPRst) == 0 && p.State&sides[at].fin != 0 && int32(k.Seq+k.Len-p.End[at]) > 0
}

// Ends tells the states apart that the other edge of a connection is to hear of.
func (s State) Ends() State { return s & (fins | resets) }

// String returns the state in words.
func (s State) String() string {
	switch {
	case s == StateNone:
		return "none"
	case s&stream == 0 && s&Answered == 0:
		return "single"
	case s&stream == 0:
		return "both"
	case s&resets != 0:
		return "reset"
	case s&fins == fins && s&acks == acks:
		return "closed"
	case s&fins == fins:
		return "closing"
	case s&finForward != 0:
		return "half-closed"
	case s&finReturn != 0:
		return "half-closed by server"
	case s&Answered != 0:
		return "established"
	}
	return "syn-sent"
}

// Begins reports whether a packet begins a connection anew, whatever is remembered in state s: a SYN where the old one is over, or its sender had ended it.
func (s State) Begins(k *Packet, reply bool) bool {
	return (s.Over() || s.Ended(reply)) && k.Proto == packet.ProtoTCP && k.sound() && k.Flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn
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
	switch {
	case s&stream == 0 && s&Answered == 0:
		return t.Single
	case s&stream == 0:
		return t.Both
	case s.Over():
		return t.TCPClosed
	case s&Answered == 0:
		return t.TCPOpening
	}
	return t.TCPEstablished
}
