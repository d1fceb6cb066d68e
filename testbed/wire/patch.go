package wire

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/weft-sdn/weft/softswitch/port"
)

// Patch joins an end of a cable to a port of another kind: a socket to another process, an interface of the system.
type Patch struct {
	end     *End
	port    port.Port
	dropped atomic.Uint64
}

// NewPatch takes over an end of a cable and a port; nobody else may receive from either.
func NewPatch(end *End, p port.Port) *Patch { return &Patch{end: end, port: p} }

// Dropped counts frames that the port did not take.
func (p *Patch) Dropped() uint64 { return p.dropped.Load() }

// Close closes the port of a patch that will not run.
func (p *Patch) Close() error { return p.port.Close() }

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
		if n, err := p.port.Send(one); n == 0 || err != nil {
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
