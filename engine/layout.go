package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/topology"
)

// Stages of the fixed tables: what is referred to comes before what refers to it.
const (
	stageUnderlay = iota // underlay, replica, punt_class
	stageGroup           // multicast groups, clone session, peer, tunnel_term, peer_list
	stageLocation
	stagePort // port_map: from here on packets come
	layoutStages
)

// subject is what fixed entries are for. Cost is by subject: a change rebuilds those that it concerns and no others.
type subject struct {
	kind  subjectKind
	id    uint32 // vport or group
	edge  string
	links flow.LinkSet
}

type subjectKind uint8

// Subjects, in the order in which they are built: a later one may use what an earlier one found.
const (
	subjectSelf  subjectKind = iota + 1 // what every edge has
	subjectPeer                         // another edge and the paths to it
	subjectVPort                        // where a vport is
	subjectGroup                        // a flood domain
	subjectLink                         // links that have a rate, one way
)

func peerSubject(edge string) subject      { return subject{kind: subjectPeer, edge: edge} }
func vportSubject(id flow.VPortID) subject { return subject{kind: subjectVPort, id: uint32(id)} }
func linkSubject(s flow.LinkSet) subject   { return subject{kind: subjectLink, links: s} }
func groupSubject(d flow.Dest) subject     { return subject{kind: subjectGroup, id: uint32(d)} }
func compareSubjects(a, b subject) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id), cmp.Compare(a.edge, b.edge), slices.Compare(a.links[:], b.links[:]))
}

// part is what the fixed tables hold for one subject.
type part struct {
	stages [layoutStages][]p4rt.Entity
	references
	peer     uint16 // subjectPeer: its number
	lack     string // what of it there is no room for; "": all is there
	unpunted bool   // subjectVPort: its flows are to have no entries
	paths    []offload.PathTo
	names    []pathName   // of paths
	sets     netip.Prefix // subjectPeer: Edge.setsBy
	wanted   *route       // subjectGroup: whose destination is subscribed to, by its uplink
}

// add notes entries of a stage.
func (p *part) add(stage int, entries ...*p4rt.Entry) {
	for _, e := range entries {
		p.stages[stage] = append(p.stages[stage], e)
	}
}

// layout is what the fixed tables of an edge are to hold. It depends on the view alone, whatever the history.
type layout struct {
	t     *offload.Tables
	n     *locals
	cpu   uint16         // port of the target
	links *offload.Links // flows have numbers of them, too
	parts map[subject]*part
	lacks map[subject]string // what is left out, and why
	uses  uses
	room  fixedRoom
	// claims are who asks for each entity, in order: the first has its way. One does, unless two edges give one address, or two names one interface.
	claims map[p4rt.Key][]claim
	// subscribe is told of multicast groups of the underlay that are wanted by an uplink, or not any more.
	subscribe func(port uint16, group netip.Addr, wanted bool)
}

// claim is an entity as a subject wants it.
type claim struct {
	by     subject
	entity p4rt.Entity
}

func newLayout(t *offload.Tables, n *locals) *layout {
	return &layout{
		t: t, n: n, cpu: offload.CPUPort, links: t.NewLinks(), parts: map[subject]*part{}, lacks: map[subject]string{}, claims: map[p4rt.Key][]claim{}, uses: newUses(), room: newFixedRoom(), subscribe: func(uint16, netip.Addr, bool) {},
	}
}

// all names every subject of the view and of the layout.
func (l *layout) all(v *view) map[subject]struct{} {
	out := make(map[subject]struct{}, len(l.parts)+len(v.places))
	for s := range l.parts {
		out[s] = struct{}{}
	}
	out[subject{kind: subjectSelf}] = struct{}{}
	for id := range v.edges {
		out[peerSubject(id)] = struct{}{}
	}
	for id := range v.places {
		out[vportSubject(id)] = struct{}{}
	}
	for id := range v.strays {
		out[vportSubject(id)] = struct{}{}
	}
	for s := range l.lacks {
		out[s] = struct{}{}
	}
	for d := range v.groups {
		out[groupSubject(d)] = struct{}{}
	}
	for of := range v.limits {
		out[linkSubject(of)] = struct{}{}
	}
	return out
}

// rebuild builds the touched subjects anew. It returns the updates that bring the target there, in stages, and what to call when it has
// acknowledged them. A subject that can not be built is left out, and in lacks.
func (l *layout) rebuild(v *view, touched map[subject]struct{}) (stages [][]p4rt.Update, confirm []func()) {
	l.spread(v, touched)
	before, concerned := entitySet{}, entitySet{}
	for _, s := range slices.SortedFunc(maps.Keys(touched), compareSubjects) {
		old := l.parts[s]
		next, err := l.build(v, s)
		l.lacking(s, next, err)
		if old != nil {
			l.note(old, &before, &concerned)
			l.unclaim(s, old)
			confirm = append(confirm, old.release()...)
		}
		l.resubscribe(old, next)
		if next == nil {
			delete(l.parts, s)
			continue
		}
		l.note(next, &before, &concerned)
		l.claim(s, next)
		l.parts[s] = next
	}
	stages = diff(before, l.now(&concerned))
	if left := l.room.left(); left != nil {
		confirm = append(confirm, left)
	}
	if len(confirm) > 0 {
		confirm = append(confirm, func() { l.room.freed = true })
	}
	return stages, confirm
}

