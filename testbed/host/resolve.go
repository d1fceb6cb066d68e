package host

import (
	"context"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Resolve returns the MAC of a neighbour, by ARP or ND if it is not known yet.
func (h *Host) Resolve(ctx context.Context, addr netip.Addr) ([6]byte, error) {
	found := make(chan stack.LinkResolutionResult, 1)
	err := h.stack.GetLinkAddress(nicID, address(addr), tcpip.Address{}, protocol(addr), func(r stack.LinkResolutionResult) { found <- r })
	if _, waits := err.(*tcpip.ErrWouldBlock); err != nil && !waits {
		return [6]byte{}, fmt.Errorf("host %s: resolve %s: %w", h.cfg.Name, addr, stackError(err))
	}
	select {
	case r := <-found:
		if r.Err != nil {
			return [6]byte{}, fmt.Errorf("host %s: resolve %s: %w", h.cfg.Name, addr, stackError(r.Err))
		}
		return [6]byte([]byte(r.LinkAddress)), nil
	case <-ctx.Done():
		return [6]byte{}, fmt.Errorf("host %s: resolve %s: %w", h.cfg.Name, addr, context.Cause(ctx))
	case <-h.ctx.Done():
		return [6]byte{}, ErrClosed
	}
}
