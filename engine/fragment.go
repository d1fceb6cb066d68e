package engine

import (
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// Bounds of fragments.
const (
	maxFragmented = 4096             // packets of which a first fragment is remembered
	fragmentTime  = 30 * time.Second // RFC 791 leaves it to reassembly: 15 s; RFC 8200 section 4.5: 60 s
	fragmentWait  = time.Second      // that a later fragment waits for the first
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
}

func newFragments() fragments { return fragments{map[fragmented]firstFragment{}} }

func fragmentOf(f *packet.Frame, ingress flow.VPortID) fragmented {
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
	if len(t.first) < maxFragmented {
		t.first[piece] = firstFragment{f.SrcPort, f.DstPort, c.now() + fragmentTime}
	}
	n := awaited{fragment: piece}
	if c.holds.wanted[n] == nil {
		return
	}
	packets := c.release(n).packets
	for i := range packets {
		c.again(&packets[i], sim.Lost{})
	}
}

func (t *fragments) sweep(now time.Duration) {
	for k, p := range t.first {
		if now >= p.until {
			delete(t.first, k)
		}
	}
}
