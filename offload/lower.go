package offload

import (
	"fmt"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// Act is what a megaflow does with its packets.
type Act uint8

const (
	Drop    Act = iota // silently
	Forward            // to Dest
	Punt               // to the engine, which answers each sender: reject
)

// Megaflow is a decision that is to be installed: all packets from one vport that agree with Key in the bits of Mask.
type Megaflow struct {
	Key     flow.Key
	Mask    flow.Mask
	Guards  flow.Guards // MaxLen goes with the rewrite: a flow that rewrites no MAC passes no router and has none
	Act     Act
	Dest    flow.Dest     // valid iff Act is Forward
	Rewrite flow.Rewrite  // the same
	Links   flow.LinkSet  // the same: whose rates its packets take from (Q1), sim.Outcome.Links
	Tracked bool          // of a TCP connection: segments with SYN are punted, those with FIN or RST copied to the engine; valid iff Act is Forward
	Tag     uint32        // in packet-ins of a Punt
	Prio    int32         // generation: of overlapping wild entries the newer wins
	Idle    time.Duration // 0: no idle timeout
}

// settle clears what is not valid.
func (m *Megaflow) settle() {
	if m.Act != Forward {
		m.Dest, m.Rewrite, m.Links, m.Tracked = 0, flow.Rewrite{}, flow.LinkSet{}, false
	}
}

// nowhere is a destination that no vport or group has. A drop that has guards forwards there: the actions that drop have none, and a packet that expires or
// is too long before it would be dropped is answered, not dropped (R3). Tables.GuardedDrop ends it.
const nowhere = 0

// guarded reports whether the megaflow has guards of packets.
func (m *Megaflow) guarded() bool { return m.Guards.MinTTL != 0 || m.Guards.MaxLen != 0 }

// Lane is the kind of table that holds a megaflow.
type Lane uint8

const (
	LaneClass  Lane = iota + 1 // dst_class: nothing but vport and MACs was read
	LaneExact                  // flow_exact_v4, flow_exact_v6
	LaneWild                   // flow_wild_v4, flow_wild_v6
	LaneWildL2                 // flow_wild_l2
)

func (l Lane) String() string {
	switch l {
	case LaneClass:
		return "class"
	case LaneExact:
		return "exact"
	case LaneWild:
		return "wild"
	case LaneWildL2:
		return "wild-l2"
	}
	return "none"
}

// l3Mask are the bits of a key that the L3 lanes have beside the scope, which stands for ingress vport and destination MAC.
func l3Mask(etherType uint16) flow.Mask {
	m := flow.ExactMask(etherType)
	m.SrcMAC = packet.MAC{}
	return m
}

// l2Mask are the bits of flow_wild_l2.
func l2Mask() flow.Mask { return flow.ExactMask(0) }

// lanes returns the lanes whose keys cover what the megaflow read, the preferred first.
// A source MAC that was read has a place in flow_wild_l2 alone: that src_class knows the source (Guards.KnownSource) does not tell which one it is.
// A megaflow can always be made more specific (exact) when the wild lane is full; what is translated or tracked must have read all that an exact key has.
func lanes(m *Megaflow) ([]Lane, error) {
	read := m.Mask
	ip := m.Key.Is4() || m.Key.Is6()
	macs := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
	l3 := l3Mask(m.Key.EtherType)
	exact := l3
	exact.DstMAC, exact.Ingress, exact.EtherType = read.DstMAC, read.Ingress, read.EtherType
	switch {
	case m.whole():
		if ip && read == exact {
			return []Lane{LaneExact}, nil
		}
	case macs.Covers(read):
		if ip {
			return []Lane{LaneClass, LaneWild, LaneExact}, nil
		}
		return []Lane{LaneClass, LaneWildL2}, nil
	case !ip && l2Mask().Covers(read):
		return []Lane{LaneWildL2}, nil
	case ip && l3.Covers(read):
		if read == exact {
			return []Lane{LaneExact, LaneWild}, nil
		}
		return []Lane{LaneWild, LaneExact}, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotCovered, m.Key.And(m.Mask))
}

// MayHold reports whether a lane can have a megaflow that was read so, of packets of an EtherType. True does not mean that it can.
func (l Lane) MayHold(etherType uint16, read flow.Mask) bool {
	switch l {
	case LaneClass:
		return flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}.Covers(read)
	case LaneWildL2:
		return !isIP(etherType)
	}
	return isIP(etherType) && read.SrcMAC.IsZero()
}

// Preferred returns the lane that the megaflow has if there is room; 0: none can have it.
func (m *Megaflow) Preferred() Lane {
	if all, err := lanes(m); err == nil {
		return all[0]
	}
	return 0
}

