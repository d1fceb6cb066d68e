package offload_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/pipeline"
	"github.com/weft-sdn/weft/testbed/randnet"
)

// peerEdge is another edge, by two paths.
type peerEdge struct {
	path [2]offload.Path
	to   [2]offload.PathTo
}

// edge is one edge of a random network: some vports hang at it, others at its peers. It knows what the pipeline should send without asking it.
type edge struct {
	*machine
	r      random
	w      *randnet.World
	tables *offload.Tables
	placer *offload.Placer
	at     map[flow.VPortID]offload.Attachment // local vports
	locals []flow.VPortID
	local  map[flow.VPortID]uint16 // their local ids
	behind map[flow.VPortID]int    // remote vports
	peers  []peerEdge
}

func newEdge(t testing.TB, r random, w *randnet.World, tables *offload.Tables) *edge {
	e := &edge{
		machine: newMachine(t), r: r, w: w, tables: tables, placer: offload.NewPlacer(tables, 100),
		at: map[flow.VPortID]offload.Attachment{}, local: map[flow.VPortID]uint16{}, behind: map[flow.VPortID]int{},
	}
	e.apply(inserts(tables.AlwaysPunted()...), inserts(tables.GuardedDrop()))
	for range 2 {
		e.addPeer()
	}
	for i, v := range w.Ports {
		if i > 0 && r.IntN(2) == 0 {
			p := r.IntN(len(e.peers))
			e.behind[v] = p
			e.apply(inserts(tables.Remote(v.Dest(), uint16(1+p), r.IntN(2) == 0)...))
			continue
		}
		id := uint16(100 + i)
		at := offload.Attachment{Port: uint16(1 + i)}
		if r.IntN(2) == 0 {
			at = offload.Attachment{Port: 200, VLAN: uint16(1 + i*7)}
		}
		e.at[v], e.local[v] = at, id
		e.locals = append(e.locals, v)
		e.apply(inserts(tables.PortMap(at, id)...), inserts(tables.Local(v.Dest(), at, id)...), inserts(tables.LocalCopy(at, id)))
	}
	group := uint16(1)
	for b := range w.Snap.Bridges() {
		e.addGroup(b.Group(), group)
		group += 2
	}
	return e
}

