package bgp

import (
	"net/netip"
	"sync/atomic"

	"github.com/gaissmai/bart"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// heardSet is the prefixes that a neighbour tells: how many, and which are within another, neither of which GoBGP knows without a walk through all. Begin with clear.
type heardSet struct {
	prefixes *bart.Lite
	v4, v6   atomic.Int64 // how many there are, for those who do not change them
	again    *bart.Lite   // those that it told since its restart, until it has told all; nil: it does not restart
}

// take takes note of an UPDATE's paths, of one family each.
func (h *heardSet) take(paths []*apiutil.Path) {
	for _, p := range paths {
		nlri, ok := p.Nlri.(*msg.IPAddrPrefix)
		if !ok || !nlri.Prefix.IsValid() {
			continue
		}
		h.set(nlri.Prefix.Masked(), !p.Withdrawal)
	}
	h.count()
}

func (h *heardSet) count() {
	h.v4.Store(int64(h.prefixes.Size4()))
	h.v6.Store(int64(h.prefixes.Size6()))
}

func (h *heardSet) set(p netip.Prefix, is bool) {
	for _, set := range [...]*bart.Lite{h.prefixes, h.again} {
		switch {
		case set == nil:
		case is:
			set.Insert(p)
		default:
			set.Delete(p)
		}
	}
}

// clear: the session is over.
func (h *heardSet) clear() {
	h.prefixes, h.again = new(bart.Lite), nil
	h.count()
}

// restart: the neighbour tells all again, and what it told before holds until it has.
func (h *heardSet) restart() { h.again = new(bart.Lite) }

// whole: the neighbour has told all.
func (h *heardSet) whole() {
	if h.again != nil {
		h.prefixes, h.again = h.again, nil
		h.count()
	}
}

// counts are how many prefixes it tells of IPv4 and of IPv6.
func (h *heardSet) counts() (v4, v6 int) { return int(h.v4.Load()), int(h.v6.Load()) }
