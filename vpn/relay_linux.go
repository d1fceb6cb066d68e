package vpn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/conn"
)

// relay carries the encrypted packets of a daemon between the namespace that it is in and a transport. It looks like the peer to the daemon, and like the daemon to the peer.
//
//	daemon ◀─ loopback ─▶ line (one for each peer) ◀──▶ relay ◀──▶ conn.Bind
type relay struct {
	bind   conn.Bind // sends nothing unless the VPN is held
	valid  func() bool
	counts *counts
	space  *namespace
	daemon netip.AddrPort // where the daemon is called; invalid: it calls
	spis   *spis          // of an IPsec; nil: it is of an OpenVPN, and what opens a session is said again until it is answered
	open   sync.WaitGroup

	mu     sync.Mutex
	lines  map[netip.AddrPort]*line // by where the peer is
	fresh  *rate.Limiter            // lines of those who have none: each costs a socket
	closed bool
}

// line is one peer's way to the daemon.
type line struct {
	socket *net.UDPConn // in the namespace
	to     conn.Endpoint
	at     netip.AddrPort // of the peer
	daemon atomic.Pointer[netip.AddrPort]
	used   atomic.Int64 // unix time in nanoseconds, of what the daemon sent

	answers        atomic.Uint64 // packets of the daemon
	received, sent atomic.Uint64 // bytes

	fromPeer, fromDaemon *opening // nil: nothing is said again
}

const (
	maxLines  = 64               // who has not answered the daemon yet has one, too
	lineIdle  = 10 * time.Minute // after which a line may be another's before those that the daemon answers seldom
	newLines  = 200              // a second, at the most
	maxPacket = 65535

	relayPause = 10 * time.Millisecond // after an error of the system's, that it does not become a loop
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// newRelay opens a transport. listen: at that port peers call, and the daemon is called at daemon; 0: the daemon calls, where call says.
func newRelay(space *namespace, bind conn.Bind, valid func() bool, c *counts, listen uint16, daemon netip.AddrPort, spis *spis) (*relay, error) {
	r := &relay{bind: &held{bind, valid, c}, valid: valid, counts: c, space: space, daemon: daemon, spis: spis, lines: map[netip.AddrPort]*line{}, fresh: rate.NewLimiter(newLines, maxLines)}
	receive, _, err := bind.Open(listen)
	if err != nil {
		return nil, err
	}
	for _, f := range receive {
		r.open.Go(func() { r.receive(f) })
	}
	return r, nil
}

// receive takes packets of the transport.
func (r *relay) receive(from conn.ReceiveFunc) {
	n := r.bind.BatchSize()
	bufs, sizes, ends := make([][]byte, n), make([]int, n), make([]conn.Endpoint, n)
	for i := range bufs {
		bufs[i] = make([]byte, maxPacket)
	}
	for {
		got, err := from(bufs, sizes, ends)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as that a peer's host refused what it was sent
			time.Sleep(relayPause)
			continue
		}
		for i := range got {
			if sizes[i] == 0 {
				r.counts.notForUs.Add(1)
				continue
			}
			if !r.valid() {
				r.counts.notHeld.Add(1)
				continue
			}
			if r.spis != nil && !r.spis.saw(bufs[i][:sizes[i]]) {
				continue
			}
			if l := r.lineOf(ends[i]); l != nil {
				l.pass(bufs[i][:sizes[i]])
			} else {
				r.counts.notForUs.Add(1)
			}
		}
	}
}

// pass gives a packet to the daemon.
func (l *line) pass(packet []byte) {
	l.received.Add(uint64(len(packet)))
	if l.fromPeer != nil {
		l.fromDaemon.answered(packet)
		l.fromPeer.said(packet)
	}
	l.give(packet)
}

func (l *line) give(packet []byte) {
	if to := l.daemon.Load(); to != nil {
		_, _ = l.socket.WriteToUDPAddrPort(packet, *to) // a daemon that starts again refuses
	}
}

// end ends a line.
func (l *line) end() {
	if l.fromPeer != nil {
		l.fromPeer.close()
		l.fromDaemon.close()
	}
	l.socket.Close()
}

