// Package fabric is an underlay in memory: one IP router with a link per edge, for IPv4 and
// IPv6, that decrements TTLs, answers ARP, ND and ping on its own addresses, and sends the
// ICMP errors that routers send.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/nic"
	"github.com/weft-sdn/weft/testbed/wire"
)

// DefaultMTU is the MTU of the links in bytes of IP packet: room for a 1500 byte packet in
// any encapsulation.
const DefaultMTU = 1600

// maxPort is the highest link number: 10.0.N.0/30 has one byte for it.
const maxPort = 255

var (
	// ErrClosed is what operations on a closed fabric report.
	ErrClosed = errors.New("fabric is closed")
	// ErrPort means that a link number is out of range or taken.
	ErrPort = errors.New("link number is not usable")
)

// Config describes a fabric.
type Config struct {
	MTU   int              // of links that set none; zero means DefaultMTU
	Depth int              // queue of a link in frames per direction; zero: wire.DefaultDepth
	Seed  uint64           // of the losses
	Now   func() time.Time // stamps captures; nil means time.Now
}

// Counters are what the router dropped, by reason. Frames are counted by the links.
type Counters struct {
	TTLExceeded, TooBig, NoRoute, HostUnreachable, Malformed uint64
}

// Fabric is the router. It forwards from Plug on while Run runs; Close ends it for good. It
// is safe for concurrent use.
type Fabric struct {
	cfg   Config
	stack *stack.Stack

	mu     sync.Mutex
	ports  map[int]*Port
	routes []tcpip.Route
	closed bool
	run    context.Context // non-nil while Run runs
	cables sync.WaitGroup
}

// New makes a fabric without links.
func New(cfg Config) (*Fabric, error) {
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	f := &Fabric{cfg: cfg, ports: map[int]*Port{}}
	f.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocol, arp.NewProtocol, ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: true}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{icmp.NewProtocol4, icmp.NewProtocol6},
	})
	for _, proto := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if err := f.stack.SetForwardingDefaultAndAllNICs(proto, true); err != nil {
			f.stack.Destroy()
			return nil, fmt.Errorf("fabric: enable forwarding: %s", err)
		}
	}
	return f, nil
}

// Run carries frames until ctx is done. It may run once at a time.
func (f *Fabric) Run(ctx context.Context) error {
	f.mu.Lock()
	if f.run != nil {
		f.mu.Unlock()
		return errors.New("fabric runs already")
	}
	f.run = ctx
	for _, port := range f.ports {
		f.startLocked(port)
	}
	f.mu.Unlock()

	<-ctx.Done()
	f.mu.Lock()
	f.run = nil // no cable starts after this
	f.mu.Unlock()
	f.cables.Wait()
	return nil
}

func (f *Fabric) startLocked(port *Port) {
	if f.run == nil {
		return
	}
	ctx := f.run
	f.cables.Go(func() { port.cable.Run(ctx) })
}

// Close releases the router. Run must have returned.
func (f *Fabric) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	f.stack.Destroy()
}

// Counters reads the router's drops.
func (f *Fabric) Counters() Counters {
	stats := f.stack.Stats().IP
	return Counters{
		TTLExceeded:     stats.Forwarding.ExhaustedTTL.Value(),
		TooBig:          stats.Forwarding.PacketTooBig.Value(),
		NoRoute:         stats.Forwarding.Unrouteable.Value(),
		HostUnreachable: stats.Forwarding.HostUnreachable.Value(),
		Malformed:       stats.MalformedPacketsReceived.Value(),
	}
}

// Port is one link of the fabric: 10.0.N.0/30 and fd00:N::/64 (N in hexadecimal), with the
// router at .1 and ::1 and the edge at .2 and ::2.
type Port struct {
	N                  int
	MTU                int
	Edge4, Edge6       netip.Prefix // what the edge configures
	Gateway4, Gateway6 netip.Addr   // the router's addresses
	GatewayMAC         [6]byte

	cable *wire.Cable
	nic   *nic.NIC
}

