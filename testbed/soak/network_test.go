package soak

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// The stations: of each tenant vms VMs, with the same addresses in both, and one outside.
const (
	vms     = 5
	outside = len(tenants) * vms // the station outside
	edges   = 3

	sharedEdge = 2 // has two agents, one of which acts
)

var tenants = [...]string{"red", "blue"}

// Ports that stations answer at.
const (
	steadyPort  = 7000 // no change takes it away
	guardedPort = 7001 // and two more: VMs 2 and 4 have a stateful chain that opens and closes them
	policyPort  = 7101 // and two more: the tenant's router has a chain that blocks them
	perChain    = 3
)

// tenant is what changes of a tenant's network. Its zero value but for where is the network at the begin.
type tenant struct {
	n       int
	closed  [perChain]bool // of the guarded ports
	blocked [perChain]bool // of the policed ones
	padding int            // rules that nothing meets
	nat     int            // how many addresses connections hide behind, less 1
	members [2]bool        // members of the service's pool that are drained
	routes  int            // routes of which nothing depends
	gone    [vms]bool      // VMs whose ports are deleted
	where   [vms]int       // edges
}

// model is the network as it is configured.
type model struct {
	tenants [len(tenants)]tenant
	outAt   int
}

func newModel() *model {
	m := new(model)
	for t := range m.tenants {
		m.tenants[t].n = t
		for v := range vms {
			m.tenants[t].where[v] = (t + v) % edges
		}
	}
	return m
}

// station is who sends and receives.
type station struct {
	n      int
	tenant int // outside: -1
	vm     int // from 0
	name   string
	mac    [6]byte
	addrs  [2]netip.Prefix // IPv4, IPv6
	gws    [2]netip.Addr
}

func newStation(n int) *station {
	if n == outside {
		return &station{n: n, tenant: -1, name: "isp/out", mac: [6]byte{2, 0, 0, 0, 0x99, 1},
			addrs: [2]netip.Prefix{netip.MustParsePrefix("198.51.100.2/24"), netip.MustParsePrefix("2001:db8:51::2/64")},
			gws:   [2]netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:51::1")}}
	}
	s := &station{n: n, tenant: n / vms, vm: n % vms}
	s.name = fmt.Sprintf("%s/vm%d", tenants[s.tenant], s.vm+1)
	s.mac = [6]byte{2, 0, 0, 0, 0, byte(s.vm + 1)} // the same in both tenants
	lan := lanOf(s.vm)
	s.addrs = [2]netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.%d/24", lan, s.vm+1)), netip.MustParsePrefix(fmt.Sprintf("fd0%d::%d/64", lan, s.vm+1))}
	s.gws = [2]netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.%d.0.254", lan)), netip.MustParseAddr(fmt.Sprintf("fd0%d::fe", lan))}
	return s
}

// lanOf is the bridge of a VM: three are on the first, two on the second.
func lanOf(vm int) int {
	if vm < 3 {
		return 1
	}
	return 2
}

func guarded(vm int) bool { return vm == 1 || vm == 3 }

// learnt are VMs whose MAC and addresses the network is not told.
func learnt(vm int) bool { return vm == 2 }

// deletable are VMs whose ports are deleted and made again; those of connections that must live are not.
func deletable() []int { return []int{2, 4} }

// public is the i-th of the eight outside addresses of a tenant: 0 is its service's, 1 what connections to the steady port hide behind, 2 to 5 what others do.
func public(t, i int) [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 80+8*t+i)), netip.MustParseAddr(fmt.Sprintf("2001:db8:113:%d::%d", t+1, i+1))}
}

const natAddrs = 4

func quoted(a [2]netip.Addr) string { return fmt.Sprintf(`"%v", "%v"`, a[0], a[1]) }

// objects is the network as documents.
func (m *model) objects() ([]*topology.Object, error) {
	var y strings.Builder
	put := func(kind, tenant, name, format string, args ...any) {
		fmt.Fprintf(&y, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, name, tenant, fmt.Sprintf(format, args...))
	}
	var routes []string
	for i := range m.tenants {
		t := &m.tenants[i]
		t.devices(put)
		t.chains(put)
		for v := range vms {
			if !t.gone[v] {
				t.vm(v, put)
			}
		}
		routes = append(routes, fmt.Sprintf(`{dst: 203.0.113.%d/29, via: 100.64.%d.2, port: core-%s}, {dst: "2001:db8:113:%d::/64", via: "2001:db8:64:%d::2", port: core-%[3]s}`, 80+8*i, i, tenants[i], i+1, i))
		put("VPort", "isp", "core-"+tenants[i], `device: router/core, peer: %s/gw-core, addresses: [100.64.%d.1/30, "2001:db8:64:%d::1/126"]`, tenants[i], i, i)
	}
	put("Router", "isp", "core", "routes: [%s]", strings.Join(routes, ", "))
	put("VPort", "isp", "uplink", `device: router/core, addresses: [198.51.100.1/24, "2001:db8:51::1/64"], mac: "02:00:00:00:99:fe"`)
	put("Binding", "isp", "uplink", `vport: uplink, edge: %s, interface: "%d"`, edgeName(m.outAt), outside+1)
	return topology.Decode("soak.yaml", []byte(y.String()))
}

