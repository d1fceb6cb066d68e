// Package host is a machine with one Ethernet interface and a real TCP/IP stack, in memory.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/weft-sdn/weft/testbed/nic"
)

// DefaultMTU is the MTU of a host that was given none, in bytes.
const DefaultMTU = 1500

// nicID is the number of the one interface in the stack.
const nicID tcpip.NICID = 1

// Link carries the host's Ethernet frames; wire.End is one.
type Link = nic.Link

// Route is a static route beside the default ones.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

// Config describes a host. Addresses are usable at once: there is no duplicate address
// detection. A link-local IPv6 address is made from the MAC.
type Config struct {
	Name     string
	MAC      [6]byte
	Addrs    []netip.Prefix // IPv4 and IPv6; the prefix is on the link
	Gateways []netip.Addr   // default routes, one per family
	Routes   []Route
	MTU      int    // bytes of IP packet; zero means DefaultMTU
	VLAN     uint16 // zero means untagged
	// MaxRTO bounds how long TCP waits before it sends a segment again; zero means the stack's 2 minutes. It does not bound how long TCP goes on trying.
	MaxRTO time.Duration
}

// Host is a running machine. New powers it on, Close powers it off. It is safe for
// concurrent use.
type Host struct {
	cfg   Config
	nic   *nic.NIC
	stack *stack.Stack

	ctx      context.Context // ends with Close; bounds the services
	cancel   context.CancelFunc
	services sync.WaitGroup

	injected atomic.Uint64
	udpPorts atomic.Uint32 // how many local ports clients of UDP were given
	mu       sync.Mutex
	closed   bool
	open     map[io.Closer]struct{} // listeners and connections to close with the host
	witness  *Witness
}

// New powers a host on and plugs it into link (nil: Connect later).
func New(cfg Config, link Link) (*Host, error) {
	if err := cfg.Complete(); err != nil {
		return nil, err
	}
	h := &Host{
		cfg:  cfg,
		nic:  nic.New(nic.Config{MAC: cfg.MAC, MTU: cfg.MTU, VLAN: cfg.VLAN}),
		open: map[io.Closer]struct{}{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.witness = NewWitness(h.ctx.Done())
	if err := h.buildStack(); err != nil {
		h.Close()
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h.nic.Observe(h.witness.Observe)
	h.nic.Connect(link)
	return h, nil
}

// Complete fills in defaults and checks.
func (c *Config) Complete() error {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.MAC == ([6]byte{}) || c.MAC[0]&1 != 0 {
		return fmt.Errorf("host %s: MAC %x is not a unicast address", c.Name, c.MAC)
	}
	least := header.IPv4MinimumMTU
	for _, addr := range c.Addrs {
		if !addr.IsValid() {
			return fmt.Errorf("host %s: invalid address", c.Name)
		}
		if addr.Addr().Is6() {
			least = header.IPv6MinimumMTU
		}
	}
	if c.MTU < least || c.MTU > 65535 {
		return fmt.Errorf("host %s: MTU %d is not within %d and 65535", c.Name, c.MTU, least)
	}
	for _, gateway := range c.Gateways {
		if !gateway.IsValid() {
			return fmt.Errorf("host %s: invalid gateway", c.Name)
		}
	}
	for _, route := range c.Routes {
		if !route.Dst.IsValid() || !route.Via.IsValid() || route.Dst.Addr().Is4() != route.Via.Is4() {
			return fmt.Errorf("host %s: route %s via %s mixes families or is invalid", c.Name, route.Dst, route.Via)
		}
	}
	return nil
}

// reachable is how long a neighbour is taken to be there without being asked again (RFC 4861 §6.3.2 has 30 s): longer than any lab runs, so that
// hosts that nobody uses are silent, and a test for silence means something.
const reachable = 24 * time.Hour

func (h *Host) buildStack() error {
	h.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol, arp.NewProtocol,
			ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: h.cfg.MTU >= header.IPv6MinimumMTU}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		HandleLocal: true,
		NUDConfigs:  stack.NUDConfigurations{BaseReachableTime: reachable, DelayFirstProbeTime: reachable},
	})
	if err := h.tuneTCP(); err != nil {
		return err
	}
	if err := h.stack.CreateNIC(nicID, h.nic); err != nil {
		return fmt.Errorf("create interface: %w", stackError(err))
	}
	for _, prefix := range h.cfg.Addrs {
		if err := h.stack.AddProtocolAddress(nicID, protocolAddress(prefix), stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address %s: %w", prefix, stackError(err))
		}
	}
	h.stack.SetRouteTable(h.routes())
	return nil
}

