package port

import (
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter moves batches of messages through a socket whose receiver waits in a thread of its
// own. The runtime's poller would be woken by every frame that comes in while the receiver is
// at work, which costs more than the frame; this thread is woken only when it waits.
type waiter struct {
	fd, stop int // stop is an eventfd

	recvMu sync.Mutex // held while fd is in use for receiving
	recv   messages

	sendMu  sync.Mutex
	send    messages
	attempt func() error // made once: no allocation per batch

	closing sync.Once
	closed  bool // written under both locks
}

// newWaiter takes over fd, which must be non-blocking.
func newWaiter(fd int) (*waiter, error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &waiter{fd: fd, stop: stop}
	w.attempt = func() error { w.send.sendmmsg(uintptr(w.fd)); return nil }
	return w, nil
}

// receive waits for a batch. Control messages are in w.recv.controls.
func (w *waiter) receive(frames [][]byte, sizes []int) (int, error) {
	w.recvMu.Lock()
	defer w.recvMu.Unlock()
	if w.closed {
		return 0, ErrClosed
	}
	m := &w.recv
	m.offer(frames, true)
	for {
		m.recvmmsg(uintptr(w.fd))
		switch m.errno {
		case unix.EAGAIN:
			if err := w.wait(); err != nil {
				return 0, err
			}
		case unix.EINTR:
		default:
			return m.received(sizes)
		}
	}
}

// wait returns when there is something to read.
func (w *waiter) wait() error {
	fds := [2]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.stop), Events: unix.POLLIN}}
	_, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), 0, 0, 0, 0)
	switch {
	case errno != 0 && errno != unix.EINTR:
		return errno
	case fds[1].Revents != 0:
		return ErrClosed
	}
	return nil
}

// transmit sends what the socket takes at once.
func (w *waiter) transmit(frames [][]byte) (int, error) {
	w.sendMu.Lock()
	defer w.sendMu.Unlock()
	if w.closed {
		return 0, ErrClosed
	}
	return w.send.transmit(frames, w.attempt)
}

// close wakes the receiver and waits until nobody uses the socket.
func (w *waiter) close() (err error) {
	w.closing.Do(func() {
		_, err = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		w.recvMu.Lock()
		defer w.recvMu.Unlock()
		w.sendMu.Lock()
		defer w.sendMu.Unlock()
		w.closed = true
		err = errors.Join(err, unix.Close(w.fd), unix.Close(w.stop))
	})
	return err
}
