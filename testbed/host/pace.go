package host

import (
	"context"
	"io"
)

// Pace slows a transfer down: it is called with the bytes moved so far before each piece of at most paceStep bytes, and returns when the
// next piece may follow. An error ends the transfer.
type Pace func(ctx context.Context, moved int64) error

// paceStep is the longest piece of a transfer between two calls of its Pace, in bytes.
const paceStep = 16 << 10

// paced reads at a pace; a nil one changes nothing.
func paced(ctx context.Context, r io.Reader, pace Pace) io.Reader {
	if pace == nil {
		return r
	}
	return &pacedReader{ctx: ctx, r: r, pace: pace}
}

type pacedReader struct {
	ctx   context.Context
	r     io.Reader
	pace  Pace
	moved int64
}

// Read implements io.Reader.
func (p *pacedReader) Read(b []byte) (int, error) {
	if err := p.pace(p.ctx, p.moved); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b[:min(len(b), paceStep)])
	p.moved += int64(n)
	return n, err
}
