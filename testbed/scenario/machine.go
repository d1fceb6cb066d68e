package scenario

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// Machine is a host of a lab with one Ethernet interface: *host.Host is one in memory, *netns.Host a network namespace.
type Machine interface {
	Name() string
	MAC() [6]byte
	Addrs() []netip.Addr
	// Connect plugs the machine into a link, in place of the one before; nil unplugs it.
	Connect(link host.Link)
	// Gateways are the default routers, at most one of a family.
	Gateways() []netip.Addr
	// InjectAll puts frames on the link, in the machine's VLAN and past its own stack, no faster than the link takes them.
	InjectAll(ctx context.Context, frames iter.Seq[[]byte]) error
	// Tap records what the machine receives.
	Tap(depth int) *host.Tap
	// Resolve returns the MAC of a neighbour.
	Resolve(ctx context.Context, addr netip.Addr) ([6]byte, error)
	PingWith(ctx context.Context, to netip.Addr, cfg host.PingConfig) (host.PingResult, error)
	Trace(ctx context.Context, to netip.Addr, maxHops uint8) ([]host.Hop, error)
	// PushAt and FetchAt move n bytes by TCP and HTTP, at a pace (nil: as fast as may be).
	PushAt(ctx context.Context, to netip.AddrPort, n int64, pace host.Pace) (host.Transfer, error)
	FetchAt(ctx context.Context, from netip.AddrPort, n int64, pace host.Pace) (host.Transfer, error)
	EchoUDP(ctx context.Context, to netip.AddrPort, payload []byte, timeout time.Duration) (time.Duration, error)
	ServeSink(port uint16) error
	ServeHTTP(port uint16) error
	ServeUDPEcho(port uint16) error
	Counters() host.Counters
	// Close powers the machine off and returns when nothing of it runs any more.
	Close()
}

// PowerOn makes a machine and plugs it into a link: host.New in memory (InMemory), netns.New for a namespace.
type PowerOn func(cfg host.Config, link host.Link) (Machine, error)

// InMemory powers machines with a userspace TCP/IP stack on.
func InMemory(cfg host.Config, link host.Link) (Machine, error) {
	h, err := host.New(cfg, link)
	if err != nil {
		return nil, err
	}
	return h, nil
}
