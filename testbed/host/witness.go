package host

import (
	"net/netip"
	"sync"
)

// Witness sees each frame that a machine receives, before its stack does: for taps, and for ICMP errors, of which stacks tell their users little.
// It is safe for concurrent use.
type Witness struct {
	done <-chan struct{}

	mu      sync.Mutex
	watches map[*Watch]struct{}
	taps    map[*Tap]struct{}
}

// NewWitness makes a witness; done is closed with its machine.
func NewWitness(done <-chan struct{}) *Witness {
	return &Witness{done: done, watches: map[*Watch]struct{}{}, taps: map[*Tap]struct{}{}}
}

// Observe takes in one untagged frame, which it does not keep.
func (w *Witness) Observe(frame []byte) {
	icmpErr := parseICMPError(frame)
	w.mu.Lock()
	defer w.mu.Unlock()
	for tap := range w.taps {
		if tap.match(frame) {
			tap.record(frame)
		}
	}
	if icmpErr == nil {
		return
	}
	for one := range w.watches {
		if one.proto != icmpErr.Proto || one.dst != icmpErr.Dst.Addr() || one.src != 0 && one.src != icmpErr.Src.Port() {
			continue
		}
		select {
		case one.got <- icmpErr:
		default:
		}
	}
}

// Tap starts to record, up to depth frames.
func (w *Witness) Tap(depth int) *Tap {
	return w.TapIf(depth, func([]byte) bool { return true })
}

// TapIf starts to record, up to depth of the frames that match accepts, which is called for one frame at a time and must not keep it.
func (w *Witness) TapIf(depth int, match func(frame []byte) bool) *Tap {
	t := &Tap{witness: w, depth: depth, match: match, more: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taps[t] = struct{}{}
	return t
}

// Watch waits for ICMP errors about packets to one destination.
type Watch struct {
	witness *Witness
	proto   uint8
	dst     netip.Addr
	src     uint16 // local port or echo identifier; zero: any
	got     chan *ICMPError
}

// watchDepth is how many errors a watch holds unread.
const watchDepth = 16

// Watch starts to collect ICMP errors that quote packets of a protocol (of an IP header) to dst, from a local port or echo identifier
// (zero: any); at most 16 wait unread. The caller closes it.
func (w *Witness) Watch(proto uint8, dst netip.Addr, src uint16) *Watch {
	one := &Watch{witness: w, proto: proto, dst: dst, src: src, got: make(chan *ICMPError, watchDepth)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches[one] = struct{}{}
	return one
}

// Errors are the collected ones, as they come. It is never closed.
func (w *Watch) Errors() <-chan *ICMPError { return w.got }

// Close ends the collecting.
func (w *Watch) Close() {
	w.witness.mu.Lock()
	defer w.witness.mu.Unlock()
	delete(w.witness.watches, w)
}
