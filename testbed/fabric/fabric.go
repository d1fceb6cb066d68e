// Package fabric is an underlay in memory: one IP router with a link per edge, for IPv4 and
// IPv6, that decrements TTLs, fragments IPv4, answers ARP, ND and ping on its own addresses,
// sends the ICMP errors that routers send, and sends multicast to the links whose edges ask for it.
//
// Each link has a goroutine per direction; a packet is routed on that of the link it came in
// by, and copied once more, onto the link it leaves by.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weft-sdn/weft/packet"
)

// DefaultMTU is the MTU of the links in bytes of IP packet: room for a 1500 byte packet in
// any encapsulation.
const DefaultMTU = 1600

const (
	maxPort = 255  // 10.0.N.0/30 has one byte for N
	minMTU  = 1280 // RFC 8200 section 5
	maxMTU  = 65535
)

var (
	// ErrPort means that a link number is out of range, taken or unknown.
	ErrPort = errors.New("link number is not usable")
	// ErrRunning means that Run was called twice.
	ErrRunning = errors.New("fabric runs already")
)

// Config describes a fabric.
type Config struct {
	MTU   int              // of links that set none; zero means DefaultMTU
	Depth int              // queue of a link in frames per direction; zero: that of wire
	Seed  uint64           // of the losses
	Now   func() time.Time // stamps captures, ages neighbours; nil means time.Now
}

// Fabric is the router. Links may be plugged while Run runs. It is safe for concurrent use.
type Fabric struct {
	cfg      Config
	routes   atomic.Pointer[bart.Table[route]] // replaced, never changed
	plugged  atomic.Pointer[[]*Port]           // likewise
	counters counters

	mu     sync.Mutex // guards what follows, and orders changes of routes
	ports  map[int]*Port
	run    context.Context // non-nil while Run runs
	cables sync.WaitGroup
}

// route is where packets for a prefix go: to the router itself, to a neighbour on the link,
// or by way of the edge.
type route struct {
	local bool
	port  *Port
	via   netip.Addr // invalid: the destination is on the link
	other *route     // in its place while the link is down; nil: none
}

// New makes a fabric without links.
func New(cfg Config) (*Fabric, error) {
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.MTU < minMTU || cfg.MTU > maxMTU {
		return nil, fmt.Errorf("fabric: MTU %d is not within %d (RFC 8200) and %d", cfg.MTU, minMTU, maxMTU)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Fabric{cfg: cfg, ports: map[int]*Port{}}
	f.routes.Store(new(bart.Table[route]))
	return f, nil
}

// Run carries frames until ctx is done.
func (f *Fabric) Run(ctx context.Context) error {
	f.mu.Lock()
	if f.run != nil {
		f.mu.Unlock()
		return ErrRunning
	}
	f.run = ctx
	for _, port := range f.ports {
		f.startLocked(port)
	}
	f.mu.Unlock()

	<-ctx.Done()
	f.cables.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run = nil
	return nil
}

// startLocked carries the frames of a link, if the fabric runs.
func (f *Fabric) startLocked(port *Port) {
	if ctx := f.run; ctx != nil && ctx.Err() == nil {
		f.cables.Go(func() { port.cable.Run(ctx) })
	}
}

// Plug adds link n (1 to 255) with the given MTU; zero means the fabric's.
func (f *Fabric) Plug(n, mtu int) (*Port, error) {
	if n < 1 || n > maxPort {
		return nil, fmt.Errorf("%w: %d is not within 1 and %d", ErrPort, n, maxPort)
	}
	if mtu == 0 {
		mtu = f.cfg.MTU
	}
	if mtu < minMTU || mtu > maxMTU {
		return nil, fmt.Errorf("fabric link %d: MTU %d is not within %d (RFC 8200) and %d", n, mtu, minMTU, maxMTU)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ports[n] != nil {
		return nil, fmt.Errorf("%w: %d is taken", ErrPort, n)
	}
	port := newPort(f, n, mtu)
	f.ports[n] = port
	plugged := append(slices.Clone(f.links()), port)
	f.plugged.Store(&plugged)
	routes := f.routes.Load().Clone()
	for _, prefix := range []netip.Prefix{port.Edge4, port.Edge6} {
		routes.Insert(prefix.Masked(), route{port: port})
	}
	for _, own := range []netip.Addr{port.Gateway4, port.Gateway6} {
		routes.Insert(netip.PrefixFrom(own, own.BitLen()), route{local: true, port: port})
	}
	f.routes.Store(routes)
	port.cable.A().SetReceiver(port.receive)
	f.startLocked(port)
	return port, nil
}

// Route sends what is for a prefix (an edge's VTEP, say) to the edge at link n, in place of
// where it went before: while that link is down, by the first of the others that is up.
func (f *Fabric) Route(prefix netip.Prefix, n int, others ...int) error {
	if !prefix.IsValid() {
		return fmt.Errorf("route to link %d: invalid prefix", n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var to *route
	for _, n := range slices.Backward(append([]int{n}, others...)) {
		port := f.ports[n]
		if port == nil {
			return fmt.Errorf("route %s: %w: %d is not plugged", prefix, ErrPort, n)
		}
		via := port.Edge4.Addr()
		if prefix.Addr().Is6() {
			via = port.Edge6.Addr()
		}
		to = &route{port: port, via: via, other: to}
	}
	f.routes.Store(f.routes.Load().InsertPersist(prefix.Masked(), *to))
	return nil
}

// now is the route, or the one in its place while links are down.
func (r route) now() route {
	for to := &r; to != nil; to = to.other {
		if to.local || to.port.Up() {
			return *to
		}
	}
	return r
}

// links are all links that are plugged.
func (f *Fabric) links() []*Port {
	if all := f.plugged.Load(); all != nil {
		return *all
	}
	return nil
}

// Unroute forgets a route.
func (f *Fabric) Unroute(prefix netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	routes := f.routes.Load().Clone()
	routes.Delete(prefix.Masked())
	f.routes.Store(routes)
}

// Counters are what became of the packets that the router received. Frames are counted by
// the links' ends.
type Counters struct {
	Forwarded, Local                      uint64
	Multicast                             uint64 // copies sent
	Members                               uint64 // multicast groups that edges want, now
	Malformed, Foreign, TTLExceeded       uint64
	TooBig, NoRoute, HostUnreachable      uint64
	NeighbourOverflow, Fragmented, Errors uint64 // Errors: ICMP errors sent
}

type counters struct {
	multicast                                            atomic.Uint64
	forwarded, local, malformed, foreign, ttlExceeded    atomic.Uint64
	tooBig, noRoute, hostUnreachable, overflow, fragment atomic.Uint64
	errors                                               atomic.Uint64
}

// Counters reads the statistics.
func (f *Fabric) Counters() Counters {
	c := &f.counters
	members := uint64(0)
	for _, port := range f.links() {
		members += uint64(len(port.Members()))
	}
	return Counters{
		Forwarded: c.forwarded.Load(), Local: c.local.Load(), Multicast: c.multicast.Load(), Members: members, Malformed: c.malformed.Load(), Foreign: c.foreign.Load(),
		TTLExceeded: c.ttlExceeded.Load(), TooBig: c.tooBig.Load(), NoRoute: c.noRoute.Load(),
		HostUnreachable: c.hostUnreachable.Load(), NeighbourOverflow: c.overflow.Load(),
		Fragmented: c.fragment.Load(), Errors: c.errors.Load(),
	}
}

func portMAC(n int) packet.MAC { return packet.MAC{0x02, 0xfa, 0xb0, 0, 0, byte(n)} }