type putter func(kind, tenant, name, format string, args ...any)

func (t *tenant) devices(put putter) {
	name := tenants[t.n]
	put("Bridge", name, "lan1", "")
	put("Bridge", name, "lan2", "")
	routes := []string{`{dst: 0.0.0.0/0, via: 100.64.%[1]d.1, port: gw-core}`, `{dst: "::/0", via: "2001:db8:64:%[1]d::1", port: gw-core}`}
	for i := range t.routes { // to where the default routes lead, too, and some into the neighbourhood of what is spoken to
		routes = append(routes, fmt.Sprintf(`{dst: 198.51.100.%d/30, via: 100.64.%%[1]d.1, port: gw-core}`, 4*i), fmt.Sprintf(`{dst: "2001:db8:51::%x/126", via: "2001:db8:64:%%[1]d::1", port: gw-core}`, 4*i))
	}
	put("Router", name, "gw", "filters: {ingress: in, egress: out}, routes: ["+strings.Join(routes, ", ")+"]", t.n)
	for lan := 1; lan <= 2; lan++ {
		put("VPort", name, fmt.Sprintf("lan%d-gw", lan), "device: bridge/lan%d, peer: gw-lan%[1]d", lan)
		put("VPort", name, fmt.Sprintf("gw-lan%d", lan), `device: router/gw, peer: lan%d-gw, addresses: [10.%[1]d.0.254/24, "fd0%[1]d::fe/64"]`, lan)
	}
	put("VPort", name, "gw-core", `device: router/gw, peer: isp/core-%s, addresses: [100.64.%d.2/30, "2001:db8:64:%[2]d::2/126"]`, name, t.n)
}

// chains puts those of the router and of the guarded VMs.
func (t *tenant) chains(put putter) {
	name := tenants[t.n]
	var members []string
	for i, vm := range []int{0, 3} {
		for f := range 2 {
			members = append(members, fmt.Sprintf(`{address: "%v", drain: %t}`, newStation(t.n*vms + vm).addrs[f].Addr(), t.members[i]))
		}
	}
	put("Pool", name, "service", [...]string{"method: roundRobin, ", "sticky: {timeout: 3}, "}[t.n]+"members: [%s]", strings.Join(members, ", "))
	var policy, ports []string
	for i := range t.padding {
		policy = append(policy, fmt.Sprintf("{name: pad%d, match: {protocols: [udp], dstPorts: [%d]}, action: drop}", i, 9000+i))
	}
	for i, blocked := range t.blocked {
		if blocked {
			policy = append(policy, fmt.Sprintf("{name: blocked%d, match: {protocols: [udp], dstPorts: [%d]}, action: drop}", i, policyPort+i))
		}
	}
	put("Chain", name, "policy", "rules: [%s]", strings.Join(policy, ", "))
	put("Chain", name, "in", `rules: [{name: service, match: {dst: [%s]}, action: dnat, nat: {pool: service}}, {name: policy, action: jump, chain: policy}]`, quoted(public(t.n, 0)))
	var hide []string
	for i := range t.nat + 1 {
		hide = append(hide, quoted(public(t.n, 2+i)))
	}
	put("Chain", name, "out", `rules: [{name: steady, match: {outPorts: [gw-core], protocols: [tcp, udp], dstPorts: [%d]}, action: snat, nat: {addresses: [%s]}, then: accept}, {name: hide, match: {outPorts: [gw-core]}, action: snat, nat: {addresses: [%s], ports: 20000-20511}, then: accept}]`,
		steadyPort, quoted(public(t.n, 1)), strings.Join(hide, ", "))
	ports = append(ports, fmt.Sprint(steadyPort), fmt.Sprintf("%d-%d", policyPort, policyPort+perChain-1))
	for i, closed := range t.closed {
		if !closed {
			ports = append(ports, fmt.Sprint(guardedPort+i))
		}
	}
	put("Chain", name, "guard", "rules: [{name: known, match: {states: [established, related]}, action: accept}, {name: open, match: {states: [new], protocols: [tcp, udp], dstPorts: [%s]}, action: accept}], default: drop", strings.Join(ports, ", "))
}