// lineOf returns the line of a peer, new if need be; nil: it has none.
func (r *relay) lineOf(peer conn.Endpoint) *line {
	at := where(peer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lines[at]; l != nil {
		l.to = peer // by the address that it speaks to
		return l
	}
	if !r.daemon.IsValid() || r.closed || !r.fresh.Allow() {
		return nil
	}
	r.room()
	l, err := r.newCalled(peer, at)
	if err != nil {
		return nil
	}
	return l
}

// newCalled makes the line of a peer to a daemon that is called. The caller has the lock.
func (r *relay) newCalled(peer conn.Endpoint, at netip.AddrPort) (*line, error) {
	l, err := r.newLine(peer, at)
	if err == nil {
		l.daemon.Store(&r.daemon)
		r.lines[at] = l
	}
	return l, err
}

// reach is the line by which a daemon that is called may itself call a peer, where that was last. It returns where the daemon has the peer.
func (r *relay) reach(peer netip.AddrPort) (at netip.AddrPort, err error) {
	to, err := r.bind.ParseEndpoint(peer.String())
	if err != nil {
		return at, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lines[where(to)]
	if l == nil {
		if l, err = r.newCalled(to, where(to)); err != nil {
			return at, err
		}
	}
	return l.local(), nil
}

// room makes room for a line. The caller has the lock. Any packet makes a line, be its source forged: of those it is that go, that the daemon has hardly answered, and never the peer's.
func (r *relay) room() {
	if len(r.lines) < maxLines {
		return
	}
	var at netip.AddrPort
	var least *line
	for key, l := range r.lines {
		switch idle := time.Since(time.Unix(0, l.used.Load())) > lineIdle; {
		case least == nil, idle, l.answers.Load() < least.answers.Load(), l.answers.Load() == least.answers.Load() && l.used.Load() < least.used.Load():
			if at, least = key, l; idle {
				l.end()
				delete(r.lines, at)
				return
			}
		}
	}
	least.end()
	delete(r.lines, at)
}

// newLine makes a line, and takes what the daemon sends by it. The caller has the lock.
func (r *relay) newLine(peer conn.Endpoint, at netip.AddrPort) (*line, error) {
	l := &line{to: peer, at: at}
	l.used.Store(time.Now().UnixNano())
	err := r.space.do(func() (err error) {
		l.socket, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.spis == nil {
		l.fromPeer = &opening{send: func(packet []byte) {
			if r.valid() {
				l.give(packet)
			}
		}}
		l.fromDaemon = &opening{send: func(packet []byte) { _ = r.carry(l, packet) }}
	}
	r.open.Go(func() { r.send(l) })
	return l, nil
}

// send takes packets of the daemon.
func (r *relay) send(l *line) {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := l.socket.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if !r.daemon.IsValid() {
			l.daemon.Store(&from) // there is nobody else in the namespace
		}
		l.used.Store(time.Now().UnixNano())
		l.answers.Add(1)
		if l.fromDaemon != nil {
			l.fromPeer.answered(buf[:n])
			l.fromDaemon.said(buf[:n])
		}
		if r.carry(l, buf[:n]) != nil {
			r.counts.noTransport.Add(1)
		}
	}
}

// carry sends a packet to the peer; none, as long as it is not known where that is.
func (r *relay) carry(l *line, packet []byte) error {
	r.mu.Lock()
	to := l.to
	r.mu.Unlock()
	if to == nil {
		return nil
	}
	if err := r.bind.Send([][]byte{packet}, to); err != nil {
		return err
	}
	l.sent.Add(uint64(len(packet)))
	return nil
}

// caller makes the line of a daemon that calls: at is where it calls. Where that leads call says.
func (r *relay) caller() (l *line, at netip.AddrPort, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, err = r.newLine(nil, at); err != nil {
		return nil, at, err
	}
	r.lines[at] = l
	return l, l.local(), nil
}

// call has the line of a daemon that calls lead to a peer.
func (r *relay) call(l *line, peer string) error {
	to, err := r.bind.ParseEndpoint(peer)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.lines)
	l.to, l.at = to, where(to)
	r.lines[l.at] = l
	return nil
}

// lineAt returns the line of a peer that the daemon knows at an address of the namespace; nil: there is none.
func (r *relay) lineAt(local netip.AddrPort) *line {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l.local() == local {
			return l
		}
	}
	return nil
}

// peerOf is where a line leads.
func (r *relay) peerOf(l *line) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return l.at
}

// local is where the daemon has the peer.
func (l *line) local() netip.AddrPort { return l.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

// close ends the transport: nothing comes or goes any more when it returns.
func (r *relay) close() {
	_ = r.bind.Close()
	r.mu.Lock()
	r.closed = true
	for _, l := range r.lines {
		l.end()
	}
	r.mu.Unlock()
	r.open.Wait()
}

// where is where a peer is.
func where(e conn.Endpoint) netip.AddrPort {
	var at netip.AddrPort
	_ = at.UnmarshalBinary(e.DstToBytes()) // that is how it was made
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
