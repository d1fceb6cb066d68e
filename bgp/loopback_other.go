//go:build !linux

package bgp

import (
	"errors"
	"fmt"
	"net"
)

// listenLoopback listens for connections of this process alone, which only Linux can tell from others'.
func listenLoopback(string) (net.Listener, error) {
	return nil, fmt.Errorf("listen for GoBGP on loopback, for this process alone: %w", errors.ErrUnsupported)
}
