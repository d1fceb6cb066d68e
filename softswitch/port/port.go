// Package port connects a softswitch to the world: links in memory, links between
// unprivileged processes over unix sockets, Linux interfaces and TAP devices.
//
// Only bytes cross a port. Every implementation copies what it is given, so that two
// switches in one process share no more than two machines on a cable.
package port

import (
	"errors"
	"io"
	"sync/atomic"
)

const (
	// MaxFrame is the longest Ethernet frame in bytes that a port carries, without FCS.
	MaxFrame = 9216 + 18
	// BatchSize is the number of frames that a receiver should offer to Recv.
	BatchSize = 32
)

var (
	// ErrClosed is what Recv and Send report after Close.
	ErrClosed = errors.New("port is closed")
	// ErrUnsupported is what Open reports for a kind of port that the platform lacks.
	ErrUnsupported = errors.New("kind of port is not supported on this platform")
)

// Port is one attachment of a switch. Recv has one caller at a time; Send, Up and Close
// may be called by any goroutine.
type Port interface {
	// Name is the name that people know the port by (an interface, a path).
	Name() string
	// Recv waits for at least one frame, then takes as many as are there. It fills
	// frames[i][:sizes[i]] and returns how many. Each element of frames has room for
	// MaxFrame bytes; sizes is as long as frames. After Close it returns ErrClosed.
	Recv(frames [][]byte, sizes []int) (int, error)
	// Send transmits without waiting. The first n frames were accepted; the rest were
	// dropped: the link is down, its queue is full, or a frame is too long for it. The
	// frames are the caller's again when it returns. An error means that the port is lost.
	Send(frames [][]byte) (n int, err error)
	// Up tells whether the link is up.
	Up() bool
	io.Closer
}

// Counters are the statistics of one port; safe for concurrent use.
type Counters struct {
	rxPackets, rxBytes, rxDrops atomic.Uint64
	txPackets, txBytes, txDrops atomic.Uint64
}

// Stats is one reading of Counters.
type Stats struct {
	RxPackets, RxBytes, RxDrops uint64
	TxPackets, TxBytes, TxDrops uint64
}

// Received counts frames taken from the port.
func (c *Counters) Received(packets, bytes uint64) {
	c.rxPackets.Add(packets)
	c.rxBytes.Add(bytes)
}

// Sent counts frames that the port accepted.
func (c *Counters) Sent(packets, bytes uint64) {
	c.txPackets.Add(packets)
	c.txBytes.Add(bytes)
}

// DroppedRx counts frames that arrived and could not be processed.
func (c *Counters) DroppedRx(packets uint64) { c.rxDrops.Add(packets) }

// DroppedTx counts frames that the port did not accept.
func (c *Counters) DroppedTx(packets uint64) { c.txDrops.Add(packets) }

// Stats reads the counters.
func (c *Counters) Stats() Stats {
	return Stats{
		RxPackets: c.rxPackets.Load(), RxBytes: c.rxBytes.Load(), RxDrops: c.rxDrops.Load(),
		TxPackets: c.txPackets.Load(), TxBytes: c.txBytes.Load(), TxDrops: c.txDrops.Load(),
	}
}

// Batch is the memory that a receive loop needs.
type Batch struct {
	Frames [][]byte
	Sizes  []int
}

// NewBatch allocates room for n frames.
func NewBatch(n int) *Batch {
	b := &Batch{Frames: make([][]byte, n), Sizes: make([]int, n)}
	memory := make([]byte, n*MaxFrame)
	for i := range b.Frames {
		b.Frames[i] = memory[i*MaxFrame : (i+1)*MaxFrame : (i+1)*MaxFrame]
	}
	return b
}
