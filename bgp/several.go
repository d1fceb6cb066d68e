package bgp

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/state"
)

// mostWays is how many routes to a prefix a neighbour's paths become (RFC 7911).
const mostWays = 16

// besides returns all paths that the neighbour has to the prefixes of an UPDATE's, those to one next to each other: each of its paths by itself comes and goes. A prefix to which it has none any more
// is withdrawn. The caller has judging.
func (s *session) besides(paths []*apiutil.Path) []*apiutil.Path {
	gone := map[netip.Prefix]*apiutil.Path{}
	var prefixes []netip.Prefix
	for _, p := range paths {
		nlri, ok := p.Nlri.(*msg.IPAddrPrefix)
		if !ok || !nlri.Prefix.IsValid() {
			continue
		}
		prefix := nlri.Prefix.Masked()
		if gone[prefix] == nil {
			prefixes = append(prefixes, prefix)
			gone[prefix] = &apiutil.Path{Family: p.Family, Nlri: nlri, Withdrawal: true}
		}
	}
	var all []*apiutil.Path
	if err := s.eachPath(exactly(prefixes), func(paths []*apiutil.Path) {
		if nlri, ok := paths[0].Nlri.(*msg.IPAddrPrefix); ok {
			delete(gone, nlri.Prefix.Masked())
		}
		all = append(all, paths...)
	}); err != nil {
		if !s.over.Load() {
			s.log.Warn("what the neighbour told of some prefixes is not listed", "err", err)
		}
		return nil
	}
	for _, p := range gone {
		all = append(all, p)
	}
	return all
}

// bestOfEach returns the best of the routes to each destination, equally good ones together: those to one are next to each other, and one without a gateway says that there is none.
func bestOfEach(routes []state.RIBRoute) []state.RIBRoute {
	best := routes[:0]
	for len(routes) > 0 {
		n := 1
		for n < len(routes) && routes[n].Dst == routes[0].Dst {
			n++
		}
		dst, some := routes[0].Dst, slices.Clone(routes[:n]) // best overwrites them
		routes = routes[n:]
		some = slices.DeleteFunc(some, func(r state.RIBRoute) bool { return !r.Via.IsValid() })
		slices.SortFunc(some, func(a, b state.RIBRoute) int { return cmp.Or(cmp.Compare(a.Metric, b.Metric), a.Via.Compare(b.Via)) })
		some = slices.CompactFunc(some, func(a, b state.RIBRoute) bool { return a.Via == b.Via })
		if len(some) == 0 {
			best = append(best, state.RIBRoute{Dst: dst})
			continue
		}
		k := 1
		for k < min(len(some), mostWays) && some[k].Metric == some[0].Metric {
			k++
		}
		best = append(best, some[:k]...)
	}
	return best
}