// Matched returns the bits in which packets must agree with the one that was decided to meet its entry in the lane: no fewer than were read.
func (l Lane) Matched(read flow.Mask, etherType uint16) flow.Mask {
	read.Ingress, read.DstMAC = flow.MaxID, packet.Broadcast() // the scope, or dst_class itself
	switch l {
	case LaneExact:
		return read.Or(l3Mask(etherType))
	case LaneWild:
		read.EtherType = 0xffff // a table a family
	case LaneWildL2: // has the field; if as much was read as tells that a frame is not IP, that will do
		if read.EtherType == 0 {
			read.EtherType = 0xffff
		}
	}
	return read
}

// localIDs are the numbers that a flow entry has for what is beside it; 0: none.
type localIDs struct {
	vport, scope uint16 // LaneClass has the vport, the others the scope
	rewrite, nat uint16
}

// lower builds the flow entry of a megaflow for a lane.
func (t *Tables) lower(m *Megaflow, lane Lane, ids localIDs) *p4rt.Entry {
	var name string
	tab := t.flowTable(lane, m.Key.Is4(), &name)
	e := tab.NewEntry()
	switch lane {
	case LaneClass:
		e.Set(0, u(uint64(ids.vport)))
		e.Set(1, p4rt.MAC(m.Key.DstMAC))
	case LaneExact:
		e.Set(0, u(uint64(ids.scope)))
		setL3(&m.Key, func(i int, v, _ p4rt.Value) { e.Set(i, v) }, flow.ExactMask(m.Key.EtherType))
	case LaneWild:
		e.Set(0, u(uint64(ids.scope)))
		setL3(&m.Key, e.SetMasked, m.Mask)
		e.Priority = m.Prio
	case LaneWildL2:
		e.Set(0, u(uint64(ids.scope)))
		mask := lane.Matched(m.Mask, m.Key.EtherType)
		e.SetMasked(1, p4rt.MAC(m.Key.SrcMAC).And(p4rt.MAC(mask.SrcMAC)), p4rt.MAC(mask.SrcMAC))
		e.SetMasked(3, u(uint64(m.Key.EtherType&mask.EtherType)), u(uint64(mask.EtherType)))
		e.Priority = m.Prio
	}
	if e.Table.SupportsIdle { // else the agent finds by its counters that it is
		e.IdleTimeout = m.Idle
	}
	forward := func(dest flow.Dest, ttlDec uint8, tracked bool) {
		params := []p4rt.Value{u(uint64(dest)), u(uint64(ids.rewrite)), u(uint64(ttlDec)), u(uint64(ids.nat)), p4rt.Bool(tracked)}
		if lane != LaneExact {
			params = params[:3]
		}
		e.Do(tab.actions["ingress.forward_"+name], params...)
	}
	switch m.Act {
	case Forward:
		forward(m.Dest, m.Rewrite.TTLDec, m.Tracked)
	case Drop:
		if m.guarded() {
			forward(nowhere, m.Guards.MinTTL, false)
			break
		}
		e.Do(tab.actions["ingress.drop_"+name])
	case Punt:
		e.Do(tab.actions["ingress.punt_"+name], u(uint64(flow.ReasonReject)), u(uint64(m.Tag)))
	}
	return e
}

func (t *Tables) flowTable(lane Lane, v4 bool, name *string) *table {
	switch {
	case lane == LaneClass:
		*name = "dst_class"
		return &t.dstClass
	case lane == LaneWildL2:
		*name = "flow_wild_l2"
		return &t.wildL2
	case lane == LaneExact && v4:
		*name = "flow_exact_v4"
		return &t.exact4
	case lane == LaneExact:
		*name = "flow_exact_v6"
		return &t.exact6
	case v4:
		*name = "flow_wild_v4"
		return &t.wild4
	}
	*name = "flow_wild_v6"
	return &t.wild6
}

// setL3 hands the L3 and L4 fields under mask to set: positions 1 to 6 of every L3 table.
func setL3(k *flow.Key, set func(i int, v, mask p4rt.Value), mask flow.Mask) {
	value := func(a flow.Addr) p4rt.Value {
		if k.Is4() {
			return p4rt.Addr(a.Netip(packet.EtherTypeIPv4))
		}
		return p4rt.Addr(a.Netip(packet.EtherTypeIPv6))
	}
	for i, f := range [6]struct{ v, mask p4rt.Value }{
		{value(k.Src), value(mask.Src)},
		{value(k.Dst), value(mask.Dst)},
		{u(uint64(k.Proto)), u(uint64(mask.Proto))},
		{u(uint64(k.SrcPort)), u(uint64(mask.SrcPort))},
		{u(uint64(k.DstPort)), u(uint64(mask.DstPort))},
		{u(uint64(k.Frag)), u(uint64(mask.Frag))},
	} {
		set(i+1, f.v.And(f.mask), f.mask)
	}
}
