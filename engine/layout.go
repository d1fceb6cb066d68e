package engine

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// Uplink is an underlay port of this edge: a link to one fabric router.
type Uplink struct {
	Port    uint16 // 256–509
	MAC     packet.MAC
	Addrs   []netip.Addr // own addresses on the link
	Gateway []netip.Addr // the fabric router's, one a family
	MTU     uint16       // bytes of IP packet; 0 = 1500
}

// Edge is an edge as all edges see it.
type Edge struct {
	ID     string
	VTEPs  []netip.Addr // tunnel addresses; several spread flows (E12)
	Tunnel offload.Tunnel
}

func (e Edge) equal(o Edge) bool {
	return e.ID == o.ID && e.Tunnel == o.Tunnel && slices.Equal(e.VTEPs, o.VTEPs)
}

// Place is where an exterior vport lives.
type Place struct {
	Edge string
	offload.Attachment
}

// View is what the fixed tables of an edge follow from: everything but flows.
type View struct {
	Self   Edge
	Links  []Uplink
	Edges  []Edge // the others
	Places map[flow.VPortID]Place
	Groups map[flow.Dest][]flow.VPortID // exterior members
	// NextHop has the MACs of gateways that answered.
	NextHop map[netip.Addr]packet.MAC
}

// names are the local numbers of an edge. A number, once given, stays while the process lives, so that a table entry never changes its meaning.
type names struct {
	vports map[flow.VPortID]uint16
	global map[uint16]flow.VPortID
	peers  map[string]uint16
	paths  map[pathName]uint16
	groups map[flow.Dest]uint16
}

type pathName struct {
	peer     string
	src, dst netip.Addr
	port     uint16
}

func newNames() *names {
	return &names{map[flow.VPortID]uint16{}, map[uint16]flow.VPortID{}, map[string]uint16{}, map[pathName]uint16{}, map[flow.Dest]uint16{}}
}

// limits of local numbers: replica ids share 16 bits between vports and paths, bmv2's multicast ids have 15 bits and a group needs two.
const (
	maxVPorts = 0x7fff
	maxPaths  = 0x7fff
	maxGroups = 0x3ffe
	maxPeers  = 0xffff
)

func number[K comparable](m map[K]uint16, k K, maximum int, what string) (uint16, error) {
	if n, ok := m[k]; ok {
		return n, nil
	}
	if len(m) >= maximum {
		return 0, fmt.Errorf("%w: more than %d %s at this edge", offload.ErrNoID, maximum, what)
	}
	n := uint16(len(m) + 1)
	m[k] = n
	return n, nil
}

func (n *names) vport(id flow.VPortID) (uint16, error) {
	local, err := number(n.vports, id, maxVPorts, "vports")
	if err == nil {
		n.global[local] = id
	}
	return local, err
}

// layout is the set of fixed entries that a view asks for, in the stages of their dependencies.
type layout [layoutStages]map[p4rt.Key]p4rt.Entity

const (
	stageUnderlay = iota // underlay, replica, punt_class
	stageGroup           // multicast groups, peer, tunnel_term, peer_list
	stageLocation
	stagePort // port_map: from here on packets come
	layoutStages
)

func (l *layout) add(stage int, entities ...*p4rt.Entry) {
	for _, e := range entities {
		l[stage][e.Key()] = e
	}
}

