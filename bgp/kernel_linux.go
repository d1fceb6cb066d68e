package bgp

import (
	"errors"
	"fmt"
	"net/netip"
)

// newKernel makes the network of a port in a network namespace, which only Linux has.
func newKernel(name string, _ []netip.Addr, _ int, _ func(packet []byte)) (network, error) {
	return nil, fmt.Errorf("port %s: a kernel's TCP/IP stack for a port: %w", name, errors.ErrUnsupported)
}