// lacking notes what of a subject can not be done.
func (l *layout) lacking(s subject, p *part, err error) {
	delete(l.lacks, s)
	delete(l.room.short, s)
	switch {
	case err != nil:
		l.lacks[s] = err.Error()
	case p != nil && p.lack != "":
		l.lacks[s] = p.lack
	default:
		return
	}
	if err == nil || errors.Is(err, errTableFull) || errors.Is(err, offload.ErrNoID) {
		l.room.short[s] = struct{}{}
	}
}

func pathNames(e *Edge, routes []route) []pathName {
	names := make([]pathName, len(routes))
	for i, r := range routes {
		names[i] = pathName{e.ID, r.src, r.dst, r.link.Port}
	}
	return names
}

// setPath names the path of a set by multicast: nobody's, and no other set's.
func setPath(way *route) pathName { return pathName{src: way.src, dst: way.dst, port: way.link.Port} }

// build returns the part of a subject, nil if the view has no such subject. On an error nothing is held.
func (l *layout) build(v *view, s subject) (*part, error) {
	p := new(part)
	var err error
	there := true
	switch s.kind {
	case subjectSelf:
		l.self(p, v)
	case subjectPeer:
		var e Edge
		if e, there = v.edges[s.edge]; there {
			err = l.peer(p, v, &e)
		}
	case subjectVPort:
		if name, stray := v.strays[flow.VPortID(s.id)]; stray {
			err = fmt.Errorf("%w: %q", errInterface, name)
			break
		}
		var at place
		if at, there = v.places[flow.VPortID(s.id)]; there {
			err = l.place(p, v, flow.VPortID(s.id), at)
		}
	case subjectGroup:
		var members []flow.VPortID
		if members, there = v.groups[flow.Dest(s.id)]; there {
			err = l.group(p, v, flow.Dest(s.id), members)
		}
	case subjectLink:
		var rate topology.BitRate
		if rate, there = v.limits[s.links]; there {
			err = l.link(p, s.links, rate)
		}
	}
	if err == nil && there {
		err = l.fits(p.entries()...)
	}
	if err != nil || !there {
		for _, confirm := range p.release() {
			confirm() // never written
		}
		return nil, err
	}
	return p, nil
}

var errInterface = errors.New("bound to an interface that the edge does not have")

func (l *layout) self(p *part, v *view) {
	p.add(stageUnderlay, l.t.AlwaysPunted()...)
	p.stages[stageGroup] = append(p.stages[stageGroup], l.t.Copies(l.cpu))
	p.add(stageLocation, l.t.GuardedDrop())
	for _, vtep := range v.self.VTEPs {
		for _, kind := range tunnels {
			p.add(stageGroup, l.t.Terminate(kind, vtep))
		}
	}
}

// peer adds another edge: what may come from it, and the paths to it if something there is referred to.
func (l *layout) peer(p *part, v *view, e *Edge) error {
	for _, dst := range e.VTEPs {
		p.add(stageGroup, l.t.KnownPeer(dst))
	}
	if !l.uses.isUsed(e.ID) {
		return nil
	}
	var err error
	if p.peer, err = acquire(&p.references, l.n.peers, e.ID, "peers"); err != nil {
		return err
	}
	routes := v.routes(e)
	p.names, p.sets = pathNames(e, routes), v.self.setsBy(e)
	for i := range routes {
		to, err := l.path(p, p.names[i], e.Tunnel, &routes[i])
		if err != nil {
			return err
		}
		p.paths = append(p.paths, to)
	}
	p.add(stageGroup, l.t.Peer(p.peer, p.paths)...)
	return nil
}

// path adds a way through the underlay.
func (l *layout) path(p *part, name pathName, tunnel offload.Tunnel, r *route) (offload.PathTo, error) {
	id, err := acquire(&p.references, l.n.paths, name, "paths to peers")
	if err != nil {
		return offload.PathTo{}, err
	}
	p.add(stageUnderlay, l.t.Underlay(id, offload.Path{Tunnel: tunnel, Src: r.src, Dst: r.dst, SrcMAC: r.link.MAC, DstMAC: r.mac, MTU: r.link.mtu()}), l.t.PeerCopy(id))
	return offload.PathTo{Path: id, Port: r.link.Port}, nil
}