// vm puts the port of a VM, and where it lives.
func (t *tenant) vm(v int, put putter) {
	s, filters := newStation(t.n*vms+v), ""
	if guarded(v) {
		filters = ", filters: {egress: guard}"
	}
	name := fmt.Sprintf("vm%d", v+1)
	if !learnt(v) {
		filters += fmt.Sprintf(`, mac: "%v", addresses: ["%v", "%v"]`, packet.MAC(s.mac), s.addrs[0], s.addrs[1])
	}
	put("VPort", tenants[t.n], name, "device: bridge/lan%d%s", lanOf(v), filters)
	put("Binding", tenants[t.n], name, `vport: %s, edge: %s, interface: "%d"`, name, edgeName(t.where[v]), s.n+1)
}

func edgeName(n int) string { return fmt.Sprintf("e%d", n+1) }

// change changes the network in a way that r chooses, and says how.
func (m *model) change(r *rand.Rand) string {
	t := &m.tenants[r.IntN(len(m.tenants))]
	name, i := tenants[t.n], r.IntN(perChain)
	switch r.IntN(10) {
	case 0, 1:
		t.closed[i] = !t.closed[i]
		return fmt.Sprintf("%s: port %d closed %t", name, guardedPort+i, t.closed[i])
	case 2, 3:
		t.blocked[i] = !t.blocked[i]
		return fmt.Sprintf("%s: port %d blocked %t", name, policyPort+i, t.blocked[i])
	case 4:
		t.padding = r.IntN(20)
		return fmt.Sprintf("%s: %d more rules", name, t.padding)
	case 5:
		t.nat = r.IntN(natAddrs)
		return fmt.Sprintf("%s: connections hide behind %d addresses", name, t.nat+1)
	case 6:
		i := r.IntN(2)
		t.members[i], t.members[1-i] = !t.members[i], false
		return fmt.Sprintf("%s: drained members %v", name, t.members)
	case 7:
		t.routes = r.IntN(8)
		return fmt.Sprintf("%s: %d more routes", name, t.routes)
	case 8:
		v := deletable()[r.IntN(len(deletable()))]
		t.gone[v] = !t.gone[v]
		return fmt.Sprintf("%s: vm%d gone %t", name, v+1, t.gone[v])
	}
	v := r.IntN(vms + 2)
	if v == vms { // all at once
		to := r.IntN(edges)
		for v := range vms {
			t.where[v] = to
		}
		return fmt.Sprintf("%s: all move to %s", name, edgeName(to))
	}
	if v < vms {
		t.where[v] = (t.where[v] + 1 + r.IntN(edges-1)) % edges
		return fmt.Sprintf("%s: vm%d moves to %s", name, v+1, edgeName(t.where[v]))
	}
	m.outAt = (m.outAt + 1) % edges
	return "the outside moves to " + edgeName(m.outAt)
}

// settle brings back what was deleted, so that all can talk.
func (m *model) settle() {
	for t := range m.tenants {
		m.tenants[t].gone = [vms]bool{}
	}
}

// at is the edge of a station; -1: it has no port.
func (m *model) at(s *station) int {
	if s.n == outside {
		return m.outAt
	}
	t := &m.tenants[s.tenant]
	if t.gone[s.vm] {
		return -1
	}
	return t.where[s.vm]
}

// may reports whether a station's new connection to a port of another is let through.
func (m *model) may(from, to *station, port uint16) bool {
	for _, one := range []*station{from, to} {
		if m.at(one) < 0 {
			return false
		}
	}
	t := &m.tenants[from.tenant]
	routed := to.n == outside || lanOf(from.vm) != lanOf(to.vm)
	if i := int(port) - policyPort; i >= 0 && i < perChain && routed && t.blocked[i] {
		return false
	}
	if i := int(port) - guardedPort; i >= 0 && i < perChain && to.n != outside && guarded(to.vm) && t.closed[i] {
		return false
	}
	return true
}

// allPorts are those that stations answer at.
func allPorts() (ports []uint16) {
	ports = append(ports, steadyPort)
	for i := range uint16(perChain) {
		ports = append(ports, guardedPort+i, policyPort+i)
	}
	slices.Sort(ports)
	return ports
}
