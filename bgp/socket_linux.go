package bgp

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a TCP socket before it is a connection or a listener. It is made in the namespace and then used from anywhere. Package net could not make
// it: it looks zones up, and keeps them for the process, in the namespace of the thread that it is called on.
type socket struct {
	file *os.File
	ipv6 bool
	zone int // index of the device, for link-local addresses
}

// newSocket makes a socket of an address's family in the caller's namespace.
func newSocket(local netip.Addr, zone int) (*socket, error) {
	family := unix.AF_INET
	if local.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &socket{file: os.NewFile(uintptr(fd), "tcp"), ipv6: local.Is6(), zone: zone}, nil
}

// control runs f with the socket's descriptor.
func (s *socket) control(call string, f func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = f(int(fd)) }); err != nil {
		return err
	}
	return os.NewSyscallError(call, failure)
}

// bind gives the socket its address and the TTL of what it sends.
func (s *socket) bind(local netip.AddrPort, o options) error {
	return s.control("bind", func(fd int) error {
		if err := setSocketTTL(fd, s.ipv6, o); err != nil {
			return err
		}
		if local.Port() != 0 { // connections of an earlier listener may be there still
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return err
			}
		}
		return unix.Bind(fd, s.sockaddr(local))
	})
}

// sign has the segments to and from an address signed.
func (s *socket) sign(with netip.Addr, password string) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	return signSegments(raw, netip.PrefixFrom(with, with.BitLen()), password)
}

// setSocketTTL sets the TTL or hop limit of what a socket sends.
func setSocketTTL(fd int, ipv6 bool, o options) error {
	ttl := int(cmp.Or(o.ttl, defaultTTL))
	if ipv6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl)
}

func (s *socket) sockaddr(a netip.AddrPort) unix.Sockaddr {
	if !s.ipv6 {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	to := &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	if a.Addr().IsLinkLocalUnicast() {
		to.ZoneId = uint32(s.zone)
	}
	return to
}

// connect connects the socket, which is of no use afterwards.
func (s *socket) connect(ctx context.Context, remote netip.AddrPort) (*net.TCPConn, error) {
	defer s.file.Close()
	err := s.control("connect", func(fd int) error { return unix.Connect(fd, s.sockaddr(remote)) })
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failure error
	err = raw.Write(func(fd uintptr) (done bool) {
		done, failure = connected(int(fd))
		return done
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		err = os.NewSyscallError("connect", failure)
	}
	if err != nil {
		return nil, err
	}
	conn, err := net.FileConn(s.file)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	if err := tcp.SetKeepAlive(false); err != nil { // BGP has its own
		tcp.Close()
		return nil, err
	}
	return tcp, nil
}

// connected tells how far a connect is.
func connected(fd int) (done bool, err error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, err
	}
	if code != 0 {
		return true, syscall.Errno(code)
	}
	_, err = unix.Getpeername(fd)
	if err == unix.ENOTCONN {
		return false, nil
	}
	return true, err
}

// listen makes the socket a listener; it is of no use itself afterwards.
func (s *socket) listen() (*net.TCPListener, error) {
	defer s.file.Close()
	if err := s.control("listen", func(fd int) error { return unix.Listen(fd, backlog) }); err != nil {
		return nil, err
	}
	l, err := net.FileListener(s.file)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}
