package port

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

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
	attempt  func() error
	send     messages
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
	s.attempt = func() error { return closedError(s.raw.Write(s.sendFunc)) }
	return s, nil
}

// receiveReady runs when the socket is readable; false means wait on.
func (s *socket) receiveReady(fd uintptr) bool {
	s.recv.recvmmsg(fd)
	return s.recv.errno != unix.EAGAIN && s.recv.errno != unix.EINTR
}

// sendReady makes one attempt; it never waits for room.
func (s *socket) sendReady(fd uintptr) bool {
	s.send.sendmmsg(fd)
	return true
}

// receive waits for a batch.
func (s *socket) receive(frames [][]byte, sizes []int) (int, error) {
	m := &s.recv
	m.offer(frames, false)
	if err := s.raw.Read(s.recvFunc); err != nil {
		return 0, closedError(err)
	}
	return m.received(sizes)
}

// transmit sends what the socket takes at once.
func (s *socket) transmit(frames [][]byte) (int, error) {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	return s.send.transmit(frames, s.attempt)
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
