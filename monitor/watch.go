package monitor

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Watch probes the members of one pool (N4). It is driven by Tick and Answer, which must not be called at the same time.
//
//	due ──probe──▶ waiting ──answer──▶ hit ──┐  rise hits in a row: up
//	 ▲                │ timeout, refused ▶ miss ─┤  fall misses in a row: down
//	 └──────────────── interval ─────────────┘
type Watch struct {
	out     Output
	monitor topology.Monitor // as it was at the last tick
	rng     *rand.Rand
	members map[topology.MemberKey]*member
	buf     []byte
}

// Output is where a watch sends probes and says what it found out.
type Output interface {
	// Send sends a packet from the pool's source port. Its Ethernet addresses are not set; it is valid until Send returns.
	Send(frame []byte)
	// Found says that a member is up or down: the first time that this is certain, and when it changes, or why it is down does.
	Found(m topology.MemberKey, down bool, why string)
}

// member is what a watch knows of one.
type member struct {
	down, told bool
	why        string        // it is down, as was told
	row        uint8         // hits in a row if it is down, misses if it is up; hits until told
	next       time.Duration // when the next probe is due
	waiting    bool
	sent       time.Duration
	until      time.Duration // of an answer
	port       uint16        // the probe's own: TCP source port, ICMP identifier
	seq        uint32        // TCP sequence number; ICMP in the lower half
	open       bool          // http: the server took the connection, and was asked …
	ack        uint32        // … and this is its next sequence number
}

// Ports from which members are probed.
const (
	firstPort = 61440
	ports     = 1<<16 - firstPort
)

// resend is when a probe that has no answer yet is sent again, at most: the first one may have waited for a neighbour in vain.
const resend = time.Second

// slack is how much before its time a thing is done, so that a clock that ticks as often as things are due does not do every other one.
const slack = 100 * time.Millisecond

// New returns a watch whose probes can't be guessed by who does not know the seed.
func New(out Output, seed1, seed2 uint64) *Watch {
	return &Watch{out: out, rng: rand.New(rand.NewPCG(seed1, seed2)), members: map[topology.MemberKey]*member{}}
}

// Tick does what is due now, with the members that the pool has now, from addresses of port source.
func (w *Watch) Tick(at time.Duration, p *topology.Pool, source *topology.VPort) {
	now := at + slack
	if w.monitor != *p.Monitor {
		w.monitor = *p.Monitor
		clear(w.members) // what another monitor found out is forgotten
	}
	for k := range w.members {
		if p.Member(k.Addr, k.Port, k.V6) == nil {
			delete(w.members, k)
		}
	}
	for i := range p.Members {
		k := p.Members[i].MemberKey
		m := w.members[k]
		if m == nil {
			m = &member{down: p.Members[i].Down, next: at}
			w.members[k] = m
		}
		switch {
		case m.waiting && now >= m.until:
			w.miss(p, k, m, fmt.Sprintf("no answer within %v", p.Monitor.Timeout))
		case m.waiting && now-m.sent >= resend:
			w.send(at, p, k, m, source)
		}
		if !m.waiting && now >= m.next {
			m.waiting, m.open, m.until, m.next = true, false, at+p.Monitor.Timeout, at+p.Monitor.Interval
			m.port, m.seq = firstPort+uint16(w.rng.Uint32()%ports), w.rng.Uint32()
			w.send(at, p, k, m, source)
		}
	}
}

// send sends a member's probe.
func (w *Watch) send(now time.Duration, p *topology.Pool, k topology.MemberKey, m *member, source *topology.VPort) {
	m.sent = now
	src := source.AddrFor(k.IP())
	if !src.IsValid() || src.Is4() == k.V6 {
		return // the probe has no answer
	}
	w.buf = appendProbe(w.buf[:0], p.Monitor, k, m, src)
	w.out.Send(w.buf)
}

func appendProbe(b []byte, mon *topology.Monitor, k topology.MemberKey, m *member, src netip.Addr) []byte {
	switch {
	case mon.Type == "icmp":
		return packet.AppendEchoRequest(b, src, k.IP(), m.port, uint16(m.seq))
	case m.open:
		return appendRequest(b, mon, k, m, src)
	}
	return packet.AppendTCP(b, &packet.TCP{Src: src, Dst: k.IP(), SrcPort: m.port, DstPort: target(mon, k), Seq: m.seq, Flags: packet.TCPSyn, Window: 1024, MSS: 1220})
}

// target is the port that a member is probed at.
func target(mon *topology.Monitor, k topology.MemberKey) uint16 {
	if mon.Port != 0 {
		return mon.Port
	}
	return k.Port
}

// Answer takes a packet to the source port that may answer a probe.
func (w *Watch) Answer(p *topology.Pool, f *packet.Frame) {
	for i := range p.Members {
		k := p.Members[i].MemberKey
		m := w.members[k]
		if m == nil || !m.waiting || f.SrcAddr() != k.IP() || !f.ChecksumOK() {
			continue
		}
		if p.Monitor.Type == "icmp" {
			if id, seq, ok := packet.EchoReply(f); ok && id == m.port && seq == uint16(m.seq) {
				w.hit(p, k, m)
			}
			continue
		}
		if f.Proto != packet.ProtoTCP || f.L4 == 0 || f.SrcPort != target(p.Monitor, k) || f.DstPort != m.port || len(f.Data) < f.L4+packet.TCPLen {
			continue
		}
		if m.open {
			w.answered(p, k, m, f)
			continue
		}
		if binary.BigEndian.Uint32(f.Data[f.L4+8:]) != m.seq+1 {
			continue
		}
		switch f.TCPFlags & (packet.TCPSyn | packet.TCPAck | packet.TCPRst) {
		case packet.TCPSyn | packet.TCPAck:
			if p.Monitor.Type == "http" {
				w.open(p, k, m, f)
				continue
			}
			w.hit(p, k, m)
			w.reset(f)
		case packet.TCPRst | packet.TCPAck:
			w.miss(p, k, m, fmt.Sprintf("port %d refuses connections", target(p.Monitor, k)))
		}
	}
}

func (w *Watch) hit(p *topology.Pool, k topology.MemberKey, m *member) {
	m.waiting = false
	if m.told && !m.down {
		m.row = 0
		if saidDown(p, k) {
			w.out.Found(k, false, "")
		}
		return
	}
	if !m.told && !m.down || m.row+1 >= p.Monitor.Rise {
		m.row, m.down, m.told = 0, false, true
		w.out.Found(k, false, "")
		return
	}
	m.row++
}

func (w *Watch) miss(p *topology.Pool, k topology.MemberKey, m *member, why string) {
	m.waiting = false
	switch {
	case m.down:
		m.row = 0
		if !saidDown(p, k) || why != m.why {
			m.told, m.why = true, why
			w.out.Found(k, true, why)
		}
	case m.row+1 >= p.Monitor.Fall:
		m.row, m.down, m.told, m.why = 0, true, true, why
		w.out.Found(k, true, why)
	default:
		m.row++
	}
}

// saidDown reports whether the pool has it that a member is down. It may not be what was found out: a member that was taken out, and in again, is up.
func saidDown(p *topology.Pool, k topology.MemberKey) bool {
	m := p.Member(k.Addr, k.Port, k.V6)
	return m != nil && m.Down
}
