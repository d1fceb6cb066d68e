package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// retryInterval is how often an end without its peer looks for it.
const retryInterval = 50 * time.Millisecond

// Unix is one end of a link between two processes on a host, over a unix socket that
// keeps frame boundaries (SOCK_SEQPACKET). Both ends name the same path, in any order:
// whoever holds the lock beside it (PATH.lock) listens, the other dials. A crash leaves
// nothing that hinders the next start. The link is up while both ends are there.
type Unix struct {
	path   string
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	lock   *os.File // locked: this end listens
	listen *net.UnixListener

	connected atomic.Pointer[socket]
	recvMu    sync.Mutex // held by Recv while it waits for a peer
}

// OpenUnix opens one end of the link at path.
func OpenUnix(path string) (*Unix, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", path, err)
	}
	p := &Unix{path: path}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	switch err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		lock.Close()
		return p, nil
	case err != nil:
		lock.Close()
		return nil, fmt.Errorf("link %s: lock: %w", path, err)
	}
	p.lock = lock
	if err := p.startListening(); err != nil {
		lock.Close()
		return nil, err
	}
	return p, nil
}

func (p *Unix) startListening() error {
	if err := os.Remove(p.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("link %s: stale socket: %w", p.path, err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.path, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("link %s: %w", p.path, err)
	}
	p.listen = l
	return nil
}

// Name implements Port.
func (p *Unix) Name() string { return p.path }

// Recv implements Port. It also (re)connects: a port nobody receives from stays down.
func (p *Unix) Recv(frames [][]byte, sizes []int) (int, error) {
	p.recvMu.Lock()
	defer p.recvMu.Unlock()
	for {
		s := p.connected.Load()
		if s == nil {
			if err := p.connect(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := s.receive(frames, sizes)
		if end := slices.Index(sizes[:n], 0); end >= 0 {
			// An empty message is the end of the stream: frames are never empty.
			n, err = end, io.EOF
		}
		if n > 0 {
			return n, nil
		}
		if err != nil {
			p.disconnect(s)
		}
	}
}

// connect waits for the peer.
func (p *Unix) connect() error {
	for {
		if p.ctx.Err() != nil {
			return ErrClosed
		}
		s, err := p.meet()
		if err == nil {
			p.connected.Store(s)
			if p.ctx.Err() != nil { // Close may have come too early to see s
				p.disconnect(s)
				return ErrClosed
			}
			return nil
		}
		select {
		case <-p.ctx.Done():
			return ErrClosed
		case <-time.After(retryInterval):
		}
	}
}

// meet accepts or dials once.
func (p *Unix) meet() (*socket, error) {
	var conn *net.UnixConn
	var err error
	if p.listen != nil {
		conn, err = p.listen.AcceptUnix()
	} else {
		conn, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: p.path, Net: "unixpacket"})
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetWriteBuffer(1 << 20) // best effort: a longer queue
	file, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newSocket(fd, p.path)
}

func (p *Unix) disconnect(s *socket) {
	if p.connected.CompareAndSwap(s, nil) {
		s.close()
	}
}

// Send implements Port.
func (p *Unix) Send(frames [][]byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, ErrClosed
	}
	s := p.connected.Load()
	if s == nil {
		return 0, nil
	}
	n, _ := s.transmit(frames) // Recv sees a lost peer and meets it again
	return n, nil
}

// Up implements Port.
func (p *Unix) Up() bool { return p.connected.Load() != nil }

// Close implements Port.
func (p *Unix) Close() error {
	p.cancel()
	var err error
	if p.listen != nil {
		err = p.listen.Close()
	}
	if s := p.connected.Load(); s != nil {
		p.disconnect(s)
	}
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	return err
}
