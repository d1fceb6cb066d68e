package wire

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/softswitch/port"
)

// A port that is full is tried again for this long: the cable's queue is what is to fill up, since senders can wait for room in it.
const (
	portPatience = 20 * time.Millisecond
	portPause    = 50 * time.Microsecond
)

// Patch joins an end of a cable to a port of another kind: a socket to another process, an interface of the system.
type Patch struct {
	end     *End
	port    port.Port
	dropped atomic.Uint64
	pace    pace
}

// pace lets frames pass at a rate, and bursts up to a size. The zero value does not hold any up.
type pace struct {
	interval, burst time.Duration // between frames; what a burst may be ahead by
	due             time.Time     // of the next frame
}

// wait returns when the next frame may pass.
func (p *pace) wait() {
	if p.interval == 0 {
		return
	}
	now := time.Now()
	if earliest := now.Add(-p.burst); p.due.Before(earliest) {
		p.due = earliest
	}
	if ahead := p.due.Sub(now); ahead > 0 {
		time.Sleep(ahead)
	}
	p.due = p.due.Add(p.interval)
}

// NewPatch takes over an end of a cable and a port; nobody else may receive from either.
func NewPatch(end *End, p port.Port) *Patch { return &Patch{end: end, port: p} }

// Limit bounds how many frames a second the port is given, beyond bursts of so many: for ports behind which nobody tells that there is no room. Call it
// before Run. Frames wait in the cable's queue meanwhile.
func (p *Patch) Limit(perSecond, burst int) {
	p.pace.interval = time.Second / time.Duration(perSecond)
	p.pace.burst = p.pace.interval * time.Duration(burst-1)
}

// Dropped counts frames that the port did not take.
func (p *Patch) Dropped() uint64 { return p.dropped.Load() }

// Close closes the port of a patch that will not run.
func (p *Patch) Close() error { return p.port.Close() }

// send hands one frame to the port; false if it does not take it.
func (p *Patch) send(one [][]byte) bool {
	for waited := time.Duration(0); ; waited += portPause {
		n, err := p.port.Send(one)
		if n > 0 && err == nil {
			return true
		}
		if err != nil || len(one[0]) > port.MaxFrame || !p.port.Up() || waited >= portPatience {
			return false
		}
		time.Sleep(portPause)
	}
}

// Run carries frames both ways until ctx ends (nil) or the port is lost, then closes the port. The cable must run too.
func (p *Patch) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.port.Close() })
	defer func() {
		p.end.SetReceiver(nil)
		if stop() {
			_ = p.port.Close()
		}
	}()
	one := make([][]byte, 1)
	p.end.SetReceiver(func(frame []byte) {
		one[0] = frame
		p.pace.wait()
		if !p.send(one) {
			p.dropped.Add(1)
		}
	})
	batch := port.NewBatch(port.BatchSize)
	for {
		n, err := p.port.Recv(batch.Frames, batch.Sizes)
		for i := range n {
			p.end.Send(batch.Frames[i][:batch.Sizes[i]])
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, port.ErrClosed):
			return fmt.Errorf("port %s: %w", p.port.Name(), err)
		case err != nil:
			return fmt.Errorf("port %s: %w by somebody else", p.port.Name(), err)
		}
	}
}
