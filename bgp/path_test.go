package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/topology"
)

// told is a path as a neighbour tells it.
type told struct {
	prefix, via string
	as          []uint32
	pref, med   uint32
	origin      uint8
	marks       []uint32
}

func (p told) path(t *testing.T) *apiutil.Path {
	t.Helper()
	prefix, via := netip.MustParsePrefix(p.prefix), netip.MustParseAddr(p.via)
	nlri, err := msg.NewIPAddrPrefix(prefix)
	if err != nil {
		t.Fatal(err)
	}
	path := &apiutil.Path{Family: msg.RF_IPv4_UC, Nlri: nlri, Attrs: []msg.PathAttributeInterface{
		msg.NewPathAttributeOrigin(p.origin), msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SEQ, p.as)}),
		msg.NewPathAttributeMultiExitDisc(p.med), msg.NewPathAttributeCommunities(p.marks),
	}}
	if p.pref != 0 {
		path.Attrs = append(path.Attrs, msg.NewPathAttributeLocalPref(p.pref))
	}
	var hop msg.PathAttributeInterface
	if prefix.Addr().Is4() {
		hop, err = msg.NewPathAttributeNextHop(via)
	} else {
		path.Family = msg.RF_IPv6_UC
		hop, err = msg.NewPathAttributeMpReachNLRI(path.Family, []msg.PathNLRI{{NLRI: nlri}}, via)
	}
	if err != nil {
		t.Fatal(err)
	}
	path.Attrs = append(path.Attrs, hop)
	return path
}

func wayOut() *topology.VPort {
	return &topology.VPort{
		ID: 7, Name: "up", Device: 3, LinkLocal: netip.MustParseAddr("fe80::1"),
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
	}
}

func external() *topology.BGPSession {
	return &topology.BGPSession{Name: "isp/a", Port: 7, LocalAS: 64500, PeerAS: 64501, PeerAddress: netip.MustParseAddr("192.0.2.9"), V4: true, V6: true, RestartTime: 2 * time.Minute}
}

// TestVerdicts is what TestJudge does not have: prefixes and next hops of all kinds, communities, and that what is withdrawn takes a route away, whatever became of it.
func TestVerdicts(t *testing.T) {
	for name, x := range map[string]struct {
		told
		change  func(*topology.BGPSession)
		verdict Verdict
		via     string
	}{
		"by a link-local address":             {told: told{prefix: "2001:db8:51::/48", via: "fe80::9"}, via: "fe80::9"},
		"by the router itself":                {told: told{prefix: "2001:db8:51::/48", via: "2001:db8::1"}, verdict: RejectedVia},
		"the default route":                   {told: told{prefix: "0.0.0.0/0", via: "192.0.2.9"}, via: "192.0.2.9"},
		"half of all":                         {told: told{prefix: "0.0.0.0/1", via: "192.0.2.9"}, via: "192.0.2.9"},
		"loopback":                            {told: told{prefix: "127.0.0.0/8", via: "192.0.2.9"}, verdict: RejectedPrefix},
		"all groups":                          {told: told{prefix: "224.0.0.0/4", via: "192.0.2.9"}, verdict: RejectedPrefix},
		"some groups":                         {told: told{prefix: "232.0.0.0/5", via: "192.0.2.9"}, verdict: RejectedPrefix},
		"an eighth with groups":               {told: told{prefix: "224.0.0.0/3", via: "192.0.2.9"}, via: "192.0.2.9"},
		"link-local":                          {told: told{prefix: "fe80::/64", via: "2001:db8::9"}, verdict: RejectedPrefix},
		"permitted by no rule":                {told: told{prefix: "198.51.100.0/24", via: "192.0.2.9"}, change: imports(true, "10.0.0.0/8", 0), verdict: RejectedFilter},
		"without the community that is asked": {told: told{prefix: "10.1.0.0/16", via: "192.0.2.9", marks: []uint32{64501<<16 | 6}}, change: imports(true, "10.0.0.0/8", 64501<<16|7), verdict: RejectedFilter},
		"with it":                             {told: told{prefix: "10.1.0.0/16", via: "192.0.2.9", marks: []uint32{1, 64501<<16 | 7}}, change: imports(true, "10.0.0.0/8", 64501<<16|7), via: "192.0.2.9"},
	} {
		s := external()
		if x.change != nil {
			x.change(s)
		}
		r, verdict, _ := judge(s, wayOut(), x.path(t), nil)
		if want := max(x.verdict, ""); x.via != "" && verdict != Accepted || x.via == "" && verdict != want {
			t.Errorf("%s: %s, want %s", name, verdict, x.verdict)
		}
		if x.via == "" && r.Via.IsValid() || x.via != "" && r.Via != netip.MustParseAddr(x.via) || verdict != RejectedFamily && r.Dst != netip.MustParsePrefix(x.prefix) {
			t.Errorf("%s: route to %v via %v, want via %s", name, r.Dst, r.Via, x.via)
		}
		gone := x.path(t)
		gone.Withdrawal = true
		if r, verdict, _ := judge(s, wayOut(), gone, nil); r.Via.IsValid() || verdict != Accepted && verdict != RejectedFamily {
			t.Errorf("%s, withdrawn: %+v, %s", name, r, verdict)
		}
	}
}

