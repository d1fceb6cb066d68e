package bgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// listenLoopback listens at a free port of 127.0.0.1 and takes only connections whose segments are signed with a secret, whatever address they come from.
// A kernel without TCP MD5 has no other way to tell this process's connections from other local processes' that holds in both directions, so it is refused.
func listenLoopback(secret string) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false) // it can not be signed
	config.Control = func(_, _ string, socket syscall.RawConn) error {
		return signSegments(socket, netip.PrefixFrom(netip.IPv4Unspecified(), 0), secret)
	}
	l, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for GoBGP on loopback, for this process alone: %w", err)
	}
	return l, nil
}
