package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Uplink is an underlay port of this edge: a link to one fabric router.
type Uplink struct {
	Port    uint16 // offload.FirstUnderlay to offload.LastUnderlay
	MAC     packet.MAC
	Addrs   []netip.Addr // own addresses on the link
	Gateway []netip.Addr // the fabric router's, one a family
	MTU     uint16       // bytes of IP packet; 0 = 1500
}

func (l *Uplink) mtu() uint16 { return cmp.Or(l.MTU, 1500) }

// gateway returns the fabric router's address of a family.
func (l *Uplink) gateway(v4 bool) (netip.Addr, bool) {
	for _, g := range l.Gateway {
		if g.Is4() == v4 {
			return g, true
		}
	}
	return netip.Addr{}, false
}

// Edge is an edge as all edges see it. Its identity is the ID, whatever its addresses are (E12).
type Edge struct {
	ID     string
	VTEPs  []netip.Addr   // tunnel addresses; several spread flows
	Tunnel offload.Tunnel // that it wants to be sent; every edge takes all kinds
	// Multicast are the underlay's multicast addresses by which it takes frames for sets of vports (multicast.go): none, if it is the zero Prefix.
	Multicast netip.Prefix
}

func (e Edge) equal(o Edge) bool {
	return e.ID == o.ID && e.Tunnel == o.Tunnel && e.Multicast == o.Multicast && slices.Equal(e.VTEPs, o.VTEPs)
}

// place is where an exterior vport lives.
type place struct {
	edge string
	at   offload.Attachment // valid iff the edge is this one
}

var tunnels = []offload.Tunnel{offload.VXLAN, offload.Geneve, offload.GRE}

// info is what this edge tells the others.
func (a *Agent) info() state.EdgeInfo {
	i := state.EdgeInfo{ID: a.cfg.Self.ID, VTEPs: a.cfg.Self.VTEPs, Multicast: a.cfg.Self.Multicast, Version: a.cfg.Version, Run: a.core.conns.run, Status: a.cfg.Status, MTU: 1 << 16}
	for _, l := range a.cfg.Links {
		i.MTU = min(i.MTU, int(l.mtu()))
	}
	i.Encaps = append(i.Encaps, a.cfg.Self.Tunnel.String())
	for _, k := range tunnels {
		if k != a.cfg.Self.Tunnel {
			i.Encaps = append(i.Encaps, k.String())
		}
	}
	return i
}

// edgeOf reads what another edge tells: the first encapsulation of its list that we can do.
func edgeOf(i *state.EdgeInfo) Edge {
	e := Edge{ID: i.ID, VTEPs: i.VTEPs, Tunnel: offload.VXLAN, Multicast: i.Multicast}
	for _, name := range i.Encaps {
		for _, k := range tunnels {
			if k.String() == name {
				e.Tunnel = k
				return e
			}
		}
	}
	return e
}

// view is what the fixed tables of an edge follow from: everything but flows.
type view struct {
	self     Edge
	links    []Uplink
	edges    map[string]Edge // the others: as they were last seen alive
	places   map[flow.VPortID]place
	strays   map[flow.VPortID]string            // bound here, to an interface that this edge does not have
	groups   map[flow.Dest][]flow.VPortID       // exterior members
	dhcp     map[flow.VPortID]struct{}          // exterior vports with a DHCP resource
	speaks   map[flow.VPortID][]offload.BFDKind // router ports through which sessions of this edge's speaker go, with the kinds of BFD that watch them, each once, in order
	tags     map[flow.VPortID]struct{}          // exterior vports whose senders' tags are kept
	tenants  map[flow.VPortID]uint32            // numbers of the tenants of exterior vports that live here
	floods   map[flow.VPortID]int64             // frames a second that an exterior vport may send to all; none: any number
	traced   map[flow.VPortID][]offload.Traced  // packets of vports here that come up to be followed
	rates    map[flow.VPortID]topology.BitRate  // of exterior vports that live here: what their hosts may send, and be sent; none: any amount
	limits   map[flow.LinkSet]topology.BitRate  // what this edge may send over links that have a rate, and over several that flows pass
	puntRate int64                              // packets a second that a vport may have punted
	paces    map[flow.VPortID]int64             // the same of those that are slowed
	// nextHop has the MACs of gateways that answered.
	nextHop map[netip.Addr]packet.MAC
	down    map[uint16]struct{} // ports whose links are down; nobody changes it
}

func newView(self Edge, links []Uplink) *view {
	return &view{
		self: self, links: links, edges: map[string]Edge{}, places: map[flow.VPortID]place{}, strays: map[flow.VPortID]string{}, groups: map[flow.Dest][]flow.VPortID{},
		nextHop: map[netip.Addr]packet.MAC{}, dhcp: map[flow.VPortID]struct{}{}, speaks: map[flow.VPortID][]offload.BFDKind{},
		floods: map[flow.VPortID]int64{}, rates: map[flow.VPortID]topology.BitRate{}, limits: map[flow.LinkSet]topology.BitRate{}, paces: map[flow.VPortID]int64{}, traced: map[flow.VPortID][]offload.Traced{}, tags: map[flow.VPortID]struct{}{}, tenants: map[flow.VPortID]uint32{},
	}
}

// paceOf is how many packets a second a vport may have punted.
func (v *view) paceOf(id flow.VPortID) int64 {
	if rate, slowed := v.paces[id]; slowed {
		return min(rate, v.puntRate)
	}
	return v.puntRate
}

// route is one way to another edge, before it has a number.
type route struct {
	src, dst netip.Addr
	link     *Uplink
	mac      packet.MAC // of the gateway
}

// router is the MAC of an uplink's gateway of a family, if there is one that answered and the link is not down.
func (v *view) router(l *Uplink, v4 bool) (packet.MAC, bool) {
	g, has := l.gateway(v4)
	mac, answers := v.nextHop[g]
	_, down := v.down[l.Port]
	return mac, has && answers && !down
}

// routes are the ways to an edge over every uplink and pair of addresses of one family whose gateway answered.
func (v *view) routes(e *Edge) []route {
	var out []route
	for _, dst := range e.VTEPs {
		for _, src := range v.self.VTEPs {
			if src.Is4() != dst.Is4() {
				continue
			}
			for i := range v.links {
				if mac, ok := v.router(&v.links[i], dst.Is4()); ok {
					out = append(out, route{src, dst, &v.links[i], mac})
				}
			}
		}
	}
	return out
}

// isLost reports whether nothing can be delivered to a vport: it is bound nowhere, or at an edge to which there is no way (E14).
func (v *view) isLost(id flow.VPortID) bool {
	p, ok := v.places[id]
	if !ok {
		return true
	}
	if p.edge == v.self.ID {
		return false
	}
	e, ok := v.edges[p.edge]
	return !ok || len(v.routes(&e)) == 0
}
