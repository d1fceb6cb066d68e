package host

import (
	"bytes"
	"context"
	"sync"
)

// Tap records the frames that a host receives, without the tag of its VLAN, also those for
// other MACs and, at a host in no VLAN, those with a tag.
// It keeps the first ones up to its depth and counts the rest.
type Tap struct {
	witness *Witness
	depth   int
	match   func(frame []byte) bool

	mu       sync.Mutex
	frames   [][]byte
	overflow uint64
	more     chan struct{} // closed and replaced when a frame is recorded
}

// Tap starts to record what the host receives, up to depth frames.
func (h *Host) Tap(depth int) *Tap { return h.witness.Tap(depth) }

// Close ends the recording; what was recorded stays.
func (t *Tap) Close() {
	t.witness.mu.Lock()
	defer t.witness.mu.Unlock()
	delete(t.witness.taps, t)
}

func (t *Tap) record(frame []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.frames) >= t.depth {
		t.overflow++
		return
	}
	t.frames = append(t.frames, bytes.Clone(frame))
	close(t.more)
	t.more = make(chan struct{})
}

// Frames are the frames so far. They must not be changed.
func (t *Tap) Frames() [][]byte {
	frames, _ := t.since(0)
	return frames
}

func (t *Tap) since(n int) ([][]byte, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frames[n:len(t.frames):len(t.frames)], t.more
}

// Overflow counts the frames that found the tap full.
func (t *Tap) Overflow() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overflow
}

// Wait returns the first recorded frame, past or future, that match accepts.
func (t *Tap) Wait(ctx context.Context, match func(frame []byte) bool) ([]byte, error) {
	for seen := 0; ; {
		frames, more := t.since(seen)
		for _, frame := range frames {
			if match(frame) {
				return frame, nil
			}
		}
		seen += len(frames)
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-t.witness.done:
			return nil, ErrClosed
		}
	}
}
