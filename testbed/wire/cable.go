// Package wire is an Ethernet cable in memory: two ends, a bounded queue per direction,
// loss and unplugging on demand, and a capture file.
//
// Frames are copied onto the cable, so the two machines at its ends share no memory. An end
// is used in one of two styles: by callback (SetReceiver, what hosts do) or by pulling
// (Port, what switches do).
package wire

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultDepth is the queue length in frames per direction.
const DefaultDepth = 512

// Config describes a cable.
type Config struct {
	NameA, NameB string
	Depth        int              // frames per direction; zero means DefaultDepth
	Seed         uint64           // of the losses
	Now          func() time.Time // stamps captured frames; nil means time.Now
}

// Cable is a full duplex link, plugged in from the start. Run carries the frames.
type Cable struct {
	a, b    End
	up      atomic.Bool
	capture capture
}

// New makes a cable.
func New(cfg Config) *Cable {
	if cfg.Depth <= 0 {
		cfg.Depth = DefaultDepth
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Cable{capture: capture{now: cfg.Now}}
	c.up.Store(true)
	ab, ba := newQueue(cfg.Depth, cfg.Seed, 1), newQueue(cfg.Depth, cfg.Seed, 2)
	c.a = End{name: cfg.NameA, cable: c, in: ba, out: ab}
	c.b = End{name: cfg.NameB, cable: c, in: ab, out: ba}
	return c
}

// A is the first end.
func (c *Cable) A() *End { return &c.a }

// B is the second end.
func (c *Cable) B() *End { return &c.b }

// Run delivers frames to the receivers of both ends until ctx is done.
func (c *Cable) Run(ctx context.Context) error {
	var pumps sync.WaitGroup
	pumps.Go(func() { c.a.in.pump(ctx) })
	pumps.Go(func() { c.b.in.pump(ctx) })
	pumps.Wait()
	return nil
}

// SetUp plugs the cable in or out. Frames that are on it already arrive.
func (c *Cable) SetUp(up bool) { c.up.Store(up) }

// Up tells whether the cable is plugged in.
func (c *Cable) Up() bool { return c.up.Load() }

// SetLoss makes the cable lose this share (0 to 1) of the frames of both directions. Which
// ones is a function of the seed and the order of the frames.
func (c *Cable) SetLoss(share float64) {
	c.a.in.setLoss(share)
	c.b.in.setLoss(share)
}

// Capture writes the frames of both directions that the cable carries, lost ones excluded,
// to w as a pcap file with nanoseconds. A nil w ends the capture. A failing w ends it too,
// and never the traffic: CaptureErr tells.
func (c *Cable) Capture(w io.Writer) error { return c.capture.start(w) }

// CaptureErr is the error that ended the last capture, or nil.
func (c *Cable) CaptureErr() error { return c.capture.failure() }

// Counters are the frames of one end of a cable.
type Counters struct {
	Sent, SentBytes         uint64 // accepted from this end
	Received, ReceivedBytes uint64 // handed to this end
	Overflow                uint64 // sent by this end, queue full
	Lost                    uint64 // sent by this end, lost on purpose
	Down                    uint64 // sent by this end while the cable was unplugged
}

// End is one end of a cable. It is safe for concurrent use.
type End struct {
	name    string
	cable   *Cable
	in, out *queue
	down    atomic.Uint64
}

// Name is the name that the cable's configuration gave this end.
func (e *End) Name() string { return e.name }

// Send puts a copy of frame on the cable, or drops and counts it. It never waits.
func (e *End) Send(frame []byte) { e.send(frame) }

func (e *End) send(frame []byte) bool {
	if !e.cable.up.Load() {
		e.down.Add(1)
		return false
	}
	return e.out.push(frame, &e.cable.capture)
}

// WaitRoom waits until the cable has room for a burst of frames: half its depth in this direction. Who sends more than the traffic of
// a TCP/IP stack, which adapts, calls it so as not to lose frames to a full queue.
func (e *End) WaitRoom(ctx context.Context) error { return e.out.waitRoom(ctx) }

// SetReceiver sets who gets the frames that arrive at this end, one at a time. The frame is
// valid until the receiver returns, and the receiver's to change. Frames wait (in the bounded queue) while there is no
// receiver. A receiver that was replaced may still be busy with one batch of frames.
func (e *End) SetReceiver(receive func(frame []byte)) { e.in.setReceiver(receive) }

// Up tells whether the cable is plugged in.
func (e *End) Up() bool { return e.cable.Up() }

// Counters reads the statistics of this end.
func (e *End) Counters() Counters {
	out, in := e.out.read(), e.in.read()
	return Counters{
		Sent: out.pushed, SentBytes: out.pushedBytes, Overflow: out.overflow, Lost: out.lost,
		Received: in.popped, ReceivedBytes: in.poppedBytes, Down: e.down.Load(),
	}
}
