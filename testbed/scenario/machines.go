package scenario

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

const (
	pingTimeout = time.Second
	tapDepth    = 4096 // frames that expect can look back at
)

// Machines is the part of a Lab that concerns hosts: it starts the services that steps need
// on the hosts that they are for.
type Machines struct {
	mu    sync.Mutex
	hosts map[string]*machine
}

type machine struct {
	*host.Host
	tap    *host.Tap
	served map[service]bool
}

type service struct {
	proto string // sink, http, echo
	port  uint16
}

// NewMachines has no hosts yet.
func NewMachines() *Machines { return &Machines{hosts: map[string]*machine{}} }

// Add takes in a host under its name. It stays the caller's to close.
func (m *Machines) Add(h *host.Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[h.Name()] = &machine{Host: h, tap: h.Tap(tapDepth), served: map[service]bool{}}
}

// Host returns a host by name, or nil.
func (m *Machines) Host(name string) *host.Host {
	if one := m.machine(name); one != nil {
		return one.Host
	}
	return nil
}

func (m *Machines) machine(name string) *machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hosts[name]
}

// Ping implements Lab.
func (m *Machines) Ping(ctx context.Context, p Ping) error {
	return m.each(ctx, p.From, p.To, p.Family, p.Outcome, p.Within, service{}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		_, err := from.PingWith(ctx, to.Addr(), host.PingConfig{
			Count: p.Count, Size: p.Size, TTL: p.TTL, DontFragment: p.DontFragment, Timeout: min(pingTimeout, p.Within),
		})
		return err
	})
}

// TCP implements Lab.
func (m *Machines) TCP(ctx context.Context, t TCP) error {
	return m.each(ctx, t.From, t.To, t.Family, t.Outcome, t.Within, service{"sink", t.To.Port}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		_, err := from.Push(ctx, to, t.Bytes)
		return err
	})
}

// HTTP implements Lab.
func (m *Machines) HTTP(ctx context.Context, h HTTP) error {
	return m.each(ctx, h.From, h.To, h.Family, h.Outcome, h.Within, service{"http", h.To.Port}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		_, err := from.Fetch(ctx, to, h.Bytes)
		return err
	})
}

// UDP implements Lab.
func (m *Machines) UDP(ctx context.Context, u UDP) error {
	payload := make([]byte, u.Size)
	rand.Read(payload)
	return m.each(ctx, u.From, u.To, u.Family, u.Outcome, u.Within, service{"echo", u.To.Port}, func(ctx context.Context, from *machine, to netip.AddrPort) error {
		for range u.Count {
			if _, err := from.EchoUDP(ctx, to, payload, u.Within); err != nil {
				return err
			}
		}
		return nil
	})
}

// Raw implements Lab.
func (m *Machines) Raw(_ context.Context, r Raw) error {
	from := m.machine(r.Host)
	if from == nil {
		return fmt.Errorf("%w: no host %s", ErrLab, r.Host)
	}
	m.observeAnew()
	for range r.Count {
		for _, frame := range r.Frames {
			from.Inject(frame)
		}
	}
	return nil
}

func (m *Machines) observeAnew() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.hosts {
		one.tap.Close()
		one.tap = one.Tap(tapDepth)
	}
}

// Received implements Lab.
func (m *Machines) Received(ctx context.Context, name string, match func(frame []byte) bool) error {
	one := m.machine(name)
	if one == nil {
		return fmt.Errorf("%w: no host %s", ErrLab, name)
	}
	_, err := m.tap(one).Wait(ctx, match)
	return err
}

func (m *Machines) tap(one *machine) *host.Tap {
	m.mu.Lock()
	defer m.mu.Unlock()
	return one.tap
}

// each does an operation towards each address of the target, within the same time each, and
// checks how each ended.
func (m *Machines) each(ctx context.Context, fromName string, to Target, family Family, outcome Outcome, within time.Duration,
	need service, do func(context.Context, *machine, netip.AddrPort) error,
) error {
	from := m.machine(fromName)
	if from == nil {
		return fmt.Errorf("%w: no host %s", ErrLab, fromName)
	}
	addrs, err := m.resolve(from, to, family)
	if err != nil {
		return err
	}
	if err := m.serve(to, need); err != nil {
		return fmt.Errorf("%w: %w", ErrLab, err)
	}
	for _, addr := range addrs {
		timed, cancel := context.WithTimeout(ctx, within)
		err := do(timed, from, netip.AddrPortFrom(addr, to.Port))
		cancel()
		if err := outcome.Check(err); err != nil {
			return err
		}
	}
	return nil
}

// resolve returns the target's addresses: of a host the first of each family that the source
// has as well.
func (m *Machines) resolve(from *machine, to Target, family Family) ([]netip.Addr, error) {
	if to.Addr.IsValid() {
		return []netip.Addr{to.Addr}, nil
	}
	target := m.machine(to.Host)
	if target == nil {
		return nil, fmt.Errorf("%w: no host %s", ErrLab, to.Host)
	}
	var addrs []netip.Addr
	if family != IPv6 && from.Addr4().IsValid() && target.Addr4().IsValid() {
		addrs = append(addrs, target.Addr4())
	}
	if family != IPv4 && from.Addr6().IsValid() && target.Addr6().IsValid() {
		addrs = append(addrs, target.Addr6())
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: hosts %s and %s have no IP version in common that the step wants", ErrLab, from.Name(), to.Host)
	}
	return addrs, nil
}

// serve starts a service on the host that a target means. An address of no host is somebody
// else's affair.
func (m *Machines) serve(to Target, need service) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.hosts[to.Host]
	if to.Addr.IsValid() {
		for _, candidate := range m.hosts {
			if slices.Contains(candidate.Addrs(), to.Addr) {
				one = candidate
			}
		}
	}
	if one == nil || one.served[need] {
		return nil
	}
	var err error
	switch need.proto {
	case "sink":
		err = one.ServeSink(need.port)
	case "http":
		err = one.ServeHTTP(need.port)
	case "echo":
		err = one.ServeUDPEcho(need.port)
	}
	one.served[need] = err == nil
	return err
}

// HostCounter reads a counter of a host; false if there is no such host.
func (m *Machines) HostCounter(name, counter string) (value uint64, ok bool, err error) {
	one := m.machine(name)
	if one == nil {
		return 0, false, nil
	}
	c := one.Counters()
	values := map[string]uint64{
		"frames_sent": c.FramesSent, "frames_received": c.FramesReceived, "bytes_sent": c.BytesSent, "bytes_received": c.BytesReceived,
		"foreign": c.Foreign, "malformed": c.Malformed, "injected": c.Injected, "packets_sent": c.PacketsSent,
		"packets_received": c.PacketsReceived, "tcp_retransmits": c.TCPRetransmits, "udp_received": c.UDPReceived,
		"checksum_errors": c.TCPChecksumErrors + c.UDPChecksums,
	}
	value, known := values[counter]
	if !known {
		names := make([]string, 0, len(values))
		for name := range values {
			names = append(names, name)
		}
		slices.Sort(names)
		return 0, true, fmt.Errorf("%w: host %s has no counter %q; it has %s", ErrLab, name, counter, strings.Join(names, ", "))
	}
	return value, true, nil
}

// Config is the host's configuration as far as its line gives it.
func (h Host) Config() host.Config {
	return host.Config{Name: h.Name, MAC: h.MAC, Addrs: h.Addrs, Gateways: h.Gateways, Routes: h.Routes, MTU: h.MTU, VLAN: h.VLAN}
}
