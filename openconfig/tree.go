package openconfig

import (
	"slices"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/gnmi"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Identities of OpenConfig.
const (
	ethernet = "iana-if-type:ethernetCsmacd"
	bridge   = "openconfig-network-instance-types:L2VSI"
	router   = "openconfig-network-instance-types:L3VRF"
)

// scope is what somebody sees.
type scope struct {
	tenant  string // whose objects; valid iff all is not
	all     bool
	counted bool // counters, too
}

// trees are what was built last for each scope: many subscriptions look at the same.
type trees struct {
	mu sync.Mutex
	of map[scope]*tree
}

// maxTrees bounds of how many scopes there is a tree.
const maxTrees = 1024

type tree struct {
	asked time.Time // last; trees' lock is for it

	mu     sync.Mutex
	view   *state.View
	counts *counts
	leaves []gnmi.Leaf // nobody changes them
}

// leaves returns what there is to be seen. Who needs the same waits for one who builds it.
func (t *trees) leaves(of scope, view *state.View, n *counts) []gnmi.Leaf {
	t.mu.Lock()
	x := t.of[of]
	if x == nil {
		if len(t.of) >= maxTrees {
			clear(t.of)
		}
		x = new(tree)
		t.of[of] = x
	}
	x.asked = time.Now()
	t.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.view != view || x.counts != n {
		b := builder{scope: of, view: view}
		if n != nil {
			b.counts = n.of
		}
		x.view, x.counts, x.leaves = view, n, b.leaves()
	}
	return x.leaves
}

// drop forgets what nobody has looked at since a time: it holds a view that may be old, and what there was then.
func (t *trees) drop(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for of, x := range t.of {
		if x.asked.Before(since) {
			delete(t.of, of)
		}
	}
}

// builder gathers what one caller sees.
type builder struct {
	scope
	view   *state.View
	counts map[flow.VPortID]state.UsageTotals // valid iff counted
	at     []*gpb.PathElem
	out    []gnmi.Leaf
}

func (b *builder) sees(tenant string) bool { return b.all || tenant == b.tenant }

func (b *builder) leaves() []gnmi.Leaf {
	t := b.view.Topology
	for p := range t.VPorts() {
		if b.sees(p.Tenant) {
			b.addPort(p)
		}
	}
	for d := range t.Bridges() {
		if b.sees(d.Tenant) {
			b.addDevice("bridge/"+d.Tenant+"/"+d.Name, bridge, d.Ports)
		}
	}
	for d := range t.Routers() {
		if b.sees(d.Tenant) {
			b.addDevice("router/"+d.Tenant+"/"+d.Name, router, d.Ports)
		}
	}
	return b.out
}

// element is one of a list.
func element(list, key, value string) *gpb.PathElem {
	return &gpb.PathElem{Name: list, Key: map[string]string{key: value}}
}

func (b *builder) add(kind gnmi.Kind, value any, names ...string) {
	path := slices.Grow(slices.Clone(b.at), len(names))
	for _, n := range names {
		path = append(path, &gpb.PathElem{Name: n})
	}
	b.out = append(b.out, gnmi.NewLeaf(kind, value, path))
}

// both adds a leaf of config and state.
func (b *builder) both(value any, name string) {
	b.add(gnmi.ConfigLeaf, value, "config", name)
	b.add(gnmi.StateLeaf, value, "state", name)
}

// addPort adds a port as an interface. What came in is what the port took in, from its host or from the link; what went out is what was delivered to its host.
func (b *builder) addPort(p *topology.VPort) {
	name := p.Tenant + "/" + p.Name
	b.at = []*gpb.PathElem{{Name: "interfaces"}, element("interface", "name", name)}
	b.add(gnmi.StateLeaf, name, "name")
	b.both(name, "name")
	b.both(ethernet, "type")
	b.both(!p.AdminDown, "enabled")
	if p.MTU > 0 {
		b.both(uint16(p.MTU), "mtu")
	}
	b.add(gnmi.StateLeaf, uint32(p.ID), "state", "ifindex")
	b.add(gnmi.StateLeaf, true, "state", "logical")
	admin := "UP"
	if p.AdminDown {
		admin = "DOWN"
	}
	b.add(gnmi.StateLeaf, admin, "state", "admin-status")
	b.add(gnmi.StateLeaf, b.oper(p), "state", "oper-status")
	if !p.MAC.IsZero() {
		b.add(gnmi.StateLeaf, p.MAC.String(), "ethernet", "state", "mac-address")
	}
	if !b.counted {
		return
	}
	n := b.counts[p.ID]
	in := n.In
	in.Add(n.Crossed)
	for _, c := range []struct {
		leaf  string
		value uint64
	}{{"in-pkts", in.Packets}, {"in-octets", in.Bytes}, {"out-pkts", n.Out.Packets}, {"out-octets", n.Out.Bytes}} {
		b.add(gnmi.CounterLeaf, c.value, "state", "counters", c.leaf)
	}
}

// oper is how a port's link is: that of an exterior port is where it is bound, that of an interior one leads to its peer.
func (b *builder) oper(p *topology.VPort) string {
	t := b.view.Topology
	if p.AdminDown {
		return "DOWN"
	}
	if !p.Exterior {
		if q := t.VPort(p.Peer); q == nil || q.AdminDown {
			return "LOWER_LAYER_DOWN"
		}
		return "UP"
	}
	at, bound := b.view.Bindings.Get(p.ID)
	switch {
	case !bound:
		return "NOT_PRESENT"
	case t.LinkDown(p.ID):
		return "LOWER_LAYER_DOWN"
	case !b.view.Edges.Has(at.Edge):
		return "UNKNOWN" // its target may forward all the same
	}
	return "UP"
}

// addDevice adds a bridge or router with its ports.
func (b *builder) addDevice(name, kind string, ports []flow.VPortID) {
	instance := []*gpb.PathElem{{Name: "network-instances"}, element("network-instance", "name", name)}
	b.at = instance
	b.add(gnmi.StateLeaf, name, "name")
	b.both(name, "name")
	b.both(kind, "type")
	for _, id := range ports {
		p := b.view.Topology.VPort(id)
		if p == nil || !b.sees(p.Tenant) {
			continue
		}
		port := p.Tenant + "/" + p.Name
		b.at = append(slices.Clone(instance), &gpb.PathElem{Name: "interfaces"}, element("interface", "id", port))
		b.add(gnmi.StateLeaf, port, "id")
		b.both(port, "id")
		b.both(port, "interface")
	}
}
