package engine

import (
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Bounds of fragments.
const (
	maxFragmented   = 1 << 16          // packets of which a first fragment is remembered
	maxFragmentedOf = 512              // of one port of a host; of others, where many send: eight times that. The oldest makes room
	fragmentTime    = 30 * time.Second // RFC 791 leaves it to reassembly: 15 s; RFC 8200 section 4.5: 60 s
	fragmentWait    = time.Second      // that a later fragment waits for the first
)

// fragmented names a packet that came in pieces (RFC 791, RFC 8200 section 4.5).
type fragmented struct {
	ingress  flow.VPortID
	src, dst flow.Addr
	id       uint32
	proto    uint8
}

type firstFragment struct {
	src, dst uint16
	until    time.Duration
}

// fragments remembers the ports of first fragments, for the later ones of the same packet.
type fragments struct {
	first map[fragmented]firstFragment
	of    map[flow.VPortID]*pieces
}

// pieces are a port's packets whose first fragment is remembered, in the order in which they came, around.
type pieces struct {
	list []fragmented
	next int
}

func newFragments() fragments {
	return fragments{map[fragmented]firstFragment{}, map[flow.VPortID]*pieces{}}
}

// note remembers a first fragment; the port's oldest one makes room for it.
func (t *fragments) note(piece fragmented, first firstFragment, most int) {
	if _, known := t.first[piece]; known {
		t.first[piece] = first
		return
	}
	of := t.of[piece.ingress]
	if of == nil || len(of.list) < most {
		if len(t.first) >= maxFragmented {
			return
		}
		if of == nil { // not before: what is there has a packet
			of = &pieces{}
			t.of[piece.ingress] = of
		}
		of.list = append(of.list, piece)
	} else {
		delete(t.first, of.list[of.next])
		of.list[of.next] = piece
		of.next = (of.next + 1) % most
	}
	t.first[piece] = first
}

func fragmentOf(f *packet.Frame, ingress flow.VPortID) fragmented {
	if f.Frag == packet.FragNone {
		return fragmented{}
	}
	k := flow.KeyOf(f, ingress)
	return fragmented{ingress, k.Src, k.Dst, f.FragmentID(), f.Proto}
}

// lend gives a later fragment the ports of the first, if that was seen.
func (t *fragments) lend(f *packet.Frame, ingress flow.VPortID, now time.Duration) bool {
	p, ok := t.first[fragmentOf(f, ingress)]
	if !ok || now >= p.until {
		return false
	}
	f.SrcPort, f.DstPort = p.src, p.dst
	return true
}

// wait holds a later fragment until the first comes.
func (t *fragments) wait(c *core, f *packet.Frame, ingress flow.VPortID, local uint16) bool {
	c.hold(awaited{fragment: fragmentOf(f, ingress)}, f.Data, ingress, local)
	return true
}

// came notes the ports of a first fragment, and decides those that waited for it. piece names it, by its addresses as it came in.
func (t *fragments) came(c *core, f *packet.Frame, piece fragmented) {
	if f.Frag != packet.FragFirst {
		return
	}
	t.note(piece, firstFragment{f.SrcPort, f.DstPort, c.now() + fragmentTime}, c.shareOf(piece.ingress, maxFragmentedOf))
	n := awaited{fragment: piece}
	if c.holds.wanted[n] == nil {
		return
	}
	c.decide(n)
}

// sweep forgets fragments whose time is over: each port's own, oldest first.
func (t *fragments) sweep(now time.Duration) {
	for id, of := range t.of {
		if now < t.first[of.list[of.next%len(of.list)]].until {
			continue // nor is any that came later
		}
		all := append(slices.Clone(of.list[of.next:]), of.list[:of.next]...)
		n := 0
		for n < len(all) && now >= t.first[all[n]].until {
			delete(t.first, all[n])
			n++
		}
		switch {
		case n == len(all):
			delete(t.of, id)
		case n > 0:
			of.list, of.next = slices.Clone(all[n:]), 0
		}
	}
}