func (e *edge) addPeer() {
	n := uint16(len(e.peers))
	own, peer := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if e.r.IntN(2) == 0 {
		own, peer = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	kinds := []offload.Tunnel{offload.VXLAN, offload.GRE, offload.Geneve}
	p := peerEdge{}
	for i := range p.path {
		id := 1 + 2*n + uint16(i)
		p.path[i] = offload.Path{Tunnel: kinds[e.r.IntN(3)], Src: own, Dst: peer, SrcMAC: e.r.mac(), DstMAC: e.r.mac(), MTU: 9000}
		p.to[i] = offload.PathTo{Path: id, Port: offload.FirstUnderlay + id}
		e.apply(inserts(e.tables.Underlay(id, p.path[i]), e.tables.PeerCopy(id)))
	}
	e.apply(inserts(e.tables.Peer(1+n, p.to[:])...))
	e.peers = append(e.peers, p)
}

func (e *edge) addGroup(dest flow.Dest, id uint16) {
	members, peers := e.members(dest)
	var here []offload.Member
	var there []offload.PathTo
	for _, v := range members {
		here = append(here, offload.Member{Attachment: e.at[v], VPort: e.local[v]})
	}
	for _, p := range peers {
		there = append(there, e.peers[p].to[0])
	}
	groups, entries := e.tables.Group(dest, id, id+1, here, there)
	for _, g := range groups {
		var replicas []pipeline.Replica
		for _, r := range g.Replicas {
			replicas = append(replicas, pipeline.Replica{Port: uint16(r.Port), RID: uint16(r.Instance)})
		}
		e.SetMulticast(g.ID, replicas)
	}
	e.apply(inserts(entries...))
}

// members returns a group's local members, and the peers that have others.
func (e *edge) members(dest flow.Dest) (local []flow.VPortID, peers []int) {
	for _, v := range e.w.Snap.GroupMembers(dest) {
		if p, remote := e.behind[v]; !remote {
			local = append(local, v)
		} else if !slices.Contains(peers, p) {
			peers = append(peers, p)
		}
	}
	return local, peers
}

// deliver returns what leaves the edge when a frame goes to dest. hash is the flow hash of the packet as it came in by vport from.
func (e *edge) deliver(frame []byte, dest flow.Dest, from flow.VPortID, hash uint16) (out []sent) {
	if at, ok := e.at[dest.VPort()]; ok {
		return []sent{{at.Port, tag(frame, at.VLAN)}}
	}
	if p, ok := e.behind[dest.VPort()]; ok {
		i := int(hash>>12) % 2
		return []sent{{e.peers[p].to[i].Port, encapsulate(frame, e.peers[p].path[i], dest, hash)}}
	}
	members, peers := e.members(dest)
	for _, v := range members {
		if v != from {
			out = append(out, sent{e.at[v].Port, tag(frame, e.at[v].VLAN)})
		}
	}
	for _, p := range peers {
		out = append(out, sent{e.peers[p].to[0].Port, encapsulate(frame, e.peers[p].path[0], dest, hash)})
	}
	return out
}

// tag returns a copy of a frame with an 802.1Q tag; untagged for VLAN 0.
func tag(frame []byte, vlan uint16) []byte {
	if vlan == 0 {
		return bytes.Clone(frame)
	}
	return slices.Concat(frame[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, frame[12:])
}

// encapsulate puts a frame into a tunnel packet to dest, by the RFCs of the tunnel and RFC 6040 for the outer DSCP and ECN.
func encapsulate(frame []byte, p offload.Path, dest flow.Dest, hash uint16) []byte {
	be := binary.BigEndian
	key := be.AppendUint32(nil, uint32(dest)<<8) // key and flags
	var tunnel []byte
	proto, port := byte(packet.ProtoUDP), uint16(packet.PortVXLAN)
	switch p.Tunnel {
	case offload.VXLAN:
		tunnel = append([]byte{8, 0, 0, 0}, key...)
	case offload.Geneve:
		tunnel, port = append([]byte{0, 0, 0x65, 0x58}, key...), packet.PortGeneve
	case offload.GRE:
		proto = packet.ProtoGRE
		tunnel = append([]byte{0x20, 0, 0x65, 0x58, 0}, key[:3]...)
	}
	payload := append(tunnel, frame...)
	if proto == packet.ProtoUDP {
		udp := be.AppendUint16(nil, 0xc000|hash&0x3fff)
		udp = be.AppendUint16(udp, port)
		udp = be.AppendUint16(udp, uint16(8+len(payload)))
		payload = slices.Concat(udp, []byte{0, 0}, payload)
	}
	tos, etherType := byte(0), be.Uint16(frame[12:])
	switch etherType {
	case packet.EtherTypeIPv4:
		tos = frame[15]
	case packet.EtherTypeIPv6:
		tos = frame[14]<<4 | frame[15]>>4
	}
	out := append(append([]byte(nil), p.DstMAC[:]...), p.SrcMAC[:]...)
	if p.Src.Is6() {
		out = be.AppendUint16(out, packet.EtherTypeIPv6)
		out = be.AppendUint32(out, 6<<28|uint32(tos)<<20|uint32(hash))
		out = be.AppendUint16(out, uint16(len(payload)))
		out = append(out, proto, 64)
		return slices.Concat(out, p.Src.AsSlice(), p.Dst.AsSlice(), payload)
	}
	out = be.AppendUint16(out, packet.EtherTypeIPv4)
	h := be.AppendUint16([]byte{0x45, tos}, uint16(20+len(payload)))
	h = append(h, 0, 0, 0x40, 0, 64, proto, 0, 0)
	h = slices.Concat(h, p.Src.AsSlice(), p.Dst.AsSlice())
	be.PutUint16(h[10:], packet.Checksum(h))
	return slices.Concat(out, h, payload)
}
