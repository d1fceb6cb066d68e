package offload

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// Numbers are the local numbers that a target's entries have for what they are about: an agent that begins anew goes on with them, so that what it wants is what is there.
type Numbers struct {
	VPorts map[Attachment]uint16
	Paths  map[uint16]PathEnds
	Peers  map[uint16]uint16    // by path
	Groups map[flow.Dest]uint16 // of the copies of what vports send
	Locals map[uint16]struct{}  // all numbers of vports that an entry has: what frames of a vport meet may be there longer than what gives them the number

	scopes   map[macAt]uint16
	scopeOf  map[uint16]macAt
	sources  map[uint16][]packet.MAC // known at vports
	rewrites map[rewriteKey]uint16
	nats     map[bool]map[translationKey]uint16                // by whether they are of IPv4
	others   struct{ scopes, rewrites, nats4, nats6 []uint16 } // of which it is not known what they are for
}

// PathEnds are what tells one path of an edge from another.
type PathEnds struct {
	Src, Dst netip.Addr
	Port     uint16
}

// VPortTables are those of NumberTables that tell the numbers of vports: few entries.
func (t *Tables) VPortTables() []*p4rt.Table { return []*p4rt.Table{t.portMap.Table} }

// NumberTables are the tables whose entries tell numbers.
func (t *Tables) NumberTables() []*p4rt.Table {
	return []*p4rt.Table{
		t.portMap.Table, t.srcClass.Table, t.dstClass.Table, t.l2Rewrite.Table, t.l2Guard.Table, t.nat4.Table, t.nat6.Table, t.exact4.Table, t.exact6.Table,
		t.wild4.Table, t.wild6.Table, t.wildL2.Table, t.underlay.Table, t.peer.Table, t.location.Table, t.replica.Table, t.puntClass.Table,
	}
}

// NumbersOf reads the numbers in some entries of NumberTables.
func (t *Tables) NumbersOf(entries []*p4rt.Entry) *Numbers {
	r := numbersReader{
		t: t, n: &Numbers{
			VPorts: map[Attachment]uint16{}, Paths: map[uint16]PathEnds{}, Peers: map[uint16]uint16{}, Groups: map[flow.Dest]uint16{}, Locals: map[uint16]struct{}{},
			scopes: map[macAt]uint16{}, scopeOf: map[uint16]macAt{}, sources: map[uint16][]packet.MAC{}, rewrites: map[rewriteKey]uint16{}, nats: map[bool]map[translationKey]uint16{true: {}, false: {}},
		},
		macs: map[uint16]rewriteKey{}, mtus: map[uint16]uint16{}, owners: map[uint16]uint16{},
		translations: map[bool]map[uint16]translationKey{true: {}, false: {}}, users: map[bool]map[uint16]uint16{true: {}, false: {}}, scopes: map[uint16]struct{}{},
	}
	for _, e := range entries {
		if e.Action != nil {
			r.take(e)
		}
	}
	r.join()
	return r.n
}

// numbersReader gathers numbers whose meaning is spread over several tables.
type numbersReader struct {
	t            *Tables
	n            *Numbers
	macs         map[uint16]rewriteKey // by rewrite
	mtus         map[uint16]uint16     // the same
	owners       map[uint16]uint16     // uplinks, by path
	translations map[bool]map[uint16]translationKey
	users        map[bool]map[uint16]uint16 // scopes of flows, by translation
	scopes       map[uint16]struct{}        // those of flows, too, which the scope's own entry may not outlive
}

// take takes what an entry says.
func (r *numbersReader) take(e *p4rt.Entry) {
	t, n := r.t, r.n
	at := func(e *p4rt.Entry, i int) uint16 { return uint16(e.Match[i].Value.Lo) }
	param := func(e *p4rt.Entry, i int) uint16 { return uint16(e.Params[i].Lo) }
	switch e.Table {
	case t.portMap.Table:
		vlan := at(e, 1)
		n.VPorts[Attachment{at(e, 0), vlan}] = param(e, 0)
		n.Locals[param(e, 0)] = struct{}{}
	case t.dstClass.Table:
		n.Locals[at(e, 0)] = struct{}{}
		if e.Action == t.dstClass.actions["ingress.set_scope"] {
			is := macAt{at(e, 0), macOf(e.Match[1].Value)}
			n.scopes[is], n.scopeOf[param(e, 0)] = param(e, 0), is
			r.scopes[param(e, 0)] = struct{}{}
		}
	case t.srcClass.Table:
		n.Locals[at(e, 0)] = struct{}{}
		n.sources[at(e, 0)] = append(n.sources[at(e, 0)], macOf(e.Match[1].Value))
	case t.replica.Table:
		if rid := at(e, 0); rid < peerReplica {
			n.Locals[rid] = struct{}{}
		}
	case t.puntClass.Table:
		if local := at(e, 0); local != 0 {
			n.Locals[local] = struct{}{}
		}
	case t.l2Rewrite.Table:
		r.macs[at(e, 0)] = t.rewriteOf(e)
	case t.l2Guard.Table:
		r.mtus[at(e, 0)] = param(e, 0)
	case t.nat4.Table, t.nat6.Table:
		v4 := e.Table == t.nat4.Table
		r.translations[v4][at(e, 0)] = translationKey{src: addrOf(e.Params[0], v4), dst: addrOf(e.Params[1], v4), srcPort: param(e, 2), dstPort: param(e, 3)}
	case t.wild4.Table, t.wild6.Table, t.wildL2.Table:
		r.scopes[at(e, 0)] = struct{}{}
	case t.exact4.Table, t.exact6.Table:
		r.scopes[at(e, 0)] = struct{}{}
		if len(e.Params) == 5 && param(e, 3) != 0 {
			r.users[e.Table == t.exact4.Table][param(e, 3)] = at(e, 0)
		}
	case t.underlay.Table:
		v4 := e.Action == t.underlay.actions["egress.encap_v4"]
		p := n.Paths[at(e, 0)]
		p.Src, p.Dst = ipOf(e.Params[1], v4), ipOf(e.Params[2], v4)
		n.Paths[at(e, 0)] = p
	case t.peer.Table:
		n.Peers[param(e, 0)] = at(e, 0)
		r.owners[param(e, 0)] = param(e, 1)
	case t.location.Table:
		if e.Action == t.location.actions["ingress.to_group"] && e.Match[1].Value.IsZero() {
			n.Groups[flow.Dest(e.Match[0].Value.Lo)] = param(e, 0)
		}
	}
}