// tcpBuffer bounds the window of a connection, in bytes. Links in memory have almost no
// delay, so a larger one gains nothing: it only overflows the links' queues, which then lose
// a thousand segments at a time.
const tcpBuffer = 256 << 10

// perseverance is for how long TCP sends a segment again before it gives the connection up, at least (R2 of RFC 1122 §4.2.3.5).
const perseverance = 100 * time.Second

func (h *Host) tuneTCP() error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	maxRTO := cmp.Or(h.cfg.MaxRTO, tcp.MaxRTO)
	longest := tcpip.TCPMaxRTOOption(maxRTO)
	tries := tcpip.TCPMaxRetriesOption(max(tcp.MaxRetries, perseverance/maxRTO)) // the stack counts tries, whatever time they take
	for _, option := range []tcpip.SettableTransportProtocolOption{
		&longest, &tries, &sack, &moderate,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer / 2, Max: tcpBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer / 2, Max: tcpBuffer},
	} {
		if err := h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set TCP option %T: %w", option, stackError(err))
		}
	}
	return nil
}

// routes is the route table: on-link prefixes, static routes, then defaults; the stack
// prefers the longest prefix.
func (h *Host) routes() []tcpip.Route {
	var table []tcpip.Route
	for _, prefix := range h.cfg.Addrs {
		table = append(table, tcpip.Route{Destination: subnet(prefix), NIC: nicID})
	}
	table = append(table, tcpip.Route{Destination: subnet(netip.MustParsePrefix("fe80::/64")), NIC: nicID})
	for _, route := range h.cfg.Routes {
		table = append(table, tcpip.Route{Destination: subnet(route.Dst), Gateway: address(route.Via), NIC: nicID})
	}
	for _, gateway := range h.cfg.Gateways {
		any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			any = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		table = append(table, tcpip.Route{Destination: subnet(any), Gateway: address(gateway), NIC: nicID})
	}
	return table
}

// Gateways are the default routers of the configuration.
func (h *Host) Gateways() []netip.Addr { return h.cfg.Gateways }

// Name is the name in the configuration.
func (h *Host) Name() string { return h.cfg.Name }

// MAC is the hardware address.
func (h *Host) MAC() [6]byte { return h.cfg.MAC }

// Addr4 is the first IPv4 address, or invalid.
func (h *Host) Addr4() netip.Addr { return h.firstAddr(netip.Addr.Is4) }

// Addr6 is the first IPv6 address of the configuration, or invalid.
func (h *Host) Addr6() netip.Addr { return h.firstAddr(netip.Addr.Is6) }

// Addrs are the addresses of the configuration.
func (h *Host) Addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, prefix := range h.cfg.Addrs {
		addrs = append(addrs, prefix.Addr())
	}
	return addrs
}

func (h *Host) firstAddr(is func(netip.Addr) bool) netip.Addr {
	for _, prefix := range h.cfg.Addrs {
		if is(prefix.Addr()) {
			return prefix.Addr()
		}
	}
	return netip.Addr{}
}

// Connect moves the host to another link, as a VM that migrates; nil unplugs it.
func (h *Host) Connect(link Link) { h.nic.Connect(link) }

// Inject puts a frame on the link as it is, whatever the stack thinks of it.
func (h *Host) Inject(frame []byte) {
	h.injected.Add(1)
	h.nic.Send(frame)
}

// InjectAll puts frames on the link, in the host's VLAN, no faster than the link takes them.
func (h *Host) InjectAll(ctx context.Context, frames iter.Seq[[]byte]) error {
	return h.nic.SendAll(ctx, func(yield func([]byte) bool) {
		for frame := range frames {
			h.injected.Add(1)
			if !yield(frame) {
				return
			}
		}
	})
}

// ForgetNeighbours empties the ARP and ND caches.
func (h *Host) ForgetNeighbours() error {
	return errors.Join(
		stackError(h.stack.ClearNeighbors(nicID, ipv4.ProtocolNumber)),
		stackError(h.stack.ClearNeighbors(nicID, ipv6.ProtocolNumber)))
}

// Close powers the host off: services end, connections are reset, the link is unplugged.
// It returns when all goroutines of the host have.
func (h *Host) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	open := h.open
	h.open = nil
	h.mu.Unlock()

	h.cancel()
	for c := range open {
		c.Close()
	}
	h.services.Wait()
	h.nic.Connect(nil)
	if h.stack != nil {
		h.stack.Destroy()
	}
}

// start runs a service that ends when what it serves is closed with the host.
func (h *Host) start(c io.Closer, serve func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.open[c] = struct{}{}
	h.services.Go(func() {
		defer h.forget(c)
		serve()
	})
	return nil
}

func (h *Host) forget(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, c)
}
