package bgp

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/topology"
)

// advertised are the prefixes that a session tells its neighbour: those that its export rules choose, of families that the session has.
func advertised(s *topology.BGPSession) map[netip.Prefix]topology.BGPPrefix {
	m := map[netip.Prefix]topology.BGPPrefix{}
	if s == nil {
		return m
	}
	for _, p := range s.Advertise {
		if yes, _ := s.Export.Permits(p.Prefix, nil); yes && (p.Prefix.Addr().Is4() && s.V4 || p.Prefix.Addr().Is6() && s.V6) {
			m[p.Prefix] = p
		}
	}
	return m
}

// advertise has GoBGP tell what is to be told now, and not what was and is not to be any more.
func (s *session) advertise(old, now *topology.BGPSession) error {
	before, after := advertised(old), advertised(now)
	var paths []*apiutil.Path
	for prefix, p := range after {
		if was, told := before[prefix]; !told || !reflect.DeepEqual(was, p) {
			path, err := s.path(p, false)
			if err != nil {
				return err
			}
			paths = append(paths, path)
		}
	}
	for prefix, p := range before {
		if _, stays := after[prefix]; !stays {
			path, err := s.path(p, true)
			if err != nil {
				return err
			}
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	slices.SortFunc(paths, func(a, b *apiutil.Path) int {
		return a.Nlri.(*msg.IPAddrPrefix).Prefix.Compare(b.Nlri.(*msg.IPAddrPrefix).Prefix)
	})
	_, err := s.server.AddPath(apiutil.AddPathRequest{Paths: paths})
	return err
}

// path is a prefix as the neighbour is told it: the next hop is the port's address.
func (s *session) path(p topology.BGPPrefix, withdraw bool) (*apiutil.Path, error) {
	nlri, err := msg.NewIPAddrPrefix(p.Prefix)
	if err != nil {
		return nil, err
	}
	path := &apiutil.Path{Family: msg.RF_IPv4_UC, Nlri: nlri, Withdrawal: withdraw}
	attrs := []msg.PathAttributeInterface{msg.NewPathAttributeOrigin(msg.BGP_ORIGIN_ATTR_TYPE_IGP), msg.NewPathAttributeMultiExitDisc(p.MED)}
	attrs = append(attrs, marks(p, s.spec)...)
	via := s.nextHop(p.Prefix)
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
func (s *session) nextHop(p netip.Prefix) netip.Addr {
	if local := s.spec.Local(s.port); local.Is4() == p.Addr().Is4() && !local.IsLinkLocalUnicast() {
		return local
	}
	for _, a := range s.port.Addrs {
		if a.Addr().Is4() == p.Addr().Is4() {
			return a.Addr()
		}
	}
	return s.port.LinkLocal
}