// unreachable returns the edges to which no path is known: no gateway answered on a link of their address family.
func unreachable(v *View) []string {
	var ids []string
	for _, e := range v.Edges {
		if !reaches(v, e) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func reaches(v *View, e Edge) bool {
	for _, dst := range e.VTEPs {
		for _, src := range v.Self.VTEPs {
			for _, link := range v.Links {
				if _, ok := nextHop(v, link, dst); ok && src.Is4() == dst.Is4() {
					return true
				}
			}
		}
	}
	return false
}

// compute builds the layout of a view. What cannot be reached yet (no next hop) is left out: location then drops and counts.
func compute(t *offload.Tables, n *names, v *View) (*layout, error) {
	l := new(layout)
	for i := range l {
		l[i] = make(map[p4rt.Key]p4rt.Entity)
	}
	l.add(stageUnderlay, t.AlwaysPunted()...)
	for _, vtep := range v.Self.VTEPs {
		for _, kind := range []offload.Tunnel{offload.VXLAN, offload.GRE, offload.Geneve} {
			l.add(stageGroup, t.Terminate(kind, vtep))
		}
	}
	paths := make(map[string][]offload.PathTo)
	for _, e := range v.Edges {
		found, err := l.peer(t, n, v, e)
		if err != nil {
			return nil, err
		}
		paths[e.ID] = found
	}
	for _, id := range slices.Sorted(maps.Keys(v.Places)) {
		if err := l.place(t, n, v, id, paths); err != nil {
			return nil, err
		}
	}
	for _, dest := range slices.Sorted(maps.Keys(v.Groups)) {
		if err := l.group(t, n, v, dest, paths); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// peer adds a peer, its paths over every uplink and pair of addresses of one family, and what may come from it.
func (l *layout) peer(t *offload.Tables, n *names, v *View, e Edge) ([]offload.PathTo, error) {
	var paths []offload.PathTo
	for _, dst := range e.VTEPs {
		l.add(stageGroup, t.KnownPeer(dst))
		for _, src := range v.Self.VTEPs {
			for _, link := range v.Links {
				mac, ok := nextHop(v, link, dst)
				if !ok || src.Is4() != dst.Is4() {
					continue
				}
				id, err := number(n.paths, pathName{e.ID, src, dst, link.Port}, maxPaths, "paths to peers")
				if err != nil {
					return nil, err
				}
				p := offload.Path{Tunnel: e.Tunnel, Src: src, Dst: dst, SrcMAC: link.MAC, DstMAC: mac, MTU: cmp.Or(link.MTU, 1500)}
				l.add(stageUnderlay, t.Underlay(id, p), t.PeerCopy(id))
				paths = append(paths, offload.PathTo{Path: id, Port: link.Port})
			}
		}
	}
	id, err := number(n.peers, e.ID, maxPeers, "peers")
	if err != nil {
		return nil, err
	}
	l.add(stageGroup, t.Peer(id, paths)...)
	return paths, nil
}

// nextHop returns the MAC of the link's gateway of dst's family, if it answered.
func nextHop(v *View, link Uplink, dst netip.Addr) (packet.MAC, bool) {
	for _, g := range link.Gateway {
		if g.Is4() == dst.Is4() {
			mac, ok := v.NextHop[g]
			return mac, ok
		}
	}
	return packet.MAC{}, false
}

// place adds a vport: here, at a peer, or (its edge unknown) nowhere.
func (l *layout) place(t *offload.Tables, n *names, v *View, id flow.VPortID, paths map[string][]offload.PathTo) error {
	at := v.Places[id]
	if at.Edge == v.Self.ID {
		local, err := n.vport(id)
		if err != nil {
			return err
		}
		l.add(stageUnderlay, t.LocalCopy(at.Attachment, local))
		l.add(stageLocation, t.Local(id.Dest(), at.Attachment, local)...)
		l.add(stagePort, t.PortMap(at.Attachment, local)...)
		return nil
	}
	if len(paths[at.Edge]) == 0 {
		l.add(stageLocation, t.Nowhere(id.Dest())...)
		return nil
	}
	// Moved is always on: a tunnel packet for a vport that lives elsewhere follows it once, whenever it moved.
	l.add(stageLocation, t.Remote(id.Dest(), n.peers[at.Edge], true)...)
	return nil
}

// group adds a flood domain: local members, and one copy to each peer that hosts a member, over a path chosen by the group's id.
func (l *layout) group(t *offload.Tables, n *names, v *View, dest flow.Dest, paths map[string][]offload.PathTo) error {
	id, err := number(n.groups, dest, maxGroups, "groups")
	if err != nil {
		return err
	}
	var members []offload.Member
	remote := make(map[string]bool)
	for _, m := range v.Groups[dest] {
		at, ok := v.Places[m]
		switch {
		case !ok:
		case at.Edge == v.Self.ID:
			local, err := n.vport(m)
			if err != nil {
				return err
			}
			members = append(members, offload.Member{Attachment: at.Attachment, VPort: local})
		default:
			remote[at.Edge] = true
		}
	}
	var copies []offload.PathTo
	for _, edge := range slices.Sorted(maps.Keys(remote)) {
		if p := paths[edge]; len(p) > 0 {
			copies = append(copies, p[int(dest)%len(p)])
		}
	}
	groups, entries := t.Group(dest, 2*id, 2*id+1, members, copies)
	for _, g := range groups {
		l[stageGroup][g.Key()] = g
	}
	l.add(stageLocation, entries...)
	return nil
}

// diff returns the updates that turn installed into l: what is referred to first, deletes last and in reverse.
func (l *layout) diff(installed *layout) [][]p4rt.Update {
	stages := make([][]p4rt.Update, 2*layoutStages)
	for i := range l {
		for key, want := range l[i] {
			switch have, ok := installed[i][key]; {
			case !ok:
				stages[i] = append(stages[i], p4rt.Update{Op: p4rt.Insert, Entity: want})
			case !same(have, want):
				stages[i] = append(stages[i], p4rt.Update{Op: p4rt.Modify, Entity: want})
			}
		}
		for key, have := range installed[i] {
			if _, ok := l[i][key]; !ok {
				at := 2*layoutStages - 1 - i
				stages[at] = append(stages[at], p4rt.Update{Op: p4rt.Delete, Entity: have})
			}
		}
	}
	return stages
}

func same(a, b p4rt.Entity) bool {
	switch a := a.(type) {
	case *p4rt.Entry:
		b, ok := b.(*p4rt.Entry)
		return ok && a.SameEffect(b)
	case *p4rt.MulticastGroup:
		b, ok := b.(*p4rt.MulticastGroup)
		return ok && slices.Equal(sorted(a.Replicas), sorted(b.Replicas))
	}
	return false
}

func sorted(r []p4rt.Replica) []p4rt.Replica {
	return slices.SortedFunc(slices.Values(r), func(a, b p4rt.Replica) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Instance, b.Instance))
	})
}
