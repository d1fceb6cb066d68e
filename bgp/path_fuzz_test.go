package bgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// FuzzJudge: whatever GoBGP makes of the body of an UPDATE, a route comes of it that can be stored, and one with a gateway only if it is accepted, by rules that permit it and to a
// neighbour on the link.
func FuzzJudge(f *testing.F) {
	for _, paths := range [][]msg.PathAttributeInterface{
		{msg.NewPathAttributeOrigin(0), must(msg.NewPathAttributeNextHop(netip.MustParseAddr("192.0.2.9"))),
			msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64501, 64502})}), msg.NewPathAttributeMultiExitDisc(7)},
		{msg.NewPathAttributeOrigin(2), msg.NewPathAttributeLocalPref(1 << 31),
			must(msg.NewPathAttributeMpReachNLRI(msg.RF_IPv6_UC, []msg.PathNLRI{{NLRI: must(msg.NewIPAddrPrefix(netip.MustParsePrefix("2001:db8:51::/48")))}}, netip.MustParseAddr("2001:db8::9"))),
			msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SET, []uint32{64500})})},
		{must(msg.NewPathAttributeMpUnreachNLRI(msg.RF_IPv6_UC, []msg.PathNLRI{{NLRI: must(msg.NewIPAddrPrefix(netip.MustParsePrefix("2001:db8:51::/48")))}}))},
	} {
		for _, prefix := range []string{"198.51.100.0/24", "0.0.0.0/0", "224.0.0.0/4"} {
			nlri := []msg.PathNLRI{{NLRI: must(msg.NewIPAddrPrefix(netip.MustParsePrefix(prefix)))}}
			f.Add(must(msg.NewBGPUpdateMessage(nlri, paths, nlri).Body.Serialize()), true)
		}
	}
	port := &topology.VPort{ID: 2, Device: 1, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}
	f.Fuzz(func(t *testing.T, body []byte, internal bool) {
		spec := &topology.BGPSession{LocalAS: 64500, PeerAS: 64501, V4: true, V6: true, PeerAddress: netip.MustParseAddr("192.0.2.9"), Import: topology.BGPFilter{
			{Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 8, LE: 32}, {Permit: true, Prefix: netip.MustParsePrefix("0.0.0.0/0"), LE: 24}, {Permit: true, Prefix: netip.MustParsePrefix("::/0"), LE: 48},
		}}
		if internal {
			spec.PeerAS = spec.LocalAS
		}
		update := &msg.BGPUpdate{}
		if err := update.DecodeFromBytes(body); err != nil {
			return // GoBGP ends the session, or takes what it has for a withdrawal
		}
		rib, err := new(state.Store).NewRIB(state.RIBSource{Router: 1, Port: 2, Edge: "e", Session: "s"})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pathsOf(update) {
			r, verdict, _ := judge(spec, port, p, nil)
			if verdict == RejectedFamily {
				continue
			}
			yes, _ := spec.Import.Permits(r.Dst, nil)
			if via := r.Via; via.IsValid() && (verdict != Accepted || p.Withdrawal || !yes || !port.OnLink(via) || via.Is4() != r.Dst.Addr().Is4()) {
				t.Errorf("%v: %+v, %s", p, r, verdict)
			}
			if err := rib.Update([]state.RIBRoute{r}); err != nil {
				t.Errorf("%v: %v", p, err)
			}
			describe(p, r.Dst, verdict)
		}
	})
}

// pathsOf are the paths of an UPDATE, as GoBGP hands them on.
func pathsOf(u *msg.BGPUpdate) (paths []*apiutil.Path) {
	add := func(all []msg.PathNLRI, withdrawal bool) {
		for _, n := range all {
			paths = append(paths, &apiutil.Path{Nlri: n.NLRI, Attrs: u.PathAttributes, Withdrawal: withdrawal})
		}
	}
	add(u.WithdrawnRoutes, true)
	add(u.NLRI, false)
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *msg.PathAttributeMpReachNLRI:
			add(a.Value, false)
		case *msg.PathAttributeMpUnreachNLRI:
			add(a.Value, true)
		}
	}
	return paths
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
