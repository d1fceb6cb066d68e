package bgp

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/weft-sdn/weft/testbed/internet"
)

// ASes and where the neighbour's processes are spoken to from.
const (
	benchAS     = 64500
	benchPeerAS = 64510
	fromBare    = "127.0.0.2"
	fromBorder  = "127.0.0.3"
)

// benchPrefixes are the prefixes that a neighbour tells: those of the Internet's table that a router takes.
func benchPrefixes(stride int) ([]netip.Prefix, error) {
	all, err := internet.Prefixes(stride)
	kept := all[:0]
	for _, p := range all {
		if unicast(p) {
			kept = append(kept, p)
		}
	}
	return kept, err
}

// gateways are the next hops of an uplink's routes.
func gateways(uplink int) (v4, v6 netip.Addr) {
	a4, a6 := addrsB[0].As4(), addrsB[1].As16()
	a4[2] += byte(uplink)
	a6[7] += byte(uplink)
	return netip.AddrFrom4(a4), netip.AddrFrom16(a6)
}

// startGoBGP starts a GoBGP server that warns only.
func startGoBGP(ctx context.Context, g *api.Global) (*server.BgpServer, error) {
	s := server.NewBgpServer(server.LoggerOption(slog.New(quiet{slog.NewTextHandler(os.Stderr, nil), new(atomic.Bool)}), nil))
	go s.Serve()
	return s, s.StartBgp(ctx, &api.StartBgpRequest{Global: g})
}

// benchNeighbour is a neighbour of both families.
func benchNeighbour(addr string, as uint32, graceful bool) *api.Peer {
	p := &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: addr, PeerAsn: as},
		Transport:       &api.Transport{},
		Timers:          &api.Timers{Config: &api.TimersConfig{HoldTime: 90, KeepaliveInterval: 30, ConnectRetry: 1, IdleHoldTimeAfterReset: 1}},
		GracefulRestart: &api.GracefulRestart{Enabled: graceful, RestartTime: 60},
	}
	for _, f := range []msg.Family{msg.RF_IPv4_UC, msg.RF_IPv6_UC} {
		family := &api.Family{Afi: api.Family_Afi(f.Afi()), Safi: api.Family_Safi(f.Safi())}
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{Family: family, Enabled: true}, MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: graceful}}})
	}
	return p
}

// rolePeer has the table, listens, and tells it to whoever connects; on "lose" it resets its sessions.
func rolePeer(ctx context.Context, r *role, orders <-chan string) error {
	at := netip.MustParseAddrPort(r.At)
	s, err := startGoBGP(ctx, &api.Global{Asn: benchPeerAS, RouterId: "192.0.2.2", ListenPort: int32(at.Port()), ListenAddresses: []string{at.Addr().String()}})
	if err != nil {
		return err
	}
	prefixes, err := benchPrefixes(r.Stride)
	if err != nil {
		return err
	}
	if err := announce(s, prefixes, r); err != nil {
		return err
	}
	for _, from := range []string{fromBare, fromBorder} {
		p := benchNeighbour(from, benchAS, r.Graceful)
		p.Transport.PassiveMode = true
		if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: p}); err != nil {
			return err
		}
	}
	tell("ready", int64(len(prefixes)))
	for range orders {
	}
	return nil
}

// announce has the server tell prefixes, 10 to 1,000 of them, drawn from anywhere, with each set of attributes.
func announce(s *server.BgpServer, prefixes []netip.Prefix, r *role) error {
	rng := rand.New(rand.NewPCG(7, uint64(r.Uplink)))
	v4, v6 := gateways(r.Uplink)
	families := map[bool][]netip.Prefix{}
	for _, p := range prefixes {
		families[p.Addr().Is4()] = append(families[p.Addr().Is4()], p)
	}
	for is4, rest := range families {
		rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		for len(rest) > 0 {
			n := min(len(rest), 10+rng.IntN(991))
			path := make([]uint32, r.Path)
			for i := range path {
				path[i] = 65_536 + rng.Uint32N(300_000)
			}
			attrs := []msg.PathAttributeInterface{
				msg.NewPathAttributeOrigin(msg.BGP_ORIGIN_ATTR_TYPE_IGP),
				msg.NewPathAttributeAsPath([]msg.AsPathParamInterface{msg.NewAs4PathParam(msg.BGP_ASPATH_ATTR_TYPE_SEQ, path)}),
			}
			var paths []*apiutil.Path
			for _, prefix := range rest[:n] {
				nlri, err := msg.NewIPAddrPrefix(prefix)
				if err != nil {
					return err
				}
				p := &apiutil.Path{Family: msg.RF_IPv4_UC, Nlri: nlri}
				if is4 {
					hop, err := msg.NewPathAttributeNextHop(v4)
					if err != nil {
						return err
					}
					p.Attrs = append(attrs[:2:2], hop)
				} else {
					p.Family = msg.RF_IPv6_UC
					reach, err := msg.NewPathAttributeMpReachNLRI(p.Family, []msg.PathNLRI{{NLRI: nlri}}, v6)
					if err != nil {
						return err
					}
					p.Attrs = append(attrs[:2:2], reach)
				}
				paths = append(paths, p)
			}
			if _, err := s.AddPath(apiutil.AddPathRequest{Paths: paths}); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

// roleBare is a GoBGP server by itself: it tells when the session is up, and when it has all that the peer told.
func roleBare(ctx context.Context, r *role, orders <-chan string) error {
	s, err := startGoBGP(ctx, &api.Global{Asn: benchAS, RouterId: "10.0.0.1", ListenPort: -1})
	if err != nil {
		return err
	}
	eors := 0
	if err := s.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPathEor: func(*apiutil.Path, time.Time) {
			if eors++; eors == 2 {
				tell("all", time.Now().UnixNano())
			}
		},
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
			if e.Type == apiutil.PEER_EVENT_STATE && e.Peer.State.SessionState == msg.BGP_FSM_ESTABLISHED {
				tell("up", time.Now().UnixNano())
			}
		},
	}, server.WatchPeer(), server.WatchEor(false)); err != nil {
		return err
	}
	for order := range orders {
		if order == "go" {
			at := netip.MustParseAddrPort(r.At)
			p := benchNeighbour(at.Addr().String(), benchPeerAS, true)
			p.Transport.RemotePort, p.Transport.LocalAddress = uint32(at.Port()), r.From
			if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: p}); err != nil {
				return err
			}
		}
	}
	return nil
}
