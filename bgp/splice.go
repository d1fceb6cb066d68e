package bgp

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// errClosedByNeighbour is how a connection ended that the neighbour closed.
var errClosedByNeighbour = errors.New("it closed the connection")

// lingering is how long the one end of a splice may go on after the other closed.
const lingering = 5 * time.Second

// farewell is how long what GoBGP said at last (a NOTIFICATION) has to reach the neighbour when a relay closes.
const farewell = time.Second

// chunk is how much is carried at once, in bytes.
const chunk = 64 << 10

// splice is a pair of connections that are one.
type splice struct {
	gobgp, neighbour *held
	lost             func(*splice, error) // told once, before either end sees it, that it is over: how the neighbour ended it, or nil, for GoBGP did
	once             sync.Once
}

// run carries both ways until both connections ended, the neighbour's failed, or ctx has been done for farewell, and closes both.
func (s *splice) run(ctx context.Context) {
	drop := func() { s.gobgp.drop(); s.neighbour.drop() }
	over := make(chan struct{})
	defer close(over)
	defer context.AfterFunc(ctx, func() {
		select {
		case <-over:
		case <-time.After(farewell):
			drop()
		}
	})()
	ends := make(chan end, 2)
	go func() { ends <- s.carry(s.neighbour, s.gobgp) }()
	go func() { ends <- s.carry(s.gobgp, s.neighbour) }()
	if first := <-ends; first.err == nil || first.of == s.gobgp {
		linger(ends)
	}
	drop()
	<-ends
}

// end is how one direction of a splice ended: one of its connections did.
type end struct {
	of  *held
	err error // nil: the other end closed it
}

// ended tells of the end once.
func (s *splice) ended(of *held, err error) end {
	if err == io.EOF {
		err = nil
	}
	s.once.Do(func() {
		switch {
		case of == s.gobgp:
			s.lost(s, nil)
		case err == nil:
			s.lost(s, errClosedByNeighbour)
		default:
			s.lost(s, err)
		}
	})
	return end{of, err}
}

// linger waits for the other direction, and gives its end back.
func linger(ends chan end) {
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case second := <-ends:
		ends <- second
	case <-timer.C:
	}
}

// carry copies what from receives to to, and passes on that it ended.
func (s *splice) carry(to, from *held) end {
	buf := from.release()
	for n, err := len(buf), error(nil); ; n, err = from.conn.Read(buf) {
		if _, err := to.conn.Write(buf[:n]); err != nil {
			e := s.ended(to, err)
			if to == s.gobgp {
				// A connection that is closed before all was read is reset, and what GoBGP said at last is lost.
				io.Copy(io.Discard, from.conn)
			}
			return e
		}
		if err != nil {
			e := s.ended(from, err)
			if half, ok := to.conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite() // fails only where there is nothing to close any more
			}
			return e
		}
		if cap(buf) < chunk {
			buf = make([]byte, chunk)
		}
		buf = buf[:cap(buf)]
	}
}
