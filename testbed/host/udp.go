package host

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"
)

// maxDatagram is the longest UDP payload in bytes.
const maxDatagram = 65507

// ServeUDPEcho answers every datagram to port with its own payload, until the host closes.
func (h *Host) ServeUDPEcho(port uint16) error {
	conn, err := h.ListenUDP(port)
	if err != nil {
		return err
	}
	err = h.start(conn, func() {
		buf := make([]byte, maxDatagram)
		for h.ctx.Err() == nil {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				if h.ctx.Err() == nil {
					continue // an ICMP error about an earlier reply
				}
				return
			}
			if _, err := conn.WriteTo(buf[:n], from); err != nil {
				continue // no way back to the sender; it will see a timeout
			}
		}
	})
	if err != nil {
		conn.Close()
	}
	return err
}

// EchoUDP sends one datagram to an echo service and waits for its return. The error is
// *ICMPError, ErrTimeout, ErrCorrupt or one of the stack, wrapped.
func (h *Host) EchoUDP(ctx context.Context, to netip.AddrPort, payload []byte, timeout time.Duration) (time.Duration, error) {
	conn, port, err := h.dialUDP(to)
	if err != nil {
		return 0, err
	}
	watch := h.witness.Watch(ProtoUDP, to.Addr(), port)
	defer watch.Close()
	answer := make(chan error, 1)
	begin := time.Now()
	if _, err := conn.Write(payload); err != nil {
		conn.Close()
		return 0, fmt.Errorf("host %s: UDP to %s: %w", h.cfg.Name, to, err)
	}
	go func() {
		buf := make([]byte, maxDatagram)
		n, err := conn.Read(buf)
		if err == nil && !bytes.Equal(buf[:n], payload) {
			err = ErrCorrupt
		}
		answer <- err
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	ended := false
	select {
	case icmpErr := <-watch.got:
		err = icmpErr
	case err = <-answer:
		ended = true
	case <-timer.C:
		err = ErrTimeout
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-h.ctx.Done():
		err = ErrClosed
	}
	rtt := time.Since(begin)
	conn.Close()
	if !ended {
		conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		<-answer
	}
	if err != nil && len(watch.got) > 0 {
		err = <-watch.got // the ICMP error behind a socket error
	}
	if err != nil {
		return rtt, fmt.Errorf("host %s: UDP to %s: %w", h.cfg.Name, to, err)
	}
	return rtt, nil
}
