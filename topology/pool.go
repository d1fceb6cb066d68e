package topology

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
)

// Method is how a pool chooses a member for a connection.
type Method uint8

// Methods.
const (
	MethodHash   Method = iota // by hash of the connection
	MethodSource               // by hash of the client's address
	MethodTurn                 // in turn, by edge
	MethodLeast                // the one with the fewest connections for its weight, by edge
)

var methodNames = [...]string{"hash", "source", "roundRobin", "leastConnections"}

// String returns the word that a pool has for it.
func (m Method) String() string { return methodNames[m] }

// Pool is a set of servers (N4). Read-only.
type Pool struct {
	ID      DeviceID
	Name    string
	Tenant  string
	Method  Method
	Members []Member
	Sticky  time.Duration // 0: clients are not remembered
	Monitor *Monitor      // nil: members are up
	Watcher string        // edge that runs the monitor; "": none does yet

	ref  Ref
	spec *PoolSpec
	uses map[string]uint32
}

// Member is a server of a pool.
type Member struct {
	MemberKey
	Weight uint8 // at least 1
	Drain  bool
	Until  time.Time // it drains, and connections that are left then are ended; zero: they are kept
	Down   bool      // the monitor says so
}

// MemberKey names a member within its pool. Comparable.
type MemberKey struct {
	Addr flow.Addr
	Port uint16 // 0: that of the packet
	V6   bool
}

// MemberAt names the member with an address, and port.
func MemberAt(a netip.Addr, port uint16) MemberKey { return MemberKey{flow.AddrOf(a), port, a.Is6()} }

// IP returns the member's address.
func (m MemberKey) IP() netip.Addr {
	if m.V6 {
		return netip.AddrFrom16(m.Addr)
	}
	return netip.AddrFrom4([4]byte(m.Addr[12:]))
}

// String returns the form 10.0.0.1:80, or 10.0.0.1 if the member takes any port.
func (m MemberKey) String() string {
	if m.Port == 0 {
		return m.IP().String()
	}
	return netip.AddrPortFrom(m.IP(), m.Port).String()
}

// Open reports whether the member gets new connections.
func (m *Member) Open() bool { return !m.Drain && !m.Down }

// Ended reports whether the member's connections end now: it is down, or the time that it had to drain is over.
func (m *Member) Ended(now time.Time) bool {
	return m.Down || !m.Until.IsZero() && !now.Before(m.Until)
}

// PoolClient is who asks a pool. Comparable.
type PoolClient struct {
	Pool DeviceID
	Addr flow.Addr
	V6   bool
}

// Monitor is how members are probed.
type Monitor struct {
	Type              string // icmp, tcp, http
	Port              uint16 // 0: the member's
	Path              string
	Interval, Timeout time.Duration
	Rise, Fall        uint8
	Source            flow.VPortID
}

// Member returns the member that a connection to an address and port goes to, nil if it is none of the pool's.
func (p *Pool) Member(a flow.Addr, port uint16, v6 bool) *Member {
	for i := range p.Members {
		if m := &p.Members[i]; m.Addr == a && m.V6 == v6 && (m.Port == port || m.Port == 0) {
			return m
		}
	}
	return nil
}

// Pool returns a pool, nil if there is none, or if it is not loaded.
func (s *Snapshot) Pool(id DeviceID) *Pool { return s.pools.get(uint32(id)) }

// Pools returns all pools in order of id.
func (s *Snapshot) Pools() func(func(*Pool) bool) { return s.pools.all() }

// Probed returns the pools whose members are probed from a port, in order.
func (s *Snapshot) Probed(source flow.VPortID) []DeviceID { return s.probed[source] }

// health is what a pool's monitor says.
type health struct {
	down    map[MemberKey]bool
	watcher string
}

// MemberHealth is what a monitor says of a member. A member of which nothing is said is up.
type MemberHealth struct {
	Pool   DeviceID
	Member MemberKey
	Down   bool
}

// PoolWatcher is the edge that runs a pool's monitor.
type PoolWatcher struct {
	Pool DeviceID
	Edge string // "": none any more
}

func (s *PoolSpec) monitor(uses map[string]uint32, o *Object) *Monitor {
	m := s.Monitor
	if m == nil {
		return nil
	}
	interval := cmp.Or(m.Interval, 5)
	return &Monitor{
		Type: m.Type, Port: m.Port, Path: cmp.Or(m.Path, "/"), Rise: cmp.Or(m.Rise, 2), Fall: cmp.Or(m.Fall, 3),
		Interval: time.Duration(interval) * time.Second, Timeout: time.Duration(cmp.Or(m.Timeout, min(2, interval))) * time.Second,
		Source: flow.VPortID(uses[o.VPortRef(m.Source).String()]),
	}
}

func newPool(o *Object, spec *PoolSpec) *Pool {
	p := &Pool{
		ID: DeviceID(o.Status.ID), Name: o.Metadata.Name, Tenant: o.Tenant(), ref: o.Ref(), spec: spec, uses: o.Status.Uses,
		Method: Method(max(0, slices.Index(methodNames[:], spec.Method))), Monitor: spec.monitor(o.Status.Uses, o),
	}
	if spec.Sticky != nil {
		p.Sticky = time.Duration(spec.Sticky.Timeout) * time.Second
	}
	for _, m := range spec.Members {
		p.Members = append(p.Members, Member{MemberKey: MemberAt(m.Address, m.Port), Weight: max(m.Weight, 1), Drain: m.Drain || !m.DrainUntil.IsZero(), Until: m.DrainUntil})
	}
	return p
}

// addresses returns what packets of members come from.
func (p *Pool) addresses() []filter.Range {
	out := make([]filter.Range, len(p.Members))
	for i := range p.Members {
		a := p.Members[i].IP()
		out[i] = addrRange(AddrRange{a, a})
	}
	return out
}

// with returns the pool with what its monitor says.
func (p *Pool) with(h *health) *Pool {
	next := *p
	next.Watcher = ""
	next.Members = slices.Clone(p.Members)
	for i := range next.Members {
		m := &next.Members[i]
		m.Down = h != nil && p.Monitor != nil && h.down[m.MemberKey]
	}
	if h != nil {
		next.Watcher = h.watcher
	}
	return &next
}