// place adds a vport: here, or at a peer. What can not be reached has no location: its packets are punted with that reason (E14).
func (l *layout) place(p *part, v *view, id flow.VPortID, at place) error {
	if at.edge == v.self.ID {
		local, err := l.n.vport(&p.references, id, at.at.VLAN != 0, v.tenants[id])
		if err != nil {
			return err
		}
		p.add(stageUnderlay, l.t.LocalCopy(at.at, local))
		l.punts(p, v, id, local)
		p.stages[stageUnderlay] = append(p.stages[stageUnderlay], l.t.PuntRate(local, v.paceOf(id)), l.t.FloodRate(local, v.floods[id]),
			l.t.SendRate(local, int64(v.rates[id])), l.t.ReceiveRate(local, int64(v.rates[id])))
		p.add(stageLocation, l.t.Local(id.Dest(), at.at, local)...)
		p.add(stagePort, l.t.PortMap(at.at, local)...)
		if _, keeps := v.tags[id]; keeps && at.at.VLAN == 0 {
			p.add(stagePort, l.t.KeepTags(at.at.Port, local))
		}
		return nil
	}
	peer := l.parts[peerSubject(at.edge)]
	if peer == nil || len(peer.paths) == 0 {
		return nil
	}
	// What comes by tunnel for a vport that lives elsewhere follows it, once: it moved, and the sender does not know yet.
	p.add(stageLocation, l.t.Remote(id.Dest(), peer.peer, true)...)
	return nil
}

// link adds what this edge may send over links.
func (l *layout) link(p *part, of flow.LinkSet, rate topology.BitRate) error {
	number, ok := l.links.Acquire(of)
	if !ok {
		return fmt.Errorf("%w: too many links that have a rate: that of the link to this port is not held to", offload.ErrNoID)
	}
	p.drop = append(p.drop, func() func() {
		if _, last := l.links.Release(of); !last {
			return nil
		}
		return func() { l.links.Confirm(number) }
	})
	p.stages[stageUnderlay] = append(p.stages[stageUnderlay], l.t.LinkRate(number, int64(rate)))
	return nil
}

// group adds a flood domain: local members, one copy for all peers that host a member and have its multicast address in common with this edge, and one to each that does not, over a
// path chosen by the group's id.
func (l *layout) group(p *part, v *view, dest flow.Dest, domain []flow.VPortID) error {
	id, err := acquire(&p.references, l.n.groups, dest, "groups")
	if err != nil {
		return err
	}
	var members []offload.Member
	for _, m := range domain {
		at, ok := v.places[m]
		if !ok || at.edge != v.self.ID {
			continue
		}
		local, err := l.n.vport(&p.references, m, at.at.VLAN != 0, v.tenants[m])
		if err != nil {
			return err
		}
		members = append(members, offload.Member{Attachment: at.at, VPort: local})
	}
	copies, err := l.copies(p, v, dest, len(members) > 0)
	if err != nil {
		return err
	}
	groups, entries := l.t.Group(dest, 2*id, 2*id+1, members, copies)
	for _, g := range groups {
		p.stages[stageGroup] = append(p.stages[stageGroup], g)
	}
	p.add(stageLocation, entries...)
	return nil
}

// copies are the ways of what is for a flood domain to other edges with members. It subscribes to the domain's own address if it has members here.
func (l *layout) copies(p *part, v *view, dest flow.Dest, here bool) (copies []offload.PathTo, err error) {
	way, multicast := v.set(dest)
	if multicast && here {
		if _, err := acquire(&p.references, l.n.sets, dest, "multicast addresses of flood domains"); err != nil { // one of linked bridges has several
			return nil, err
		}
		p.add(stageGroup, l.t.Terminate(v.self.Tunnel, way.dst))
		p.wanted = &way
	}
	shared := false
	for _, edge := range l.uses.of[groupSubject(dest)] {
		switch peer := l.parts[peerSubject(edge)]; {
		case peer == nil:
		case multicast && isSetAddr(way.dst, peer.sets, dest):
			shared = true
		case len(peer.paths) > 0:
			copies = append(copies, peer.paths[int(dest)%len(peer.paths)])
		}
	}
	if shared {
		to, err := l.path(p, setPath(&way), v.self.Tunnel, &way)
		if err != nil {
			return nil, err
		}
		copies = append(copies, to)
	}
	return copies, nil
}

// resubscribe tells of the multicast group that a part wants, if another one was wanted before it.
func (l *layout) resubscribe(old, next *part) {
	var was, is *route
	if old != nil {
		was = old.wanted
	}
	if next != nil {
		is = next.wanted
	}
	if was != nil && is != nil && was.dst == is.dst && was.link.Port == is.link.Port {
		return
	}
	if was != nil {
		l.subscribe(was.link.Port, was.dst, false)
	}
	if is != nil {
		l.subscribe(is.link.Port, is.dst, true)
	}
}

// entities yields everything that the fixed tables are to hold.
func (l *layout) entities(yield func(p4rt.Entity)) {
	for _, claims := range l.claims {
		yield(claims[0].entity)
	}
}
