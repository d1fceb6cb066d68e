package bgp

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// relayConfig describes the relay of a session.
type relayConfig struct {
	local    netip.Addr
	remote   netip.AddrPort
	passive  bool          // the neighbour begins, always
	barred   bool          // until Bar(false)
	retry    time.Duration // from one attempt to connect to the next, give or take a quarter (RFC 4271 §10); an attempt lasts no longer
	patience time.Duration // how long a neighbour's connection waits for GoBGP's; 0: 30 s
	options  options
	network  network
	acceptor *acceptor       // of the local address; nil: the neighbour never begins
	lost     func(err error) // told when the connection of an established session is over, which GoBGP tells only when it has dropped all that the neighbour told: err is how the neighbour ended it, or nil, for GoBGP did
	log      *slog.Logger
}

// relay hands GoBGP's connection on to a neighbour's, however that comes about, as GoBGP can be given no connection but only an address to dial.
//
//	own   GoBGP's connection, waits for one with the neighbour; meanwhile the neighbour is dialled
//	other one with the neighbour, waits for GoBGP's: for patience while there is no splice, else until the session of the splice is established
//	live  the splice of an own and an other
//
// The neighbour's second connection is kept beside a splice, because the neighbour may settle a collision (RFC 4271 §6.8) by closing the first: if the second
// were closed here at the same time, both would start anew, and over again.
type relay struct {
	config   relayConfig
	secret   string
	listener net.Listener
	ctx      context.Context // until Close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu          sync.Mutex
	own, other  *held
	live        *splice
	established bool               // the session of live is
	stopDialing context.CancelFunc // of own, or of the one in live
	last        error
	barred      chan struct{} // nil: the neighbour may be spoken to; else closed when it may
}

// newRelay listens for GoBGP at a free port of 127.0.0.1, and for the neighbour at the acceptor.
func newRelay(c relayConfig) (*relay, error) {
	c.patience = cmp.Or(c.patience, 30*time.Second)
	r := &relay{config: c, secret: rand.Text()}
	var err error
	if r.listener, err = listenLoopback(r.secret); err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", c.remote, err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if c.barred {
		r.barred, r.last = make(chan struct{}), errBarred
	}
	if c.acceptor != nil {
		if err := c.acceptor.Expect(c.remote.Addr(), c.options, r.Offer); err != nil {
			r.cancel()
			r.listener.Close()
			return nil, fmt.Errorf("neighbour %s: %w", c.remote, err)
		}
	}
	r.running.Go(r.accept)
	return r, nil
}

// Addr is where GoBGP is to dial.
func (r *relay) Addr() netip.AddrPort { return r.listener.Addr().(*net.TCPAddr).AddrPort() }

// Secret is what GoBGP is to sign segments with (RFC 2385), so that no other process of this machine can speak for it, nor be taken for the relay.
func (r *relay) Secret() string { return r.secret }

// LastError is why the neighbour could not be connected or how it ended the connection; nil once the session is established.
func (r *relay) LastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Close ends all connections and returns when nothing runs any more: what GoBGP said before it ended its own still arrives.
func (r *relay) Close() {
	if r.config.acceptor != nil {
		r.config.acceptor.Refuse(r.config.remote.Addr())
	}
	r.mu.Lock()
	r.cancel()
	r.dropLocked(&r.own)
	r.dropLocked(&r.other)
	r.mu.Unlock()
	r.listener.Close()
	r.running.Wait()
}

// accept takes GoBGP's connections.
func (r *relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.begin(conn)
			continue
		}
		r.config.log.Warn("connection of GoBGP not taken", "neighbour", r.config.remote, "err", err)
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(time.Second): // for want of file descriptors
		}
	}
}

// begin takes a connection of GoBGP, which has one at a time: what it had before is over.
func (r *relay) begin(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		conn.Close()
		return
	}
	r.dropLocked(&r.own)
	r.live, r.established = nil, false // a splice still carries what GoBGP said at last
	r.own = r.holdLocked(conn)
	r.matchLocked()
	if own := r.own; own != nil && !r.config.passive {
		dialing, stop := context.WithCancel(own.over)
		r.stopDialing = stop
		r.running.Go(func() { r.dial(dialing, own) })
	}
}

// Offer takes a connection that the neighbour began.
func (r *relay) Offer(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeLocked(conn)
}

// takeLocked takes a connection with the neighbour. A newer one is better: a neighbour that begins another has given up the one before.
func (r *relay) takeLocked(conn net.Conn) {
	if r.ctx.Err() != nil || r.established || r.barred != nil {
		conn.Close()
		return
	}
	r.dropLocked(&r.other)
	other := r.holdLocked(conn)
	r.other = other
	other.timer = time.AfterFunc(r.config.patience, func() { r.expire(other) })
	r.matchLocked()
}

