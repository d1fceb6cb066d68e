package port

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

const controlSize = 64 // room for one PACKET_AUXDATA control message

// socket moves batches of messages through a non-blocking socket that keeps message
// boundaries. The closures passed to the runtime's poller are made once: no allocation
// per batch.
type socket struct {
	file *os.File
	raw  syscall.RawConn

	recvFunc func(fd uintptr) bool
	recv     messages

	sendMu   sync.Mutex
	sendFunc func(fd uintptr) bool
	send     messages
}

// messages is the argument and the result of one recvmmsg or sendmmsg call.
type messages struct {
	headers  [BatchSize]mmsghdr
	iovecs   [BatchSize]unix.Iovec
	controls [BatchSize][controlSize]byte
	want, n  int
	errno    unix.Errno
}

// newSocket takes over fd, which must be non-blocking.
func newSocket(fd int, name string) (*socket, error) {
	s := &socket{file: os.NewFile(uintptr(fd), name)}
	raw, err := s.file.SyscallConn()
	if err != nil {
		s.file.Close()
		return nil, err
	}
	s.raw = raw
	s.recvFunc = s.receiveReady
	s.sendFunc = s.sendReady
	return s, nil
}

// receiveReady runs when the socket is readable; false means wait on.
func (s *socket) receiveReady(fd uintptr) bool {
	m := &s.recv
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m.headers[0])),
		uintptr(m.want), unix.MSG_DONTWAIT, 0, 0)
	m.n, m.errno = int(n), errno
	return errno != unix.EAGAIN && errno != unix.EINTR
}

// sendReady makes one attempt; it never waits for room.
func (s *socket) sendReady(fd uintptr) bool {
	m := &s.send
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m.headers[0])),
			uintptr(m.want), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		m.n, m.errno = int(n), errno
		if errno != unix.EINTR {
			return true
		}
	}
}

// receive waits for a batch. withControl asks for control messages, to be found in
// s.recv.controls.
func (s *socket) receive(frames [][]byte, sizes []int, withControl bool) (int, error) {
	m := &s.recv
	m.want = min(len(frames), BatchSize)
	for i := range m.want {
		m.iovecs[i].Base = &frames[i][0]
		m.iovecs[i].SetLen(len(frames[i]))
		h := &m.headers[i].header
		*h = unix.Msghdr{Iov: &m.iovecs[i]}
		h.SetIovlen(1)
		if withControl {
			h.Control = &m.controls[i][0]
			h.SetControllen(controlSize)
		}
	}
	if err := s.raw.Read(s.recvFunc); err != nil {
		return 0, closedError(err)
	}
	if m.errno != 0 {
		return 0, m.errno
	}
	for i := range m.n {
		sizes[i] = int(m.headers[i].length)
		if m.headers[i].header.Flags&unix.MSG_TRUNC != 0 {
			sizes[i] = 0 // longer than MaxFrame: the caller skips it
		}
	}
	return m.n, nil
}

// transmit sends what the socket takes at once. An errno is returned as it is.
func (s *socket) transmit(frames [][]byte) (int, error) {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	m := &s.send
	sent := 0
	for sent < len(frames) {
		m.want = 0
		for _, frame := range frames[sent:] {
			if m.want == BatchSize || len(frame) == 0 || len(frame) > MaxFrame {
				break
			}
			m.iovecs[m.want].Base = &frame[0]
			m.iovecs[m.want].SetLen(len(frame))
			h := &m.headers[m.want].header
			*h = unix.Msghdr{Iov: &m.iovecs[m.want]}
			h.SetIovlen(1)
			m.want++
		}
		if m.want == 0 {
			return sent, nil
		}
		if err := s.raw.Write(s.sendFunc); err != nil {
			return sent, closedError(err)
		}
		if m.errno != 0 {
			return sent, m.errno
		}
		sent += m.n
		if m.n < m.want {
			return sent, nil
		}
	}
	return sent, nil
}

func (s *socket) close() error { return s.file.Close() }

// closedError turns the runtime's "use of closed file" into ErrClosed.
func closedError(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	return err
}

// transient tells whether a send error means no more than a lost frame.
func transient(err error) bool {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EMSGSIZE),
		errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOMEM):
		return true
	}
	return false
}
