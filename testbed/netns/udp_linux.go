package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weft-sdn/weft/testbed/host"
)

// maxDatagram is the longest UDP payload in bytes.
const maxDatagram = 65507

// ServeUDPEcho implements scenario.Machine. Each answer is from the address that was asked, whichever of the machine's that is.
func (h *Host) ServeUDPEcho(port uint16) error {
	var conn *net.UDPConn
	err := h.ns.do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
		return err
	})
	if err == nil {
		err = tellDestinations(conn)
	}
	if err != nil {
		return fmt.Errorf("host %s: listen on UDP port %d: %w", h.cfg.Name, port, err)
	}
	h.serve(func() {
		buf, asked := make([]byte, maxDatagram), make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		for {
			n, info, _, from, err := conn.ReadMsgUDPAddrPort(buf, asked)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _, _ = conn.WriteMsgUDPAddrPort(buf[:n], asked[:info], from) // no way back to the sender: it will see a timeout
			}
		}
	}, func() { _ = conn.Close() })
	return nil
}

// tellDestinations has a socket of both IP versions tell with each datagram which address it was for (RFC 3542 section 6.2).
func tellDestinations(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) })
	return errors.Join(err, failure)
}

// EchoUDP implements scenario.Machine.
func (h *Host) EchoUDP(ctx context.Context, to netip.AddrPort, payload []byte, timeout time.Duration) (time.Duration, error) {
	fail := func(err error) (time.Duration, error) {
		return 0, fmt.Errorf("host %s: UDP to %s: %w", h.cfg.Name, to, err)
	}
	conn, err := h.dial("udp", to)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	for _, c := range []context.Context{ctx, h.ctx} {
		stop := context.AfterFunc(c, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	watch := h.witness.Watch(host.ProtoUDP, to.Addr(), local)
	defer watch.Close()
	begin := time.Now()
	if err := conn.SetReadDeadline(begin.Add(timeout)); err != nil {
		return fail(err)
	}
	if _, err := conn.Write(payload); err != nil {
		return fail(err)
	}
	buf := make([]byte, maxDatagram)
	n, err := conn.Read(buf)
	rtt := time.Since(begin)
	switch {
	case err == nil && bytes.Equal(buf[:n], payload):
		return rtt, nil
	case err == nil:
		return fail(host.ErrCorrupt)
	case len(watch.Errors()) > 0:
		return fail(<-watch.Errors())
	case ctx.Err() != nil || h.ctx.Err() != nil:
		return fail(h.ended(ctx, err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fail(host.ErrTimeout)
	}
	return fail(err)
}

// dial connects a socket of the namespace.
func (h *Host) dial(network string, to netip.AddrPort) (conn net.Conn, err error) {
	err = h.ns.do(func() error {
		conn, err = net.Dial(network, to.String())
		return err
	})
	return conn, err
}

// Resolve implements scenario.Machine: a datagram makes the kernel ask for the neighbour.
func (h *Host) Resolve(ctx context.Context, addr netip.Addr) (mac [6]byte, err error) {
	const discard, interval = 9, 5 * time.Millisecond
	fail := func(err error) ([6]byte, error) {
		return [6]byte{}, fmt.Errorf("host %s: resolve %s: %w", h.cfg.Name, addr, err)
	}
	if mac, err = h.neighbour(addr); err == nil && mac != [6]byte{} {
		return mac, nil
	}
	conn, err := h.dial("udp", netip.AddrPortFrom(addr, discard))
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0}); err != nil {
		return fail(err)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if mac, err = h.neighbour(addr); err != nil || mac != [6]byte{} {
			return mac, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fail(context.Cause(ctx))
		case <-h.ctx.Done():
			return fail(host.ErrClosed)
		}
	}
}

// neighbour is what the kernel knows of a neighbour; zero: nothing yet.
func (h *Host) neighbour(addr netip.Addr) (mac [6]byte, err error) {
	err = h.ns.do(func() error {
		family := netlink.FAMILY_V4
		if addr.Is6() {
			family = netlink.FAMILY_V6
		}
		all, err := netlink.NeighList(h.index, family)
		for _, one := range all {
			ip, _ := netip.AddrFromSlice(one.IP)
			if ip.Unmap() == addr && len(one.HardwareAddr) == len(mac) && one.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE|netlink.NUD_NONE) == 0 {
				mac = [6]byte(one.HardwareAddr)
			}
		}
		return err
	})
	return mac, err
}
