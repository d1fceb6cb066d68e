package softswitch

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/softswitch/impair"
	"github.com/weft-sdn/weft/softswitch/port"
)

// attachment is a port in its place.
type attachment struct {
	number   uint16
	port     port.Port
	counters port.Counters
	up       atomic.Bool // as last seen by watchPorts
	lost     atomic.Bool // it failed, for good
	disabled atomic.Bool // by SetEnabled
	// lastChange is when up changed, in ns since 1970; 0: never.
	lastChange atomic.Int64
	impairment atomic.Pointer[impairment] // nil: none

	sendMu  sync.Mutex // orders senders and guards queue
	queue   [port.BatchSize][]byte
	waiting atomic.Int32 // how many frames of queue are to be sent
}

// receive is a port's goroutine: it takes frames, runs the pipeline on them, and sends
// what comes out, all before the next frame.
//
// A port that fails stays down while the others go on.
func (s *Server) receive(a *attachment) {
	batch := port.NewBatch(port.BatchSize)
	for {
		n, err := a.port.Recv(batch.Frames, batch.Sizes)
		if errors.Is(err, port.ErrClosed) {
			return
		}
		if err != nil {
			a.lost.Store(true)
			s.log.Error("port is lost", "port", a.number, "name", a.port.Name(), "err", err)
			return
		}
		s.process(a, batch, n)
	}
}

// process runs n received frames through the pipeline.
func (s *Server) process(a *attachment, batch *port.Batch, n int) {
	if a.disabled.Load() {
		a.counters.DroppedRx(uint64(n))
		return
	}
	if bad := a.impairment.Load(); bad != nil {
		s.processBad(a, bad, batch, n)
		return
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	t := s.running.Load()
	var bytes, long uint64
	for _, size := range batch.Sizes[:n] {
		if bytes += uint64(size); size == 0 { // longer than MaxFrame
			long++
		}
	}
	if t != nil {
		t.machine.ProcessBatch(a.number, batch.Frames[:n], batch.Sizes[:n])
		a.counters.DroppedRx(long)
		s.flush()
	} else {
		a.counters.DroppedRx(uint64(n))
		s.counts.noPipeline.Add(uint64(n) - long)
	}
	a.counters.Received(uint64(n), bytes)
}

// processBad takes frames that come by a line that is impaired.
func (s *Server) processBad(a *attachment, bad *impairment, batch *port.Batch, n int) {
	var bytes uint64
	for i := range n {
		size := batch.Sizes[i]
		bytes += uint64(size)
		if size == 0 {
			a.counters.DroppedRx(1)
			continue
		}
		bad.in.Send(batch.Frames[i][:size])
	}
	a.counters.Received(uint64(n), bytes)
}

// emit takes a frame that the pipeline of t let out. The frame is the pipeline's.
func (s *Server) emit(t *target, number uint16, frame []byte) {
	if number == s.options.CPUPort && number != 0 {
		s.packetIn(t, frame)
		return
	}
	if int(number) >= len(s.ports) || s.ports[number] == nil {
		s.counts.noPort.Add(1)
		return
	}
	s.ports[number].send(frame)
}

func (a *attachment) isUp() bool { return !a.disabled.Load() && !a.lost.Load() && a.port.Up() }

func (a *attachment) send(frame []byte) {
	if bad := a.impairment.Load(); bad != nil {
		bad.out.Send(frame)
		return
	}
	a.transmit(frame)
}

// transmit puts a copy of a frame into the port's queue, which flush sends.
func (a *attachment) transmit(frame []byte) {
	if a.disabled.Load() {
		a.counters.DroppedTx(1)
		return
	}
	a.sendMu.Lock()
	defer a.sendMu.Unlock()
	n := a.waiting.Load()
	a.queue[n] = append(a.queue[n][:0], frame...)
	if a.waiting.Store(n + 1); n+1 == int32(len(a.queue)) {
		a.flushLocked()
	}
}

// flush sends what waits in the queues of the ports. Whoever runs packets through the
// pipeline calls it before it waits for more.
func (s *Server) flush() {
	for _, a := range s.plugged {
		if a.waiting.Load() > 0 {
			a.flush()
		}
	}
}

func (a *attachment) flush() {
	a.sendMu.Lock()
	defer a.sendMu.Unlock()
	a.flushLocked()
}

// flushLocked gives the queue to the port. What the port does not take is dropped, frame
// by frame: one that is too long does not stop those behind it.
func (a *attachment) flushLocked() {
	frames := a.queue[:a.waiting.Load()]
	a.waiting.Store(0)
	for len(frames) > 0 {
		n, _ := a.port.Send(frames) // a lost port shows in Recv
		bytes := 0
		for _, f := range frames[:n] {
			bytes += len(f)
		}
		a.counters.Sent(uint64(n), uint64(bytes))
		if frames = frames[n:]; len(frames) > 0 {
			a.counters.DroppedTx(1)
			frames = frames[1:]
		}
	}
}

// watchPorts notices links that went up or down; replicas and group members depend on it.
// It tells whether there was one.
func (s *Server) watchPorts() bool {
	changed := false
	for _, a := range s.ports {
		if a == nil {
			continue
		}
		if up := a.isUp(); a.up.Swap(up) != up {
			changed = true
			a.changedAt(s.options.Now())
			s.log.Info("link changed", "port", a.number, "name", a.port.Name(), "up", up)
		}
	}
	if !changed {
		return false
	}
	s.followPorts()
	s.portChanged()
	return true
}

func (s *Server) followPorts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range []*target{s.running.Load(), s.saved} {
		if t != nil {
			t.portsChanged()
		}
	}
}

// portUp tells whether replicas to a port should be made. Ports that aren't there, and
// the CPU port, count as up: what is sent to them has its own fate.
func (s *Server) portUp(number uint16) bool {
	if int(number) >= len(s.ports) || s.ports[number] == nil {
		return true
	}
	return s.ports[number].up.Load()
}

// hasPort tells whether a port of this number is there.
func (s *Server) hasPort(number uint16) bool {
	if s.options.CPUPort != 0 && number == s.options.CPUPort {
		return true
	}
	return int(number) < len(s.ports) && s.ports[number] != nil
}

func (s *Server) closePorts() {
	for _, a := range s.ports {
		if a == nil {
			continue
		}
		if bad := a.impairment.Swap(nil); bad != nil {
			bad.close()
		}
		if err := a.port.Close(); err != nil {
			s.log.Warn("port does not close", "port", a.number, "name", a.port.Name(), "err", err)
		}
	}
}

// PortStatus is what a port is and has done.
type PortStatus struct {
	Number     uint16
	Name       string
	Up         bool
	Enabled    bool      // see SetEnabled
	LastChange time.Time // of Up; zero: never
	Impairment impair.Config
	port.Stats
}

// PortStatus reads all ports, by ascending number.
func (s *Server) PortStatus() []PortStatus {
	var out []PortStatus
	for _, a := range s.ports {
		if a != nil {
			out = append(out, a.status())
		}
	}
	return out
}

func (a *attachment) status() PortStatus {
	p := PortStatus{Number: a.number, Name: a.port.Name(), Up: a.isUp(), Enabled: !a.disabled.Load(), Stats: a.counters.Stats()}
	if ns := a.lastChange.Load(); ns != 0 {
		p.LastChange = time.Unix(0, ns)
	}
	if bad := a.impairment.Load(); bad != nil {
		p.Impairment = bad.config
	}
	return p
}