// Plug adds link n (1 to 255) with the given MTU; zero means the fabric's.
func (f *Fabric) Plug(n, mtu int) (*Port, error) {
	if n < 1 || n > maxPort {
		return nil, fmt.Errorf("%w: %d is not within 1 and %d", ErrPort, n, maxPort)
	}
	if mtu == 0 {
		mtu = f.cfg.MTU
	}
	if mtu < header.IPv6MinimumMTU || mtu > 65535 {
		return nil, fmt.Errorf("fabric link %d: MTU %d is not within %d (RFC 8200) and 65535", n, mtu, header.IPv6MinimumMTU)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	if f.ports[n] != nil {
		return nil, fmt.Errorf("%w: %d is taken", ErrPort, n)
	}
	port := f.newPort(n, mtu)
	if err := f.attachLocked(port); err != nil {
		return nil, fmt.Errorf("fabric link %d: %s", n, err)
	}
	f.ports[n] = port
	port.nic.Connect(port.cable.A())
	f.startLocked(port)
	return port, nil
}

func (f *Fabric) newPort(n, mtu int) *Port {
	net4 := [4]byte{10, 0, byte(n), 0}
	net6 := [16]byte{0: 0xfd, 3: byte(n)}
	at := func(host byte) (netip.Addr, netip.Addr) {
		net4[3], net6[15] = host, host
		return netip.AddrFrom4(net4), netip.AddrFrom16(net6)
	}
	port := &Port{N: n, MTU: mtu, GatewayMAC: [6]byte{0x02, 0xfa, 0xb0, 0, 0, byte(n)}}
	port.Gateway4, port.Gateway6 = at(1)
	edge4, edge6 := at(2)
	port.Edge4, port.Edge6 = netip.PrefixFrom(edge4, 30), netip.PrefixFrom(edge6, 64)
	port.nic = nic.New(nic.Config{MAC: port.GatewayMAC, MTU: mtu})
	port.cable = wire.New(wire.Config{
		NameA: fmt.Sprintf("fabric-%d", n), NameB: fmt.Sprintf("underlay-%d", n),
		Depth: f.cfg.Depth, Seed: f.cfg.Seed + uint64(n), Now: f.cfg.Now,
	})
	return port
}

func (f *Fabric) attachLocked(port *Port) tcpip.Error {
	id := tcpip.NICID(port.N)
	if err := f.stack.CreateNIC(id, port.nic); err != nil {
		return err
	}
	for _, prefix := range []netip.Prefix{netip.PrefixFrom(port.Gateway4, 30), netip.PrefixFrom(port.Gateway6, 64)} {
		if err := f.stack.AddProtocolAddress(id, host.ProtocolAddress(prefix), stack.AddressProperties{}); err != nil {
			return err
		}
		f.routes = append(f.routes, tcpip.Route{Destination: host.Subnet(prefix), NIC: id})
	}
	f.stack.SetRouteTable(f.routes)
	return nil
}

// Route sends what is for a prefix (an edge's VTEP, say) to the edge at link n.
func (f *Fabric) Route(prefix netip.Prefix, n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	port := f.ports[n]
	if port == nil {
		return fmt.Errorf("route %s: %w: %d is not plugged", prefix, ErrPort, n)
	}
	if !prefix.IsValid() {
		return fmt.Errorf("route to link %d: invalid prefix", n)
	}
	gateway := port.Edge4.Addr()
	if prefix.Addr().Is6() {
		gateway = port.Edge6.Addr()
	}
	destination := host.Subnet(prefix.Masked())
	kept := f.routes[:0:0]
	for _, route := range f.routes {
		if route.Destination != destination {
			kept = append(kept, route)
		}
	}
	f.routes = append(kept, tcpip.Route{Destination: destination, Gateway: host.Address(gateway), NIC: tcpip.NICID(n)})
	f.stack.SetRouteTable(f.routes)
	return nil
}

// Edge is the end of the link that belongs to the edge: for a host by SetReceiver, for a
// switch by Port.
func (p *Port) Edge() *wire.End { return p.cable.B() }

// Gateway is the router's end, for its counters.
func (p *Port) Gateway() *wire.End { return p.cable.A() }

// SetUp plugs the link in or out.
func (p *Port) SetUp(up bool) { p.cable.SetUp(up) }

// SetLoss loses this share of the frames of both directions.
func (p *Port) SetLoss(share float64) { p.cable.SetLoss(share) }

// Capture writes the link's frames as pcap; nil ends it. See wire.Cable.
func (p *Port) Capture(w io.Writer) error { return p.cable.Capture(w) }

// CaptureErr is the error that ended the last capture.
func (p *Port) CaptureErr() error { return p.cable.CaptureErr() }

// NIC reads the statistics of the router's interface.
func (p *Port) NIC() nic.Counters { return p.nic.Counters() }