// TestJudgedWhileStale: what a neighbour told before it was lost is stale, also if it is judged again meanwhile: it goes when the neighbour does not tell it again in time.
func TestJudgedWhileStale(t *testing.T) {
	s := &session{}
	s.port.Store(wayOut())
	for _, x := range []told{{prefix: "198.51.100.0/24", via: "192.0.2.9"}, {prefix: "2001:db8:51::/48", via: "fe80::9"}, {prefix: "127.0.0.0/8", via: "192.0.2.9"}} {
		for _, stale := range []bool{true, false} {
			p := x.path(t)
			p.Stale = stale
			if got := s.routesOf(external(), []*apiutil.Path{p}, time.Now()); len(got) != 1 || got[0].Stale != (stale && got[0].Via.IsValid()) {
				t.Errorf("%s, stale %v: %+v", x.prefix, stale, got)
			}
		}
	}
}

// imports is an import list of one rule, for prefixes within one.
func imports(permit bool, within string, community uint32) func(*topology.BGPSession) {
	return func(s *topology.BGPSession) {
		r := topology.BGPRule{Permit: permit, Prefix: netip.MustParsePrefix(within), GE: 8, LE: 32}
		if community != 0 {
			r.Community = topology.StandardCommunity(community)
		}
		s.Import = topology.BGPFilter{r}
	}
}

// TestMetric: paths are preferred by RFC 4271 section 9.1.2.2, and what comes with a path of another AS does not decide how much it is preferred here, but the session's rules may.
func TestMetric(t *testing.T) {
	inside := func(s *topology.BGPSession) { s.PeerAS = s.LocalAS }
	prefer := func(n uint32) func(*topology.BGPSession) {
		return func(s *topology.BGPSession) {
			s.Import = topology.BGPFilter{{Permit: true, Prefix: netip.MustParsePrefix("0.0.0.0/0"), LE: 32, LocalPref: n}}
		}
	}
	long := make([]uint32, 5000)
	order := []struct {
		name   string
		change func(*topology.BGPSession)
		told
	}{
		{"preferred by a rule", prefer(300), told{as: []uint32{1, 2, 3}}},
		{"preferred inside", inside, told{pref: 200, as: []uint32{1, 2, 3}}},
		{"short", nil, told{as: []uint32{1}, origin: 2, med: 9}},
		{"of a better origin", nil, told{as: []uint32{1, 2}, origin: 0, med: 4000000000}},
		{"from outside", nil, told{as: []uint32{1, 2}, origin: 1}},
		{"of a greater MED", nil, told{as: []uint32{1, 2}, origin: 1, med: 10, pref: 1000}},
		{"from inside", inside, told{as: []uint32{1, 2}, origin: 1}},
		{"long", nil, told{as: []uint32{1, 2, 3}}},
		{"too long to count", nil, told{as: long}},
		{"not preferred by a rule", prefer(50), told{as: []uint32{1}}},
	}
	last := uint64(0)
	for i, x := range order {
		s := external()
		if x.change != nil {
			x.change(s)
		}
		x.prefix, x.via = "198.51.100.0/24", "192.0.2.9"
		r, verdict, _ := judge(s, wayOut(), x.path(t), nil)
		if verdict != Accepted || i > 0 && r.Metric <= last {
			t.Errorf("%s: metric %#x (%s), that of the one before is %#x", x.name, r.Metric, verdict, last)
		}
		last = r.Metric
	}
}

// TestOriginAS: the AS that a path begins at is the last of its last sequence; of a set it is not known, and without one it is the own (RFC 6811 section 2).
func TestOriginAS(t *testing.T) {
	part := func(kind uint8, as ...uint32) msg.AsPathParamInterface { return msg.NewAs4PathParam(kind, as) }
	for _, x := range []struct {
		segments []msg.AsPathParamInterface
		want     uint32
	}{
		{nil, 64500},
		{[]msg.AsPathParamInterface{part(msg.BGP_ASPATH_ATTR_TYPE_SEQ, 64501, 64502)}, 64502},
		{[]msg.AsPathParamInterface{part(msg.BGP_ASPATH_ATTR_TYPE_SEQ, 64501), part(msg.BGP_ASPATH_ATTR_TYPE_SET, 64502)}, rpki.NoOrigin},
		{[]msg.AsPathParamInterface{part(msg.BGP_ASPATH_ATTR_TYPE_SET, 64501), part(msg.BGP_ASPATH_ATTR_TYPE_SEQ, 64502)}, 64502},
		{[]msg.AsPathParamInterface{part(msg.BGP_ASPATH_ATTR_TYPE_CONFED_SEQ, 65001)}, 64500},
		{[]msg.AsPathParamInterface{part(msg.BGP_ASPATH_ATTR_TYPE_SEQ)}, 64500},
	} {
		if got := originAS(x.segments, 64500); got != x.want {
			t.Errorf("path %v begins at AS %d, want %d", x.segments, got, x.want)
		}
	}
}