// join puts together what several tables say.
func (r *numbersReader) join() {
	n := r.n
	n.others.scopes = slices.Collect(maps.Keys(r.scopes))
	for path, port := range r.owners {
		p := n.Paths[path]
		p.Port = port
		n.Paths[path] = p
	}
	for id := range r.mtus {
		if _, has := r.macs[id]; !has {
			n.others.rewrites = append(n.others.rewrites, id)
		}
	}
	for id, k := range r.macs {
		if k.mtu = r.mtus[id]; k.mtu != 0 {
			n.rewrites[k] = id
		}
		n.others.rewrites = append(n.others.rewrites, id)
	}
	for v4, all := range r.translations {
		for id, k := range all {
			if k.vport = n.scopeOf[r.users[v4][id]].vport; k.vport != 0 {
				n.nats[v4][k] = id
			}
			if v4 {
				n.others.nats4 = append(n.others.nats4, id)
			} else {
				n.others.nats6 = append(n.others.nats6, id)
			}
		}
	}
}

// Ends returns the local number of the vport by which packets of a flow entry come in, and the destination to which they go; 0: it is not known, or there is none.
func (n *Numbers) Ends(e *p4rt.Entry) (local uint16, dest flow.Dest) {
	if e.Action == nil || len(e.Params) == 1 { // a scope is no flow
		return 0, 0
	}
	local = uint16(e.Match[0].Value.Lo)
	if len(e.Match) > 2 { // but for dst_class, entries have the scope
		local = n.scopeOf[local].vport
	}
	if len(e.Params) >= 3 {
		dest = flow.Dest(e.Params[0].Lo)
	}
	return local, dest
}

// Reserve keeps a target's numbers for what they are for. It is for a Placer that has placed nothing yet.
func (p *Placer) Reserve(n *Numbers) {
	for k, id := range n.scopes {
		p.scopes.Reserve(k, id)
	}
	for k, id := range n.rewrites {
		p.rewrites.Reserve(k, id)
	}
	for k, id := range n.nats[true] {
		p.nats4.Reserve(k, id)
	}
	for k, id := range n.nats[false] {
		p.nats6.Reserve(k, id)
	}
	for _, id := range n.others.scopes {
		p.scopes.Withhold(id)
	}
	for _, id := range n.others.rewrites {
		p.rewrites.Withhold(id)
	}
	for _, id := range n.others.nats4 {
		p.nats4.Withhold(id)
	}
	for _, id := range n.others.nats6 {
		p.nats6.Withhold(id)
	}
}

// Unreserve gives free what was reserved and is not used, when the target has it no more.
func (p *Placer) Unreserve() {
	p.scopes.Unreserve()
	p.rewrites.Unreserve()
	p.nats4.Unreserve()
	p.nats6.Unreserve()
}

func macOf(v p4rt.Value) packet.MAC { return packet.MACFromUint64(v.Lo) }

func addrOf(v p4rt.Value, v4 bool) flow.Addr { return flow.AddrOf(ipOf(v, v4)) }

// ipOf is an address that p4rt.Addr made a value of.
func ipOf(v p4rt.Value, v4 bool) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(v.Hi>>(56-8*i)), byte(v.Lo>>(56-8*i))
	}
	if v4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// rewriteOf is what an entry of l2_rewrite does. Path MTUs are elsewhere.
func (t *Tables) rewriteOf(e *p4rt.Entry) rewriteKey {
	if e.Action == t.l2Rewrite.actions["egress.keep_macs"] {
		return rewriteKey{link: uint16(e.Params[0].Lo)}
	}
	return rewriteKey{src: macOf(e.Params[0]), dst: macOf(e.Params[1]), link: uint16(e.Params[2].Lo)}
}
