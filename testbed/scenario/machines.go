package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/weft-sdn/weft/testbed/host"
)

// tapDepth is how many frames expect can look back at.
const tapDepth = 4096

// Machines is the part of a Lab that concerns hosts: it starts the services that steps need
// on the hosts that they are for.
type Machines struct {
	mu    sync.Mutex
	hosts map[string]*machine
}

var _ Hosts = (*Machines)(nil)

type machine struct {
	Machine
	tap    *host.Tap
	served map[service]bool
	bgp    *host.BGP // nil: it has no session
}

type service struct {
	proto string // sink, http, echo
	port  uint16
}

// NewMachines has no hosts yet.
func NewMachines() *Machines { return &Machines{hosts: map[string]*machine{}} }

// Add takes in a host under its name. It stays the caller's to close.
func (m *Machines) Add(h Machine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[h.Name()] = &machine{Machine: h, tap: h.Tap(tapDepth), served: map[service]bool{}}
}

// Host returns a host by name, or nil.
func (m *Machines) Host(name string) Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.hosts[name]; one != nil {
		return one.Machine
	}
	return nil
}

// machine returns a host by name, or the lab's failure.
func (m *Machines) machine(name string) (*machine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.hosts[name]; one != nil {
		return one, nil
	}
	return nil, fmt.Errorf("%w: no host %s", ErrLab, name)
}

// Address implements Hosts.
func (m *Machines) Address(name string, family Family) (netip.Addr, error) {
	one, err := m.machine(name)
	if err != nil {
		return netip.Addr{}, err
	}
	if addr := one.address(family); addr.IsValid() {
		return addr, nil
	}
	return netip.Addr{}, fmt.Errorf("%w: host %s has no IPv%d address", ErrLab, name, family)
}

// address is the first address in a family, or invalid.
func (one *machine) address(family Family) netip.Addr {
	for _, addr := range one.Addrs() {
		if familyOf(addr) == family {
			return addr
		}
	}
	return netip.Addr{}
}

// resolve returns the target's addresses: of a host the first of each family that the source
// has as well.
func (m *Machines) resolve(from *machine, to Target, family Family) ([]netip.Addr, error) {
	if to.Addr.IsValid() {
		return []netip.Addr{to.Addr}, nil
	}
	target, err := m.machine(to.Host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, f := range []Family{IPv4, IPv6} {
		if family != Both && family != f || !from.address(f).IsValid() {
			continue
		}
		if addr := target.address(f); addr.IsValid() {
			addrs = append(addrs, addr)
		}
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
	one, err := m.machine(name)
	if err != nil {
		return 0, false, nil
	}
	values := hostCounters(one.Counters())
	value, known := values[counter]
	if !known {
		return 0, true, fmt.Errorf("%w: host %s has no counter %q; it has %s", ErrLab, name, counter, strings.Join(HostCounters(), ", "))
	}
	return value, true, nil
}

// HostCounters are the names of a host's counters, in order.
func HostCounters() []string { return slices.Sorted(maps.Keys(hostCounters(host.Counters{}))) }

func hostCounters(c host.Counters) map[string]uint64 {
	return map[string]uint64{
		"frames_sent": c.FramesSent, framesReceived: c.FramesReceived, "bytes_sent": c.BytesSent, "bytes_received": c.BytesReceived,
		"foreign": c.Foreign, "malformed": c.Malformed, "injected": c.Injected, "packets_sent": c.PacketsSent,
		"packets_received": c.PacketsReceived, "tcp_retransmits": c.TCPRetransmits, "udp_received": c.UDPReceived,
		"checksum_errors": c.TCPChecksumErrors + c.UDPChecksums,
	}
}

// framesReceived is the counter of every frame that a host's link delivered.
const framesReceived = "frames_received"

// Config is the host's configuration as far as its line gives it.
func (h Host) Config() host.Config {
	return host.Config{Name: h.Name, MAC: h.MAC, Addrs: h.Addrs, Gateways: h.Gateways, Routes: h.Routes, MTU: h.MTU, VLAN: h.VLAN}
}
