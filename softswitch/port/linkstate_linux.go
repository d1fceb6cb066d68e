package port

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// linkQuery asks the kernel for an interface's flags.
type linkQuery struct {
	mu     sync.Mutex
	fd     int // -1 when closed
	name   string
	device *unix.Ifreq
}

func newLinkQuery(name string) (*linkQuery, error) {
	device, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("interface %s: control socket: %w", name, err)
	}
	return &linkQuery{fd: fd, name: name, device: device}, nil
}

// running tells whether the interface is up and has a carrier.
func (q *linkQuery) running() bool {
	flags, err := q.flags()
	const want = unix.IFF_UP | unix.IFF_RUNNING
	return err == nil && flags&want == want
}

func (q *linkQuery) flags() (uint16, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return 0, ErrClosed
	}
	if err := unix.IoctlIfreq(q.fd, unix.SIOCGIFFLAGS, q.device); err != nil {
		return 0, fmt.Errorf("interface %s: flags: %w", q.name, err)
	}
	return q.device.Uint16(), nil
}

// setUp brings the interface up.
func (q *linkQuery) setUp() error {
	flags, err := q.flags()
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.device.SetUint16(flags | unix.IFF_UP)
	if err := unix.IoctlIfreq(q.fd, unix.SIOCSIFFLAGS, q.device); err != nil {
		return fmt.Errorf("interface %s: bring up: %w", q.name, err)
	}
	return nil
}

func (q *linkQuery) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd >= 0 {
		unix.Close(q.fd)
		q.fd = -1
	}
}
