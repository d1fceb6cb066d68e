package bgp

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/topology"
)

// tell has GoBGP tell what is to be told now, of what the router has, and not what was told and is not to be any more. What stays as it was is not told again.
func (s *session) tell(w *Port) error {
	s.mu.Lock()
	spec, before := s.spec, s.told
	s.mu.Unlock()
	after := w.Own.Tell(spec)
	if w.Unable != "" {
		for prefix, x := range after {
			x.Why = cmp.Or(x.Why, w.Unable)
			after[prefix] = x
		}
	}
	news, gone := difference(before, after)
	var paths []*apiutil.Path
	for i, p := range slices.Concat(news, gone) {
		path, err := asTold(s.port.Load(), spec, p, i >= len(news))
		if err != nil {
			return err
		}
		paths = append(paths, path)
	}
	if len(paths) > 0 {
		slices.SortFunc(paths, func(a, b *apiutil.Path) int {
			return a.Nlri.(*msg.IPAddrPrefix).Prefix.Compare(b.Nlri.(*msg.IPAddrPrefix).Prefix)
		})
		if _, err := s.server.AddPath(apiutil.AddPathRequest{Paths: paths}); err != nil {
			return err
		}
	}
	withheld := 0
	for _, x := range after {
		if x.Why != "" {
			withheld++
		}
	}
	s.mu.Lock()
	s.told, s.advertised, s.withheld = after, len(after)-withheld, withheld
	s.mu.Unlock()
	if len(before) > 0 && len(paths) > 0 {
		s.log.Info("what the neighbour is told changed", "told", len(news), "withdrawn", len(gone))
	}
	return nil
}

// difference returns what is to be told, and what to be taken back, for a neighbour that was told one to be told the other.
func difference(before, after map[netip.Prefix]topology.Telling) (news, gone []topology.BGPPrefix) {
	for prefix, x := range after {
		was, had := before[prefix]
		switch had = had && was.Why == ""; {
		case x.Why != "" && had:
			gone = append(gone, was.BGPPrefix)
		case x.Why == "" && !(had && reflect.DeepEqual(was.BGPPrefix, x.BGPPrefix)):
			news = append(news, x.BGPPrefix)
		}
	}
	for prefix, was := range before {
		if _, stays := after[prefix]; !stays && was.Why == "" {
			gone = append(gone, was.BGPPrefix)
		}
	}
	return news, gone
}

// asTold is a prefix as the neighbour of a session is told it: the next hop is the port's address.
func asTold(port *topology.VPort, s *topology.BGPSession, p topology.BGPPrefix, withdraw bool) (*apiutil.Path, error) {
	nlri, err := msg.NewIPAddrPrefix(p.Prefix)
	if err != nil {
		return nil, err
	}
	path := &apiutil.Path{Family: msg.RF_IPv4_UC, Nlri: nlri, Withdrawal: withdraw}
	attrs := []msg.PathAttributeInterface{msg.NewPathAttributeOrigin(msg.BGP_ORIGIN_ATTR_TYPE_IGP), msg.NewPathAttributeMultiExitDisc(p.MED)}
	attrs = append(attrs, marks(p, s)...)
	via := nextHop(port, s, p.Prefix)
	if p.Prefix.Addr().Is4() {
		hop, err := msg.NewPathAttributeNextHop(via)
		if err != nil {
			return nil, err
		}
		path.Attrs = append(attrs, hop)
		return path, nil
	}
	path.Family = msg.RF_IPv6_UC
	reach, err := msg.NewPathAttributeMpReachNLRI(path.Family, []msg.PathNLRI{{NLRI: nlri}}, via)
	if err != nil {
		return nil, err
	}
	path.Attrs = append(attrs, reach)
	return path, nil
}

// marks are the attributes of a prefix that not all have.
func marks(p topology.BGPPrefix, s *topology.BGPSession) (attrs []msg.PathAttributeInterface) {
	var standard []uint32
	var large []*msg.LargeCommunity
	for _, text := range p.Communities {
		c, _ := text.Parse() // checked
		if c.Large {
			large = append(large, &msg.LargeCommunity{ASN: c.Of, LocalData1: c.Value[0], LocalData2: c.Value[1]})
		} else {
			standard = append(standard, c.Standard())
		}
	}
	if len(standard) > 0 {
		attrs = append(attrs, msg.NewPathAttributeCommunities(standard))
	}
	if len(large) > 0 {
		attrs = append(attrs, msg.NewPathAttributeLargeCommunities(large))
	}
	if p.Prepend > 0 {
		again := slices.Repeat([]uint32{s.LocalAS}, int(p.Prepend))
		attrs = append(attrs, msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SEQ, again)}))
	}
	return attrs
}

// nextHop is the port's address of a prefix's family: the session's end, or the one on the neighbour's link, or its first.
func nextHop(port *topology.VPort, s *topology.BGPSession, p netip.Prefix) netip.Addr {
	if local := s.Local(port); local.Is4() == p.Addr().Is4() && !local.IsLinkLocalUnicast() {
		return local
	}
	for _, a := range port.Addrs {
		if a.Addr().Is4() == p.Addr().Is4() {
			return a.Addr()
		}
	}
	return port.LinkLocal
}
