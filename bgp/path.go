package bgp

import (
	"math"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Verdict tells what became of a prefix that a neighbour told: it is a route, or why not.
type Verdict string

// Verdicts.
const (
	Accepted       Verdict = "accepted"
	RejectedFilter Verdict = "filtered"     // by the import rules of the session
	RejectedLoop   Verdict = "as loop"      // the router's own AS is on the path (RFC 4271 section 9.1.2)
	RejectedOwn    Verdict = "own"          // a route reflector tells what this router told it (RFC 4456 section 8)
	RejectedVia    Verdict = "next hop"     // it is not on the port's link, nor is the neighbour; or the router itself
	RejectedPrefix Verdict = "no unicast"   // what is no unicast destination outside of the router: groups, loopback, link-local
	RejectedDamped Verdict = "damped"       // it changes too often (RFC 2439)
	RejectedWorse  Verdict = "worse"        // another path of the neighbour to the prefix is better (RFC 7911)
	RejectedUnable Verdict = "edge"         // the edge can not forward what others would send it
	RejectedFamily Verdict = "other family" // of a family that is not the session's
)

// attributes are what is read of a path's.
type attributes struct {
	via       netip.Addr
	localPref uint32
	med       uint32
	origin    uint8
	length    int // of the AS path (RFC 4271 section 9.1.2.2, RFC 5065 section 5.3)
	loop      bool
	reflected []netip.Addr // identifiers of who told it first within the AS, and of the clusters of reflectors that it passed
	from      uint32       // AS that the path begins at (RFC 6811 section 2)
	with      []topology.Community
}

// defaultLocalPref is that of a path that comes without (RFC 4271 leaves it to implementations; this is everybody's).
const defaultLocalPref = 100

func readAttributes(path *apiutil.Path, own uint32) attributes {
	a := attributes{from: own, localPref: defaultLocalPref, origin: msg.BGP_ORIGIN_ATTR_TYPE_INCOMPLETE}
	for _, x := range path.Attrs {
		switch x := x.(type) {
		case *msg.PathAttributeNextHop:
			a.via = x.Value
		case *msg.PathAttributeMpReachNLRI:
			a.via = x.Nexthop
			if x.LinkLocalNexthop.IsValid() && !a.via.IsValid() {
				a.via = x.LinkLocalNexthop
			}
		case *msg.PathAttributeLocalPref:
			a.localPref = x.Value
		case *msg.PathAttributeMultiExitDisc:
			a.med = x.Value
		case *msg.PathAttributeOrigin:
			a.origin = x.Value
		case *msg.PathAttributeOriginatorId:
			a.reflected = append(a.reflected, x.Value)
		case *msg.PathAttributeClusterList:
			a.reflected = append(a.reflected, x.Value...)
		case *msg.PathAttributeCommunities:
			for _, n := range x.Value {
				a.with = append(a.with, topology.StandardCommunity(n))
			}
		case *msg.PathAttributeLargeCommunities:
			for _, c := range x.Values {
				a.with = append(a.with, topology.Community{Large: true, Of: c.ASN, Value: [2]uint32{c.LocalData1, c.LocalData2}})
			}
		case *msg.PathAttributeAsPath:
			a.from = originAS(x.Value, own)
			for _, segment := range x.Value {
				a.length += segment.ASLen()
				for _, as := range segment.GetAS() {
					a.loop = a.loop || as == own
				}
			}
		}
	}
	return a
}

// originAS is the AS that a path begins at: of one that ends in a set it can't be told, and one without, or within a confederation, is of the own AS (RFC 6811 section 2).
func originAS(segments []msg.AsPathParamInterface, own uint32) uint32 {
	if len(segments) == 0 {
		return own
	}
	last := segments[len(segments)-1]
	switch list := last.GetAS(); last.GetType() {
	case msg.BGP_ASPATH_ATTR_TYPE_SEQ:
		if len(list) > 0 {
			return list[len(list)-1]
		}
	case msg.BGP_ASPATH_ATTR_TYPE_SET:
		return rpki.NoOrigin
	}
	return own
}

// Bits of a metric, from the most significant: the fewer, the better the path (RFC 4271 section 9.1.2.2). What does not fit counts as the most that does. MEDs are compared whichever AS they are from,
// so that paths have one order.
const (
	prefBits   = 20 // the most, less the local preference
	lengthBits = 10
	originBits = 2
	insideBits = 1 // 0: from another AS
	medBits    = 31
)

// metric makes of a path's attributes what routes of several sessions are compared by.
func (a *attributes) metric(internal bool) uint64 {
	m := uint64(0)
	add := func(bits int, v uint64) { m = m<<bits | min(v, 1<<bits-1) }
	add(prefBits, (1<<prefBits-1)-min(uint64(a.localPref), 1<<prefBits-1))
	add(lengthBits, uint64(a.length))
	add(originBits, uint64(a.origin))
	inside := uint64(0)
	if internal {
		inside = 1
	}
	add(insideBits, inside)
	add(medBits, min(uint64(a.med), math.MaxInt32))
	return m
}

// noRule stands for the index of an import rule where none decided.
const noRule = -1

// judge makes a route of a path that the neighbour of a session told. A path that is withdrawn, or not to be had, is a route without a gateway. rule is the index of the import rule that fits.
func judge(s *topology.BGPSession, port *topology.VPort, path *apiutil.Path, o origins) (r state.RIBRoute, v Verdict, rule int) {
	nlri, ok := path.Nlri.(*msg.IPAddrPrefix)
	if !ok || !nlri.Prefix.IsValid() {
		return state.RIBRoute{}, RejectedFamily, noRule
	}
	r = state.RIBRoute{Dst: nlri.Prefix.Masked()}
	if v4 := r.Dst.Addr().Is4(); v4 && !s.V4 || !v4 && !s.V6 {
		return r, RejectedFamily, noRule
	}
	if path.Withdrawal {
		return r, Accepted, noRule
	}
	a := readAttributes(path, s.LocalAS)
	validity, _ := validate(o, r.Dst, a.from)
	yes, rule := s.Import.Permits(r.Dst, &topology.Told{With: a.with, RPKI: validity})
	switch {
	case !unicast(r.Dst):
		return r, RejectedPrefix, rule
	case a.loop:
		return r, RejectedLoop, rule
	case s.Internal() && slices.Contains(a.reflected, routerID(port.Device)):
		return r, RejectedOwn, rule
	case !yes:
		return r, RejectedFilter, rule
	}
	via := a.via.WithZone("").Unmap()
	if !port.OnLink(via) && via.Is4() == s.PeerAddress.Is4() && port.OnLink(s.PeerAddress) {
		via = s.PeerAddress
	}
	if !via.IsValid() || via.Is4() != r.Dst.Addr().Is4() || !port.OnLink(via) {
		return r, RejectedVia, rule
	}
	if !s.Internal() {
		a.localPref = defaultLocalPref // what another AS says of it is not ours to believe (RFC 4271 section 5.1.5)
	}
	if rule >= 0 && s.Import[rule].LocalPref != 0 {
		a.localPref = s.Import[rule].LocalPref
	}
	r.Via, r.Metric = via, a.metric(s.Internal())
	return r, Accepted, rule
}

// groups are the IPv4 addresses of groups (RFC 5771): the one kind that is a whole prefix shorter than 8 bits.
var groups = netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 4)

// unicast reports whether a prefix can be one of destinations outside of the router: a short one, such as the default route, or one without groups, loopback and link-local addresses.
func unicast(p netip.Prefix) bool {
	a := p.Addr()
	return p.Bits() < groups.Bits() || p.Bits() < 8 && !groups.Contains(a) || !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() && !a.Is4In6()
}
