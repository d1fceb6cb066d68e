package bgp

import (
	"context"
	"net"
	"time"
)

// aheadMost is how much is read of a connection that is held, in bytes: more than a BGP speaker sends before it hears anything, an OPEN and a NOTIFICATION.
const aheadMost = 64 << 10

// held is a connection that waits for its counterpart. What the other end sends is read ahead, so that its end is noticed.
type held struct {
	conn  net.Conn
	timer *time.Timer     // drops a neighbour's that waited long enough for GoBGP's
	over  context.Context // done when the connection is dropped
	end   context.CancelFunc

	ahead []byte
	done  chan struct{} // closed when nobody reads ahead any more; ahead is complete then
}

func newHeld(ctx context.Context, conn net.Conn) *held {
	h := &held{conn: conn, done: make(chan struct{})}
	h.over, h.end = context.WithCancel(ctx)
	return h
}

// read reads ahead until the connection is released or ended is to be called, for it ended.
func (h *held) read(ended func(*held)) {
	buf := make([]byte, 4096)
	for len(h.ahead) < aheadMost {
		n, err := h.conn.Read(buf)
		h.ahead = append(h.ahead, buf[:n]...)
		if err != nil {
			close(h.done)
			ended(h) // to whom it matters only if it is held still
			return
		}
	}
	close(h.done)
}

// release stops reading ahead and returns what was read. An end that was seen is seen again by the next to read.
func (h *held) release() []byte {
	h.conn.SetReadDeadline(time.Unix(1, 0))
	<-h.done
	h.conn.SetReadDeadline(time.Time{})
	return h.ahead
}

// drop closes the connection.
func (h *held) drop() {
	if h.timer != nil {
		h.timer.Stop()
	}
	h.end()
	h.conn.SetDeadline(time.Unix(1, 0)) // whoever reads or writes is woken, which Close of a userspace stack's does not promise
	h.conn.Close()
}
