package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/topology"
)

// TestJudge: what becomes of a prefix that a neighbour tells, and why, in words.
func TestJudge(t *testing.T) {
	port := &topology.VPort{Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:a::1/64")}, LinkLocal: netip.MustParseAddr("fe80::1")}
	s := &topology.BGPSession{LocalAS: 64500, PeerAS: 64501, PeerAddress: netip.MustParseAddr("192.0.2.9"), V4: true, V6: true, Import: topology.BGPFilter{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 8, LE: 32}, {Prefix: netip.MustParsePrefix("172.16.0.0/12"), GE: 12, LE: 12},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), GE: 25, LE: 32}, {Permit: true, Prefix: netip.MustParsePrefix("0.0.0.0/0"), GE: 0, LE: 32},
		{Permit: true, Prefix: netip.MustParsePrefix("2000::/3"), GE: 3, LE: 48},
	}}
	four, far := *s, *s
	four.V6 = false
	far.PeerAddress = netip.MustParseAddr("198.51.100.9") // by multihop
	for _, x := range []struct {
		session     *topology.BGPSession
		prefix, via string
		path        []uint32
		verdict     Verdict
		rule        int
		why         string
	}{
		{s, "203.0.113.0/24", "192.0.2.9", []uint32{64501}, Accepted, 3, ""},
		{s, "203.0.113.0/24", "192.0.2.77", []uint32{64501}, Accepted, 3, ""},
		{s, "203.0.113.0/24", "198.51.100.1", []uint32{64501}, Accepted, 3, ""}, // by the neighbour, which is on the link
		{s, "2001:db8::/32", "2001:db8:a::9", []uint32{64501}, Accepted, 4, ""},
		{s, "10.1.0.0/16", "192.0.2.9", []uint32{64501}, RejectedFilter, 0, "import[0] denies 10.0.0.0/8 le 32"},
		{s, "172.16.0.0/12", "192.0.2.9", []uint32{64501}, RejectedFilter, 1, "import[1] denies 172.16.0.0/12"},
		{s, "203.0.113.0/25", "192.0.2.9", []uint32{64501}, RejectedFilter, 2, "import[2] denies 0.0.0.0/0 ge 25 le 32"},
		{s, "2001:db8::/64", "2001:db8:a::9", []uint32{64501}, RejectedFilter, noRule, "no import rule fits"},
		{s, "203.0.113.0/24", "192.0.2.9", []uint32{64501, 64500}, RejectedLoop, 3, "own AS 64500 on the path"},
		{s, "2001:db8::/32", "2001:db8:b::9", []uint32{64501}, RejectedVia, 4, "next hop not on the link"},
		{s, "2001:db8::/32", "", []uint32{64501}, RejectedVia, 4, "no next hop"},
		{&far, "203.0.113.0/24", "198.51.100.9", []uint32{64501}, RejectedVia, 3, "next hop not on the link"},
		{s, "224.0.0.0/8", "192.0.2.9", []uint32{64501}, RejectedPrefix, 3, "no unicast destination outside"},
		{&four, "2001:db8::/32", "2001:db8:a::9", []uint32{64501}, RejectedFamily, noRule, "a family that is not the session's"},
	} {
		via, _ := netip.ParseAddr(x.via)
		path := pathOf(t, x.prefix, via, x.path)
		r, verdict, rule := judge(x.session, port, path, nil)
		if got := why(x.session, verdict, rule, via); verdict != x.verdict || rule != x.rule || got != x.why || r.Via.IsValid() != (verdict == Accepted) {
			t.Errorf("%s via %q by %v: %q by rule %d, %q, gateway %v; want %q by %d, %q", x.prefix, x.via, x.path, verdict, rule, got, r.Via, x.verdict, x.rule, x.why)
		}
	}
}

// TestDescribed: of paths that are judged alike, those that are no routes say why, too: the better ones, or as many as are used, are others; or the edge could not forward what they would bring.
func TestDescribed(t *testing.T) {
	spec := external()
	spec.AddPaths = true
	s := &session{}
	s.port.Store(wayOut())
	var paths []*apiutil.Path
	for i := range mostWays + 2 {
		p := pathOf(t, "198.51.100.0/24", netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), []uint32{64501})
		p.RemoteID = uint32(i)
		paths = append(paths, p)
	}
	paths = append(paths, pathOf(t, "198.51.100.0/24", netip.MustParseAddr("192.0.2.9"), []uint32{64501, 64502}), pathOf(t, "198.51.100.0/24", netip.MustParseAddr("192.0.2.9"), []uint32{64500}))
	for unable, want := range map[string]map[Verdict]string{
		"":                                 {Accepted: "", RejectedWorse: "", RejectedLoop: "own AS 64500 on the path"},
		"all uplinks of the edge are down": {RejectedUnable: "all uplinks of the edge are down", RejectedWorse: "", RejectedLoop: "own AS 64500 on the path"},
	} {
		s.unable = unable
		whys := map[string]int{}
		for _, r := range s.describeAll(spec, paths) {
			why, is := want[r.Verdict]
			if !is || r.Verdict != RejectedWorse && r.Why != why {
				t.Errorf("unable %q: %+v", unable, r)
			}
			whys[r.Why]++
		}
		if whys["another path of the neighbour is better"] != 1 || whys["16 other paths of the neighbour are as good"] != 2 || whys[unable] != mostWays {
			t.Errorf("unable %q: %v", unable, whys)
		}
	}
	rule := topology.BGPRule{Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 8, LE: 32, Community: topology.StandardCommunity(64501<<16 | 7), RPKI: "invalid"}
	if got := ruleText(&rule); got != "10.0.0.0/8 le 32 community 64501:7 rpki invalid" {
		t.Error(got)
	}
}

