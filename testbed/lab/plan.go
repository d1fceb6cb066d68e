package lab

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// lastAccess is the highest number of an access port (docs/decisions/0002-port-roles-by-number.md).
const lastAccess = offload.FirstUnderlay - 1

// maxLinks is how many links a fabric has, and how many tunnel addresses there are.
const maxLinks = 255

// plan is what a scenario asks for, with numbers given and references resolved. Making it starts nothing.
type plan struct {
	objects []*topology.Object // the network, and the bindings that hosts ask for
	edges   []*edgePlan
	hosts   []*hostPlan
	remotes []*remotePlan
	mtu     int // of the underlay's links that set none
}

type edgePlan struct {
	name       string
	n          int // device id
	tunnel     offload.Tunnel
	links      []int // of the fabric, one an uplink
	vteps      []netip.Addr
	multicast  netip.Prefix
	telemetry  bool
	mtu        int               // of its underlay links; 0: the fabric's
	interfaces map[string]uint16 // access ports by name
}

type hostPlan struct {
	name  string
	vport topology.Ref
	cfg   host.Config
}

// planner makes a plan step by step; the first problem ends it.
type planner struct {
	scenario *scenario.Scenario
	plan     plan
	snap     *topology.Snapshot
	bindings map[topology.Ref]*topology.BindingSpec // by vport
	wanted   map[string][]string                    // interfaces by edge, in the order in which they are named
}

// newPlan reads a scenario. spare is the number of access ports, numbered from 1, that an edge has at least.
func newPlan(s *scenario.Scenario, spare int) (*plan, error) {
	p := &planner{scenario: s, bindings: map[topology.Ref]*topology.BindingSpec{}, wanted: map[string][]string{}}
	for _, step := range []func() error{p.network, p.bindHosts, p.edges, p.machines, p.remotes, p.steps} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	vpns := slices.ContainsFunc(p.plan.objects, func(o *topology.Object) bool { return o.Kind == topology.KindVPN })
	for _, e := range p.plan.edges {
		if vpns {
			p.want(e.name, vpnInterface)
		}
		if err := e.number(p.wanted[e.name], spare); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return &p.plan, nil
}

// network decodes and validates network.yaml.
func (p *planner) network() (err error) {
	if p.plan.objects, err = topology.Decode(scenario.NetworkFile, p.scenario.Network); err != nil {
		return err
	}
	set, err := new(topology.Set).Apply(p.plan.objects, nil)
	if err != nil {
		return err
	}
	if p.snap, err = topology.Load(scenario.NetworkFile, p.scenario.Network); err != nil {
		return err
	}
	for _, o := range set.All() { // hosts may be in a VLAN of a trunk
		switch spec := o.Spec.(type) {
		case *topology.BindingSpec:
			p.bindings[o.VPortRef(spec.VPort)] = spec
		case *topology.FabricSpec:
			p.plan.mtu = int(spec.MTU)
		}
	}
	p.plan.mtu = cmp.Or(p.plan.mtu, fabric.DefaultMTU)
	return nil
}

// bindHosts adds the bindings of hosts that say where they are.
func (p *planner) bindHosts() error {
	for _, h := range p.scenario.Hosts {
		ref := vportRef(h.VPort)
		have := p.bindings[ref]
		switch {
		case h.Edge == "" && have == nil:
			return fmt.Errorf("line %d: host %s: %v is bound nowhere; add edge=, or a Binding to %s", h.Line, h.Name, ref, scenario.NetworkFile)
		case h.Edge == "" && h.VLAN != 0 && h.VLAN != have.VLAN:
			return fmt.Errorf("line %d: host %s: vlan=%d, but %v is bound with VLAN %d; leave it out", h.Line, h.Name, h.VLAN, ref, have.VLAN)
		case h.Edge == "":
			continue
		case have != nil:
			return fmt.Errorf("line %d: host %s: edge=%s, but %s binds %v already; leave one of them out", h.Line, h.Name, h.Edge, scenario.NetworkFile, ref)
		}
		spec := &topology.BindingSpec{VPort: h.VPort, Edge: h.Edge, Interface: cmp.Or(h.Interface, h.Name), VLAN: h.VLAN}
		p.plan.objects = append(p.plan.objects, &topology.Object{
			APIVersion: topology.APIVersion, Kind: topology.KindBinding, Metadata: topology.Metadata{Name: ref.Name, Tenant: ref.Tenant}, Spec: spec,
		})
		p.bindings[ref] = spec
	}
	if _, err := new(topology.Set).Apply(p.plan.objects, nil); err != nil {
		return err
	}
	for _, o := range p.plan.objects {
		if spec, ok := o.Spec.(*topology.BindingSpec); ok {
			p.want(spec.Edge, spec.Interface)
		}
	}
	return nil
}

func vportRef(name string) topology.Ref {
	tenant, short, found := strings.Cut(name, "/")
	if !found {
		tenant, short = topology.DefaultTenant, name
	}
	return topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: short}
}

