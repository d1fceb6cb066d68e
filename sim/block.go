package sim

import (
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Blocks is what an edge may give sources by itself (N2): a choice that does not follow from the packet comes in as data.
type Blocks interface {
	// Source returns an address and port of a block that the edge holds, and that it has given no other connection; ok is false if it holds none that would do.
	Source(n *SourceNeed) (a flow.Addr, port uint16, ok bool)
}

// SourceNeed is what a source is to be like. Comparable.
type SourceNeed struct {
	Device      uint32
	V6          bool
	Space       conntrack.PortSpace
	Keeps       bool              // the port can't be translated: it must be Port
	Port        uint16            // valid iff Keeps
	First, Last uint16            // ports that the rule gives
	Of          *topology.NATSpec // one of its addresses; nil: Addr
	Addr        flow.Addr
}

// Has reports whether the rule gives an address.
func (n *SourceNeed) Has(a flow.Addr) bool {
	if n.Of == nil {
		return a == n.Addr
	}
	for i := range n.Of.Addresses {
		if r := &n.Of.Addresses[i]; r.First.Is6() == n.V6 && between(&a, r) {
			return true
		}
	}
	return false
}

// At returns one of the addresses that the rule gives, which x chooses.
func (n *SourceNeed) At(x uint32) flow.Addr {
	if n.Of == nil {
		return n.Addr
	}
	a, _ := draw(n.Of.Addresses, n.V6, x)
	return flow.AddrOf(a)
}

// between reports whether an address is among the ones of a range, of which only so many are used.
func between(a *flow.Addr, r *topology.AddrRange) bool {
	first := flow.AddrOf(r.First)
	h, l := a.Halves()
	fh, fl := first.Halves()
	return h == fh && l >= fl && l-fl < size(r)
}

// fromBlock returns a source of the edge's blocks, and notes that one was wanted.
func (s *Simulator) fromBlock(rule *topology.ChainRule, device topology.DeviceID, own flow.Addr, t *conntrack.Tuple) (a flow.Addr, port uint16, ok bool) {
	n := SourceNeed{Device: uint32(device), V6: t.V6, Space: t.Space(), Keeps: !t.HasPort(false)}
	if n.Keeps {
		n.Port = t.SrcPort
	}
	if n.Space == conntrack.NoPorts || s.Blocks == nil || s.Conns == nil {
		return a, 0, false
	}
	n.First, n.Last, _ = portsOf(rule)
	if n.Last < conntrack.FirstBlockPort || n.First > conntrack.LastBlockPort || n.Keeps && !conntrack.InBlock(n.Port) {
		return a, 0, false
	}
	if rule.Action == topology.ActionMasquerade {
		n.Addr = own
	} else {
		n.Of = rule.NAT
	}
	needs := append(s.res.Track.Needs, n)
	s.res.Track.Needs = needs
	return s.Blocks.Source(&needs[len(needs)-1])
}