// pathOf is a path as GoBGP tells it.
func pathOf(t *testing.T, prefix string, via netip.Addr, path []uint32) *apiutil.Path {
	t.Helper()
	nlri, err := msg.NewIPAddrPrefix(netip.MustParsePrefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	p := &apiutil.Path{Nlri: nlri, Attrs: []msg.PathAttributeInterface{msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SEQ, path)})}}
	if !via.IsValid() {
		return p
	}
	var hop msg.PathAttributeInterface
	if via.Is4() {
		hop, err = msg.NewPathAttributeNextHop(via)
	} else {
		hop, err = msg.NewPathAttributeMpReachNLRI(msg.RF_IPv6_UC, []msg.PathNLRI{{NLRI: nlri}}, via)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Attrs = append(p.Attrs, hop)
	return p
}

func TestChoice(t *testing.T) {
	for _, x := range []struct {
		text, prefix string
		has          bool
	}{
		{"", "10.0.0.0/8", true},
		{"10.0.0.0/8", "10.0.0.0/8", true}, {"10.0.0.0/8", "10.1.0.0/16", true}, {"10.1.2.3/16", "10.1.0.0/16", true}, {"10.1.0.0/16", "10.0.0.0/8", false}, {"10.0.0.0/8", "11.0.0.0/8", false}, {"0.0.0.0/0", "::/0", false},
		{"10.1.2.3", "10.0.0.0/8", true}, {"10.1.2.3", "10.1.2.3/32", true}, {"10.1.2.3", "0.0.0.0/0", true}, {"10.1.2.3", "10.2.0.0/16", false}, {"10.1.2.3", "::/0", false},
		{"2001:db8::1", "2001:db8::/32", true}, {"::ffff:10.1.2.3", "10.0.0.0/8", true},
	} {
		c, err := ParseChoice(x.text)
		if err != nil || c.has(netip.MustParsePrefix(x.prefix)) != x.has {
			t.Errorf("%q has %s: %v, %v; want %v", x.text, x.prefix, !x.has, err, x.has)
		}
	}
	for _, text := range []string{"x", "10.0.0.0/33", "::ffff:10.0.0.0/104"} {
		if _, err := ParseChoice(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestLife: what a session went through is remembered.
func TestLife(t *testing.T) {
	l := life{state: Connecting}
	begin := time.Unix(1000, 0)
	become := func(after int, state msg.FSMState, why string, caps ...msg.ParameterCapabilityInterface) {
		l.become(&apiutil.PeerState{SessionState: state, DisconnectMessage: why, RemoteCap: caps, RouterID: netip.MustParseAddr("192.0.2.9")}, []msg.Family{msg.RF_IPv6_UC}, nil, begin.Add(time.Duration(after)*time.Second))
	}
	become(1, msg.BGP_FSM_ESTABLISHED, "", msg.NewCapMultiProtocol(msg.RF_IPv6_UC), msg.NewCapGracefulRestart(false, false, 30, []*msg.CapGracefulRestartTuple{msg.NewCapGracefulRestartTuple(msg.RF_IPv6_UC, true)}))
	if l.state != Established || l.flaps != 0 || l.restart != 30*time.Second || len(l.families) != 1 || l.families[0] != msg.RF_IPv6_UC || !l.lostAt.IsZero() {
		t.Errorf("up: %+v", l)
	}
	become(9, msg.BGP_FSM_IDLE, "hold timer expired")
	become(10, msg.BGP_FSM_ACTIVE, "")
	if l.state != Connecting || l.flaps != 1 || l.why != "hold timer expired" || !l.lostAt.Equal(begin.Add(9*time.Second)) || !l.since.Equal(begin.Add(10*time.Second)) {
		t.Errorf("lost: %+v", l)
	}
	become(20, msg.BGP_FSM_ESTABLISHED, "")
	if l.why != "" || l.lostWhy != "hold timer expired" || l.flaps != 1 || l.restart != 0 || len(l.families) != 1 || l.families[0] != msg.RF_IPv4_UC {
		t.Errorf("up again, with a neighbour that tells no capabilities: %+v", l)
	}
}
