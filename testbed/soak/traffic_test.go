package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/host"
)

// machine is a station that is powered on. It is its host's link: the witness sees what comes in.
type machine struct {
	*station
	host    *host.Host
	witness *witness
	serving sync.WaitGroup
	receive atomic.Pointer[func([]byte)]
	jack    atomic.Pointer[jack] // nil: it is unplugged
	sent    atomic.Uint64        // frames that went into a target's port

	mu   sync.Mutex
	open map[io.Closer]bool // nil: the machine is off
}

// powerOn makes a station's host, which answers at all ports.
func powerOn(s *station, w *witness) (*machine, error) {
	m := &machine{station: s, witness: w, open: map[io.Closer]bool{}}
	var err error
	if m.host, err = host.New(host.Config{Name: s.name, MAC: s.mac, Addrs: s.addrs[:], Gateways: s.gws[:], MTU: 1400, MaxRTO: time.Second}, m); err != nil {
		return nil, err
	}
	for _, p := range allPorts() {
		conn, err := m.host.ListenUDP(p)
		if err != nil {
			m.close()
			return nil, err
		}
		m.serve(conn, func() { m.answerUDP(conn) })
	}
	lis, err := m.host.ListenTCP(steadyPort)
	if err != nil {
		m.close()
		return nil, err
	}
	m.serve(lis, func() { m.acceptTCP(lis) })
	return m, nil
}

// plug plugs the machine in at a port, in place of where it was; nil: nowhere.
func (m *machine) plug(at *jack) {
	if before := m.jack.Swap(at); before != nil && before != at {
		before.SetReceiver(nil)
	}
	if at != nil {
		at.SetReceiver(m.deliver)
	}
}

func (m *machine) deliver(frame []byte) {
	m.witness.saw(m.station, frame)
	if receive := m.receive.Load(); receive != nil {
		(*receive)(frame)
	}
}

// Send implements nic.Link.
func (m *machine) Send(frame []byte) {
	if at := m.jack.Load(); at != nil {
		m.sent.Add(at.send(frame))
	}
}

// SetReceiver implements nic.Link.
func (m *machine) SetReceiver(receive func([]byte)) {
	if receive == nil {
		m.receive.Store(nil)
		return
	}
	m.receive.Store(&receive)
}

// serve does something until c is closed, which it is with the machine.
func (m *machine) serve(c io.Closer, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		_ = c.Close()
		return
	}
	m.open[c] = true
	m.serving.Go(func() {
		do()
		_ = c.Close()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.open, c)
	})
}

// close turns the machine off.
func (m *machine) close() {
	m.mu.Lock()
	open := m.open
	m.open = nil
	for c := range open {
		_ = c.Close()
	}
	m.mu.Unlock()
	m.serving.Wait()
	m.host.Close()
}

func (m *machine) off() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open == nil
}

func (m *machine) answerUDP(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for !m.off() {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			continue // an ICMP error about an earlier answer, or the machine is off
		}
		if q, ok := parseMessage(buf[:n]); ok && !q.answer {
			a := q.answerFrom(m.n)
			_, _ = conn.WriteTo(a.bytes(), from)
		}
	}
}

func (m *machine) acceptTCP(lis net.Listener) {
	for {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		m.serve(conn, func() { m.answerTCP(conn) })
	}
}

func (m *machine) answerTCP(conn net.Conn) {
	buf := make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return
		}
		q, ok := parseMessage(buf)
		if !ok {
			return
		}
		a := q.answerFrom(m.n)
		if _, err := conn.Write(a.bytes()); err != nil {
			return
		}
	}
}

// traffic are all conversations.
type traffic struct {
	fail     func(format string, args ...any)
	machines []*machine
	witness  *witness
	conn     atomic.Uint64 // numbers connections

	asked, answered atomic.Uint64 // datagrams
	exchanged       atomic.Uint64 // over TCP
}

// addr is where a conversation of one with another goes, and what it says it is for.
func (tr *traffic) addr(from, to *machine, version int) (netip.Addr, uint16) {
	if from.n == outside {
		return public(to.tenant, 0)[version], toService + uint16(to.tenant)
	}
	return to.addrs[version].Addr(), uint16(to.n)
}