// expire drops a connection with the neighbour that GoBGP did not want in time.
func (r *relay) expire(other *held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.other == other && r.live == nil {
		r.dropLocked(&r.other)
	}
}

// Established tells whether the session is (RFC 4271 §8.2.2): a second connection is of no use then.
func (r *relay) Established(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.established = is && r.live != nil
	if r.established {
		r.last = nil
		r.dropLocked(&r.other)
		if r.stopDialing != nil {
			r.stopDialing()
		}
	}
}

// matchLocked splices GoBGP's connection with the neighbour's.
func (r *relay) matchLocked() {
	if r.own == nil || r.other == nil {
		return
	}
	s := &splice{gobgp: r.own, neighbour: r.other, lost: r.lost}
	r.own, r.other, r.live = nil, nil, s
	s.neighbour.timer.Stop()
	r.running.Go(func() { s.run(r.ctx) })
}

// lost notices that a splice is over.
func (r *relay) lost(s *splice, err error) {
	if r.endLive(s, err) && r.config.lost != nil {
		r.config.lost(err)
	}
}

// endLive forgets the splice, and reports whether its session was established.
func (r *relay) endLive(s *splice, err error) (was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live != s || r.ctx.Err() != nil {
		return false
	}
	was = r.established
	r.live, r.established = nil, false
	if err != nil {
		r.failLocked(err)
	}
	if r.other != nil {
		r.other.timer.Reset(r.config.patience)
	}
	return was
}

// dial connects to the neighbour while a connection of GoBGP waits for it. An attempt is not given up for a connection that the neighbour began
// meanwhile: the neighbour may have taken it already, and prefer it.
func (r *relay) dial(dialing context.Context, own *held) {
	for r.allowed(dialing) {
		interval := r.config.retry*3/4 + mathrand.N(r.config.retry/2+1)
		round, cancel := context.WithTimeout(dialing, interval)
		conn, err := r.config.network.Dial(round, r.config.local, r.config.remote, r.config.options)
		r.dialled(dialing, conn, err)
		if err != nil {
			<-round.Done()
		}
		cancel()
		if err == nil || !r.waits(own) {
			return
		}
	}
}

// Bar has the neighbour neither dialled nor taken from now on; a connection whose session is not established is dropped. Bar(false) is its end.
func (r *relay) Bar(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case yes && r.barred == nil:
		r.barred, r.last = make(chan struct{}), errBarred
		r.dropLocked(&r.other)
		if r.live != nil && !r.established {
			r.live.neighbour.drop()
		}
	case !yes && r.barred != nil:
		close(r.barred)
		r.barred, r.last = nil, nil
	}
}

// Break ends GoBGP's connection if there is one with the neighbour behind it, and reports whether there was.
func (r *relay) Break() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == nil {
		return false
	}
	r.live.gobgp.drop()
	return true
}

// errBarred is why there is no connection with a neighbour.
var errBarred = errors.New("it waits for BFD to be up (strict)")

// allowed waits until the neighbour may be dialled. False: it is not to be any more.
func (r *relay) allowed(dialing context.Context) bool {
	r.mu.Lock()
	barred := r.barred
	r.mu.Unlock()
	if barred != nil {
		select {
		case <-barred:
		case <-dialing.Done():
		}
	}
	return dialing.Err() == nil
}

// dialled takes the outcome of an attempt.
func (r *relay) dialled(dialing context.Context, conn net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && dialing.Err() == nil:
		r.takeLocked(conn)
	case err == nil: // GoBGP's connection is over, so nobody would speak
		conn.Close()
	case dialing.Err() == nil && errors.Is(err, context.DeadlineExceeded) && r.config.options.password != "":
		r.failLocked(errUnanswered)
	case dialing.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		r.failLocked(errSilent)
	case dialing.Err() == nil:
		r.failLocked(err)
	}
}

// Why a neighbour could not be connected in time. One that signs with another password drops what comes, as does the kernel here.
var (
	errSilent     = errors.New("it does not answer")
	errUnanswered = errors.New("it does not answer what is signed: it may have another password, or none")
)

// waits tells whether a connection of GoBGP has no counterpart yet.
func (r *relay) waits(own *held) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own == own
}

// ended notices that a connection that is held ended.
func (r *relay) ended(h *held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch h {
	case r.own:
		r.dropLocked(&r.own)
	case r.other:
		r.failLocked(errClosedByNeighbour)
		r.dropLocked(&r.other)
	}
}

func (r *relay) holdLocked(conn net.Conn) *held {
	h := newHeld(r.ctx, conn)
	r.running.Go(func() { h.read(r.ended) })
	return h
}

func (r *relay) dropLocked(which **held) {
	if *which != nil {
		(*which).drop()
		*which = nil
	}
}

func (r *relay) failLocked(err error) {
	r.last = fmt.Errorf("neighbour %s: %w", r.config.remote, err)
	r.config.log.Debug("connection with a neighbour", "neighbour", r.config.remote, "err", err)
}