func (p *planner) want(edge, iface string) {
	if !slices.Contains(p.wanted[edge], iface) {
		p.wanted[edge] = append(p.wanted[edge], iface)
	}
}

// edges lists the edges: those of the edges file, or else those that bindings and steps name.
func (p *planner) edges() error {
	lines := p.scenario.Edges
	if len(lines) == 0 {
		for _, name := range p.named() {
			lines = append(lines, scenario.Edge{Name: name})
		}
	}
	if len(lines) == 0 {
		return fmt.Errorf("there is no edge; bindings and hosts name them, or file %s", scenario.EdgesFile)
	}
	family := p.encapFamily()
	links, vteps := 0, 0
	for i, line := range lines {
		e := &edgePlan{name: line.Name, n: i + 1, mtu: line.MTU, multicast: line.Multicast, telemetry: line.Telemetry, interfaces: map[string]uint16{}}
		var ok bool
		if e.tunnel, ok = map[string]offload.Tunnel{"": offload.VXLAN, "vxlan": offload.VXLAN, "geneve": offload.Geneve, "gre": offload.GRE}[line.Encap]; !ok {
			return fmt.Errorf("line %d: edge %s: encap=%s; use vxlan, geneve or gre", line.Line, line.Name, line.Encap)
		}
		for range max(line.Uplinks, 1) {
			links++
			e.links = append(e.links, links)
		}
		for range max(line.VTEPs, 1) {
			vteps++
			e.vteps = append(e.vteps, vtep(vteps, cmp.Or(line.Family, family)))
		}
		if max(links, vteps) > maxLinks {
			return fmt.Errorf("line %d: edge %s: that is more than the %d underlay links, or tunnel addresses, that a lab has", line.Line, line.Name, maxLinks)
		}
		if first := p.plan.edges; len(first) > 0 && first[0].vteps[0].Is4() != e.vteps[0].Is4() {
			return fmt.Errorf("line %d: edges %s and %s have no IP version in common, so that no tunnel joins them; give all edges the same family=", line.Line, first[0].name, e.name)
		}
		p.plan.edges = append(p.plan.edges, e)
	}
	return nil
}

// named are the edges that bindings and steps name, sorted.
func (p *planner) named() []string {
	var all []string
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for name := range p.wanted {
		add(name)
	}
	for step := range p.allSteps() {
		if bind, ok := step.Op.(scenario.Bind); ok {
			add(bind.Edge)
		}
	}
	slices.Sort(all)
	return all
}

// allSteps are the steps of all legs.
func (p *planner) allSteps() iter.Seq[scenario.Step] {
	return func(yield func(scenario.Step) bool) {
		for _, leg := range p.scenario.Legs {
			for _, step := range leg.Steps {
				if !yield(step) {
					return
				}
			}
		}
	}
}

func (p *planner) encapFamily() int {
	for _, o := range p.plan.objects {
		if spec, ok := o.Spec.(*topology.FabricSpec); ok && spec.EncapFamily == "v4" {
			return 4
		}
	}
	return 6
}

