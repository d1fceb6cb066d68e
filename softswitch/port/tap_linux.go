package port

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TAP is a TAP device made by the port: the host's end of the cable is the interface
// itself. It needs CAP_NET_ADMIN, or a device that an administrator made for this user.
type TAP struct {
	name  string
	file  *os.File
	query *linkQuery
}

// OpenTAP makes the device, or attaches to it, and brings it up if it may.
func OpenTAP(name string) (*TAP, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("tap %s: open /dev/net/tun: %w", name, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("tap %s: attach: %w", name, err)
	}
	query, err := newLinkQuery(name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if !query.running() {
		if err := query.setUp(); err != nil {
			query.close()
			unix.Close(fd)
			return nil, err
		}
	}
	return &TAP{name: name, file: os.NewFile(uintptr(fd), name), query: query}, nil
}

// Name implements Port.
func (p *TAP) Name() string { return p.name }

// Recv implements Port; a TAP gives one frame per read.
func (p *TAP) Recv(frames [][]byte, sizes []int) (int, error) {
	n, err := p.file.Read(frames[0])
	if err != nil {
		return 0, closedError(err)
	}
	sizes[0] = n
	return 1, nil
}

// Send implements Port. A TAP never makes a writer wait: it drops.
func (p *TAP) Send(frames [][]byte) (int, error) {
	for i, frame := range frames {
		if _, err := p.file.Write(frame); err != nil {
			if transient(err) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) {
				return i, nil // down, or not a frame
			}
			return i, closedError(err)
		}
	}
	return len(frames), nil
}

// Up implements Port.
func (p *TAP) Up() bool { return p.query.running() }

// Close implements Port.
func (p *TAP) Close() error {
	p.query.close()
	return p.file.Close()
}
