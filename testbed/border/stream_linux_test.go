package border

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// stream is one UDP flow that goes on from the VM to an echo service, a datagram each beat.
type stream struct {
	b       *border
	conn    net.Conn
	stop    chan struct{}
	running sync.WaitGroup
	sent    atomic.Uint64

	mu      sync.Mutex
	came    int
	last    time.Time // when an echo came
	longest time.Duration
}

// beat is the time from one datagram to the next.
const beat = 2 * time.Millisecond

// begin begins a flow to an address that both upstreams have, and waits until it is answered.
func (b *border) begin(to netip.Addr) *stream {
	b.Helper()
	s := &stream{b: b, stop: make(chan struct{})}
	var err error
	s.conn, err = b.host("vm").Machine.(*host.Host).DialUDP(netip.AddrPortFrom(to, 7))
	b.must(err)
	s.running.Go(s.send)
	s.running.Go(s.receive)
	b.Cleanup(s.close)
	s.flows()
	return s
}

func (s *stream) send() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if _, err := s.conn.Write(binary.BigEndian.AppendUint64(nil, s.sent.Load())); err == nil { // else an ICMP error came for one before
			s.sent.Add(1)
		}
	}
}

func (s *stream) receive() {
	buf := make([]byte, 64)
	for {
		n, err := s.conn.Read(buf)
		select {
		case <-s.stop:
			return
		default:
		}
		if err != nil || n != 8 {
			continue
		}
		s.mu.Lock()
		now := time.Now()
		if !s.last.IsZero() {
			s.longest = max(s.longest, now.Sub(s.last))
		}
		s.came, s.last = s.came+1, now
		s.mu.Unlock()
	}
}

// count returns how many echoes came.
func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came
}

// flows waits until echoes come: many, so that what is under way is not taken for them.
func (s *stream) flows() {
	s.b.Helper()
	before := s.count()
	if !s.b.eventually(func() bool { return s.count() > before+200 }) {
		s.b.Fatal("no echoes come")
	}
}

// gap is what a flow suffered.
type gap struct {
	silence    time.Duration // how long at most no echo came
	sent, lost int           // datagrams; of these, without an echo
}

func (g gap) String() string {
	return fmt.Sprintf("no echo for %v at most, %d of %d lost", g.silence.Round(time.Millisecond), g.lost, g.sent)
}

// through has flows go through what f does, and returns what they suffered until they go again.
func (b *border) through(flows []*stream, f func()) []gap {
	b.Helper()
	came, sent := make([]int, len(flows)), make([]uint64, len(flows))
	for i, s := range flows {
		s.flows()
		s.mu.Lock()
		s.longest, came[i], sent[i] = 0, s.came, s.sent.Load()
		s.mu.Unlock()
	}
	f()
	gaps := make([]gap, len(flows))
	for i, s := range flows {
		s.flows()
		s.mu.Lock()
		n := int(s.sent.Load() - sent[i])
		gaps[i] = gap{silence: s.longest, sent: n, lost: max(0, n-(s.came-came[i]))}
		s.mu.Unlock()
	}
	return gaps
}

func (s *stream) close() {
	close(s.stop)
	s.conn.Close()
	s.running.Wait()
}
