package port

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

const controlSize = 64 // room for one PACKET_AUXDATA control message

// messages is the argument and the result of one recvmmsg or sendmmsg call.
type messages struct {
	headers  [BatchSize]mmsghdr
	iovecs   [BatchSize]unix.Iovec
	controls [BatchSize][controlSize]byte
	want, n  int
	errno    unix.Errno
}

// put makes frame the next message of a call.
func (m *messages) put(frame []byte) *unix.Msghdr {
	i := m.want
	m.iovecs[i].Base = &frame[0]
	m.iovecs[i].SetLen(len(frame))
	h := &m.headers[i].header
	*h = unix.Msghdr{Iov: &m.iovecs[i]}
	h.SetIovlen(1)
	m.want++
	return h
}

// offer offers frames to recvmmsg. withControl asks for control messages, to be found in
// m.controls.
func (m *messages) offer(frames [][]byte, withControl bool) {
	m.want = 0
	for i := range min(len(frames), BatchSize) {
		h := m.put(frames[i])
		if withControl {
			h.Control = &m.controls[i][0]
			h.SetControllen(controlSize)
		}
	}
}

// load takes the next frames for sendmmsg; false: there are none that can be sent.
func (m *messages) load(frames [][]byte) bool {
	m.want = 0
	for _, frame := range frames {
		if m.want == BatchSize || len(frame) == 0 || len(frame) > MaxFrame {
			break
		}
		m.put(frame)
	}
	return m.want > 0
}

// recvmmsg takes what is there; nothing: EAGAIN.
func (m *messages) recvmmsg(fd uintptr) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m.headers[0])), uintptr(m.want), unix.MSG_DONTWAIT, 0, 0)
	m.n, m.errno = int(n), errno
}

// sendmmsg makes one attempt to send.
func (m *messages) sendmmsg(fd uintptr) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m.headers[0])), uintptr(m.want), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if m.n, m.errno = max(0, int(n)), errno; errno != unix.EINTR {
			return
		}
	}
}

// received tells how many messages came, and how long they are. An errno is returned as it is.
func (m *messages) received(sizes []int) (int, error) {
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

// transmit sends what the socket takes at once, with attempts that call sendmmsg. An errno is returned as it is.
func (m *messages) transmit(frames [][]byte, attempt func() error) (sent int, err error) {
	for m.load(frames[sent:]) {
		if err := attempt(); err != nil {
			return sent, err
		}
		sent += m.n
		if m.errno != 0 {
			return sent, m.errno
		}
		if m.n < m.want {
			break
		}
	}
	return sent, nil
}
