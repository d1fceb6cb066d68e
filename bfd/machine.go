package bfd

import "time"

// Config is what this end of a session asks for.
type Config struct {
	MinTx      time.Duration // from one packet that is sent to the next, at least
	MinRx      time.Duration // from one that comes to the next, at least
	Multiplier uint8         // how many packets in a row have to be lost for the neighbour to give the session up
}

// slow is the least time between packets while a session is not up (RFC 5880 section 6.8.3).
const slow = time.Second

// machine is one end of a session: the variables of RFC 5880 section 6.8.1. It knows no time and no network: each event makes the next machine, and says what is to be sent at once.
// In the neighbour's state as packets tell it:
//
//	      AdminDown, silence                    Down
//	  ┌───────────────────────┐          ┌──────────────┐
//	  ▼           Down        │          ▼   Init, Up   │
//	Down ───────────────────▶ Init ─────────────────▶   Up
//	  │                                                 ▲ │ AdminDown,
//	  ├────────────────────── Init ─────────────────────┘ │ silence, Down
//	  └◀──────────────────────────────────────────────────┘
//
// Down stays Down when it hears Up: the neighbour has to notice first. AdminDown is where leave leads, and nothing leads out of it.
type machine struct {
	config      Config
	state       State
	diagnostic  Diagnostic
	mine, yours uint32
	poll        polling
	tx, rx      time.Duration // in force: of what config asks for, that part that the neighbour may not know yet does not count (section 6.8.3)

	// What the neighbour said last.
	remote Packet
	heard  bool // within its detection time
}

// polling is how far a Poll Sequence is, by which the neighbour is told of other parameters (section 6.5).
type polling uint8

const (
	notPolling polling = iota
	polled             // packets have the P bit, until one with the F bit comes
	pollAgain          // parameters changed since it began: another follows
)

// answer is what an event asks for: nothing, a packet at once, or one with the F bit.
type answer uint8

const (
	nothing answer = iota
	now
	final
)

// newMachine returns a session that begins, with a discriminator that no other of the system has.
func newMachine(c Config, discriminator uint32) machine {
	m := machine{config: c, state: Down, mine: discriminator, remote: Packet{State: Down, MinRx: time.Microsecond}}
	m.tx, m.rx = m.minTx(), c.MinRx
	return m
}

// minTx is what the neighbour is told of the time between packets. The last words are said as fast as packets went before: the neighbour is to hear one of them in time.
func (m *machine) minTx() time.Duration {
	if m.state == Up || m.state == AdminDown {
		return m.config.MinTx
	}
	return max(m.config.MinTx, slow)
}

// receive takes a packet of the session (section 6.8.6).
func (m machine) receive(p Packet) (machine, answer) {
	m.yours, m.remote, m.heard = p.Mine, p, true
	if p.Final && m.poll != notPolling {
		m = m.polledOut()
	}
	was := m.state
	switch {
	case m.state == AdminDown:
		return m, nothing
	case p.State == AdminDown:
		if m.state != Down {
			m = m.become(Down, NeighbourDown)
		}
	case m.state == Down && p.State == Down:
		m = m.become(Init, m.diagnostic)
	case m.state == Down && p.State == Init, m.state == Init && p.State >= Init:
		m = m.become(Up, NoDiagnostic)
	case m.state == Up && p.State == Down:
		m = m.become(Down, NeighbourDown)
	}
	switch {
	case p.Poll:
		return m, final
	case m.state != was:
		return m, now
	}
	return m, nothing
}

// expire takes that the detection time is over without a packet (section 6.8.4).
func (m machine) expire() (machine, answer) {
	m.heard, m.yours = false, 0
	m.remote = Packet{State: Down, MinRx: time.Microsecond}
	if m.state == Init || m.state == Up {
		return m.become(Down, Expired), now
	}
	return m, nothing
}

// configure takes other parameters. While the session is up, a Poll Sequence tells the neighbour, and what it must know before holds on (section 6.8.3).
func (m machine) configure(c Config) machine {
	told := c.MinTx != m.config.MinTx || c.MinRx != m.config.MinRx
	m.config = c
	if told {
		m = m.offer()
	}
	return m
}

// leave ends the session on purpose.
func (m machine) leave() machine {
	tx := m.tx
	m = m.become(AdminDown, AdministrativeEnd)
	m.tx = tx
	return m
}

// become goes into a state. Whoever comes up or goes down offers another time between packets.
func (m machine) become(s State, d Diagnostic) machine {
	m.state, m.diagnostic = s, d
	if s != Up {
		m.poll = notPolling
	}
	return m.offer()
}

// offer puts what is asked for into force, as far as the neighbour need not know first, and begins a Poll Sequence if it is to know.
func (m machine) offer() machine {
	if m.state != Up {
		m.tx, m.rx = m.minTx(), m.config.MinRx
		return m
	}
	m.tx, m.rx = min(m.tx, m.minTx()), max(m.rx, m.config.MinRx)
	if m.poll == notPolling {
		m.poll = polled
	} else {
		m.poll = pollAgain
	}
	return m
}

// polledOut takes the end of a Poll Sequence.
func (m machine) polledOut() machine {
	if m.poll == pollAgain {
		m.poll = polled
		return m
	}
	m.poll = notPolling
	m.tx, m.rx = m.minTx(), m.config.MinRx
	return m
}

// packet is what there is to say.
func (m *machine) packet(f bool) Packet {
	return Packet{
		State: m.state, Diagnostic: m.diagnostic, Poll: m.poll != notPolling && !f, Final: f, Multiplier: m.config.Multiplier,
		Mine: m.mine, Yours: m.yours, MinTx: m.minTx(), MinRx: m.config.MinRx,
	}
}

// interval is the time from one periodic packet to the next, before jitter; 0: none are to be sent (section 6.8.7).
func (m *machine) interval() time.Duration {
	if m.remote.MinRx == 0 || m.remote.Demand && m.state == Up && m.remote.State == Up && m.poll == notPolling {
		return 0
	}
	return max(m.tx, m.remote.MinRx)
}

// detection is how long nothing may come until expire; 0: no packet is awaited (section 6.8.4).
func (m *machine) detection() time.Duration {
	if !m.heard {
		return 0
	}
	return time.Duration(m.remote.Multiplier) * max(m.rx, m.remote.MinTx)
}