// ask sends n requests over UDP, one after the other, and returns how many were answered in time.
func (tr *traffic) ask(ctx context.Context, from, to *machine, version int, port uint16, n int, patience time.Duration) (answered int) {
	dst, name := tr.addr(from, to, version)
	conn, err := from.host.DialUDP(netip.AddrPortFrom(dst, port))
	if err != nil {
		return 0
	}
	defer conn.Close()
	number := tr.conn.Add(1)
	tr.witness.begins(number)
	defer tr.witness.ends(number)
	buf := make([]byte, 2048)
	for i := range uint64(n) {
		if ctx.Err() != nil {
			return answered
		}
		q := message{from: uint16(from.n), to: name, conn: number, sequence: i}
		tr.asked.Add(1)
		if _, err := conn.Write(q.bytes()); err != nil {
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := conn.Read(buf)
			if err != nil {
				break
			}
			if a, ok := parseMessage(buf[:n]); ok && a.conn == number && a.sequence == i {
				answered++
				tr.answered.Add(1)
				break
			}
		}
	}
	return answered
}

// chatter has short conversations of random stations until ctx ends, a new one as soon as one is over.
func (tr *traffic) chatter(ctx context.Context, r *rand.Rand) {
	ports := allPorts()
	for ctx.Err() == nil {
		from, to := tr.pair(r)
		if from.n != outside && r.IntN(4) == 0 {
			tr.shout(from, r.IntN(2))
		}
		tr.ask(ctx, from, to, r.IntN(2), ports[r.IntN(len(ports))], 1+r.IntN(4), 300*time.Millisecond)
	}
}

// shout says something to all others on a VM's bridge, and returns the number that it has.
func (tr *traffic) shout(from *machine, version int) uint64 {
	m := message{from: uint16(from.n), to: toAll + uint16(from.n), conn: tr.conn.Add(1)}
	to := [...]struct {
		mac  packet.MAC
		addr string
	}{{packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "255.255.255.255"}, {packet.MAC{0x33, 0x33, 0, 0, 0, 1}, "ff02::1"}}[version]
	from.Send(packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: from.mac, DstMAC: to.mac, Src: from.addrs[version].Addr(), Dst: netip.MustParseAddr(to.addr), SrcPort: shoutPort, DstPort: shoutPort, Payload: m.bytes(),
	}))
	return m.conn
}

// shoutPort is where nobody listens. No chain lets it in to a guarded VM.
const shoutPort = 6999

// pair is two stations that the network may let talk.
func (tr *traffic) pair(r *rand.Rand) (from, to *machine) {
	t := r.IntN(len(tenants)) * vms
	a, b := r.IntN(vms), r.IntN(vms+1)
	switch {
	case b == vms && r.IntN(2) == 0:
		return tr.machines[outside], tr.machines[t+a]
	case b == vms:
		return tr.machines[t+a], tr.machines[outside]
	case a == b:
		b = (b + 1) % vms
	}
	return tr.machines[t+a], tr.machines[t+b]
}

// steady is a TCP connection that is to outlive whatever happens.
type steady struct {
	name     string
	from, to *machine
	version  int
	number   uint64
	count    atomic.Uint64 // exchanges
	longest  time.Duration // that one took; valid when ended is closed
	ended    chan struct{}
	err      error // valid when ended is closed
}

// patience of a steady connection: longer than what lasts longest of all that happens to it, with TCP's pauses behind it.
const steadyPatience = 2 * time.Minute

// hold begins a steady connection, and goes on with it until ctx ends; then it closes it.
func (tr *traffic) hold(ctx context.Context, from, to *machine, version int) *steady {
	s := &steady{name: fmt.Sprintf("%s to %s, IPv%d", from.name, to.name, 4+2*version), from: from, to: to, version: version, number: tr.conn.Add(1), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = tr.exchange(ctx, s)
	}()
	return s
}

func (tr *traffic) exchange(ctx context.Context, s *steady) error {
	dst, name := tr.addr(s.from, s.to, s.version)
	dialing, cancel := context.WithTimeout(context.WithoutCancel(ctx), steadyPatience)
	defer cancel()
	conn, err := s.from.host.DialTCP(dialing, netip.AddrPortFrom(dst, steadyPort))
	if err != nil {
		return err
	}
	defer conn.Close()
	tr.witness.begins(s.number)
	defer tr.witness.ends(s.number)
	buf := make([]byte, messageSize)
	for i := uint64(0); ctx.Err() == nil; i++ {
		q := message{from: uint16(s.from.n), to: name, conn: s.number, sequence: i}
		begin := time.Now()
		_ = conn.SetDeadline(begin.Add(steadyPatience))
		if _, err := conn.Write(q.bytes()); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		if a, ok := parseMessage(buf); !ok || a.conn != s.number || a.sequence != i || a.via != name {
			return fmt.Errorf("answer %d is %+v", i, a)
		}
		s.longest = max(s.longest, time.Since(begin))
		s.count.Add(1)
		tr.exchanged.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