// vtep is tunnel address n of the lab: 192.0.2.n (RFC 5737) or 2001:db8::n (RFC 3849).
func vtep(n, family int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	}
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: byte(n)})
}

func (p *plan) edge(name string) *edgePlan {
	for _, e := range p.edges {
		if e.name == name {
			return e
		}
	}
	return nil
}

func (p *plan) host(name string) *hostPlan {
	for _, h := range p.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// machines completes the hosts by what their vports say.
func (p *planner) machines() error {
	for _, h := range p.scenario.Hosts {
		ref := vportRef(h.VPort)
		id, _ := p.snap.ID(ref)
		v := p.snap.VPort(flow.VPortID(id)) // there is one: it is bound
		m := &hostPlan{name: h.Name, vport: ref, cfg: host.Config{
			Name: h.Name, MAC: h.MAC, Addrs: h.Addrs, Gateways: h.Gateways, Routes: h.Routes, MTU: cmp.Or(h.MTU, int(v.MTU)),
		}}
		if m.cfg.MAC == ([6]byte{}) && v.Kind == topology.DeviceBridge {
			m.cfg.MAC = v.MAC
		}
		if m.cfg.MAC == ([6]byte{}) {
			return fmt.Errorf("line %d: host %s: mac= is missing, and %v has none", h.Line, h.Name, ref)
		}
		if len(m.cfg.Addrs) == 0 && v.Kind == topology.DeviceBridge {
			m.cfg.Addrs = v.Addrs
		}
		if spec := p.bindings[ref]; p.plan.edge(spec.Edge) == nil {
			return fmt.Errorf("line %d: host %s: %v is bound to edge %s, which file %s does not have", h.Line, h.Name, ref, spec.Edge, scenario.EdgesFile)
		}
		p.plan.hosts = append(p.plan.hosts, m)
	}
	return nil
}

// steps finds the interfaces that steps will bind to: ports can't be added to a running target.
func (p *planner) steps() error {
	for step := range p.allSteps() {
		switch op := step.Op.(type) {
		case scenario.Bind:
			p.want(op.Edge, cmp.Or(op.Interface, defaultInterface(op.What)))
		case scenario.Apply:
			objects, _ := topology.Decode(op.File, op.Data) // what is wrong with it the step tells, when it is its turn
			for _, o := range objects {
				if spec, ok := o.Spec.(*topology.BindingSpec); ok {
					p.want(spec.Edge, spec.Interface)
				}
			}
		}
	}
	return nil
}

// defaultInterface is where a vport or host is bound to if nothing is said: an interface of its own.
func defaultInterface(what string) string { return strings.ReplaceAll(what, "/", "-") }

// number gives access ports to interfaces: a number is its own port, as it is for the agent.
func (e *edgePlan) number(names []string, spare int) error {
	for n := range spare {
		names = append(names, strconv.Itoa(n+1))
	}
	if spare > 0 && !slices.Contains(names, vpnInterface) {
		names = append(names, vpnInterface)
	}
	taken := map[uint16]string{}
	var rest []string
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 16)
		switch {
		case err != nil:
			rest = append(rest, name)
		case n > lastAccess:
			return fmt.Errorf("edge %s: interface %q: access ports of this pipeline are 0 to %d", e.name, name, lastAccess)
		case taken[uint16(n)] != "" && taken[uint16(n)] != name:
			return fmt.Errorf("edge %s: interfaces %q and %q are one port; write it one way", e.name, taken[uint16(n)], name)
		default:
			taken[uint16(n)], e.interfaces[name] = name, uint16(n)
		}
	}
	next := uint16(1)
	for _, name := range rest {
		for taken[next] != "" {
			next++
		}
		if next > lastAccess {
			return fmt.Errorf("edge %s: more than %d interfaces", e.name, lastAccess)
		}
		taken[next], e.interfaces[name] = name, next
	}
	return nil
}

// port returns the access port of an interface by name.
func (e *edgePlan) port(name string) (uint16, bool) {
	n, ok := e.interfaces[name]
	return n, ok
}
