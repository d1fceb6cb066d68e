package softswitch

import (
	"fmt"
	"time"

	"github.com/weft-sdn/weft/softswitch/impair"
)

// impairment is what a port's line is made to suffer.
type impairment struct {
	config  impair.Config
	in, out *impair.Line
}

// attached finds a port.
func (s *Server) attached(number uint16) (*attachment, error) {
	if int(number) >= len(s.ports) || s.ports[number] == nil {
		return nil, fmt.Errorf("softswitch: there is no port %d", number)
	}
	return s.ports[number], nil
}

// SetEnabled sets a port administratively up or down. A port that is down neither takes nor
// sends frames, and counts as down for watch ports and backup replicas.
func (s *Server) SetEnabled(number uint16, enabled bool) error {
	a, err := s.attached(number)
	if err != nil {
		return err
	}
	if a.disabled.Swap(!enabled) == !enabled {
		return nil
	}
	s.log.Info("port set", "port", number, "name", a.port.Name(), "enabled", enabled)
	if !s.watchPorts() { // the link was down anyway
		s.portChanged()
	}
	return nil
}

// SetImpairment makes both directions of a port's line bad; the zero Config makes it good
// again. Frames that wait in the line at the time are lost.
func (s *Server) SetImpairment(number uint16, c impair.Config) error {
	a, err := s.attached(number)
	if err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("softswitch: port %d: %w", number, err)
	}
	var next *impairment
	if c != (impair.Config{Seed: c.Seed}) {
		next = &impairment{config: c}
		next.in = impair.New(c, 2*uint64(number), func(frame []byte) { s.inject(a, frame) })
		next.out = impair.New(c, 2*uint64(number)+1, func(frame []byte) {
			a.transmit(frame)
			a.flush()
		})
	}
	if old := a.impairment.Swap(next); old != nil {
		old.close()
	}
	s.portChanged()
	return nil
}

func (m *impairment) close() {
	m.in.Close()
	m.out.Close()
}

// inject runs a frame through the pipeline that its port's line has held back.
func (s *Server) inject(a *attachment, frame []byte) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if t := s.running.Load(); t != nil {
		t.machine.Process(a.number, frame)
		s.flush()
		return
	}
	a.counters.DroppedRx(1)
	s.counts.noPipeline.Add(1)
}

// OnPortChange registers what is called, from any goroutine, when the state of a port may
// have changed: its link, whether it is enabled, its impairment. It must not block.
func (s *Server) OnPortChange(f func()) {
	for {
		old := s.onPortChange.Load()
		next := append(append([]func(){}, *old...), f)
		if s.onPortChange.CompareAndSwap(old, &next) {
			return
		}
	}
}

func (s *Server) portChanged() {
	for _, f := range *s.onPortChange.Load() {
		f()
	}
}

// changedAt notes when a port went up or down.
func (a *attachment) changedAt(now time.Time) { a.lastChange.Store(now.UnixNano()) }
