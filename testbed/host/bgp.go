package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// BGPConfig describes a router that waits for one BGP session, with whoever begins it.
type BGPConfig struct {
	AS, PeerAS uint32
	ID         netip.Addr    // BGP identifier, and IPv4 next hop; default: the host's first IPv4 address
	HoldTime   int           // seconds; default GoBGP's
	BFD        time.Duration // between packets that watch the way to who has the session, three lost; 0: nothing watches it
}

// BGP is a router's end of a session. It is closed with the host.
type BGP struct {
	host    *Host
	server  *server.BgpServer
	watched sync.Once
	pulled  Link // where the host's cable was plugged in
}

// ServeBGP waits for a session at port 179: GoBGP, on the host's own TCP/IP stack.
func (h *Host) ServeBGP(c BGPConfig) (*BGP, error) {
	listener, err := h.ListenTCP(179)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*BGP, error) {
		listener.Close()
		return nil, fmt.Errorf("host %s: BGP: %w", h.cfg.Name, err)
	}
	if !c.ID.IsValid() {
		c.ID = h.first(netip.Addr.Is4)
	}
	port, err := freePort()
	if err != nil {
		return fail(err)
	}
	b := &BGP{host: h, server: server.NewBgpServer(server.LoggerOption(slog.New(slog.DiscardHandler), nil))}
	go b.server.Serve()
	if err := b.server.StartBgp(h.ctx, &api.StartBgpRequest{Global: &api.Global{Asn: c.AS, RouterId: c.ID.String(), ListenPort: int32(port), ListenAddresses: []string{"127.0.0.1"}}}); err != nil {
		return fail(err)
	}
	peer := &api.Peer{
		Conf: &api.PeerConf{NeighborAddress: "127.0.0.1", PeerAsn: c.PeerAS}, Transport: &api.Transport{PassiveMode: true},
		Timers:          &api.Timers{Config: &api.TimersConfig{HoldTime: uint64(c.HoldTime), IdleHoldTimeAfterReset: 1}},
		GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 30},
	}
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		})
	}
	if err := b.server.AddPeer(h.ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
		b.server.Stop()
		return fail(err)
	}
	h.services.Go(func() { b.serve(listener, port, c.BFD) })
	return b, nil
}

// Stop ends the session with a word (RFC 4486), and has no other until Start.
func (b *BGP) Stop(ctx context.Context) error {
	return b.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: "127.0.0.1"})
}

// Start is the end of Stop.
func (b *BGP) Start(ctx context.Context) error {
	return b.server.EnablePeer(ctx, &api.EnablePeerRequest{Address: "127.0.0.1"})
}

// serve hands connections to GoBGP until the host is closed.
func (b *BGP) serve(listener net.Listener, port int, every time.Duration) {
	defer b.server.Stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if every > 0 {
			b.watched.Do(func() { b.watch(conn, every) })
		}
		b.host.services.Go(func() {
			defer conn.Close()
			near, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return
			}
			defer near.Close()
			over := make(chan struct{}, 2)
			go func() { _, _ = io.Copy(near, conn); over <- struct{}{} }()
			go func() { _, _ = io.Copy(conn, near); over <- struct{}{} }()
			select {
			case <-over:
			case <-b.host.ctx.Done():
			}
		})
	}
}

// Announce tells the neighbour that the host reaches prefixes, whose next hop it is, by an AS path in front of which its own comes. With withdraw, that it does not.
func (b *BGP) Announce(withdraw bool, path []uint32, prefixes ...netip.Prefix) error {
	var list []*apiutil.Path
	for _, p := range prefixes {
		nlri, err := bgp.NewIPAddrPrefix(p)
		if err != nil {
			return err
		}
		attrs := []bgp.PathAttributeInterface{
			bgp.NewPathAttributeOrigin(0), bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, path)}),
		}
		entry := &apiutil.Path{Family: bgp.RF_IPv4_UC, Nlri: nlri, Withdrawal: withdraw}
		var hop bgp.PathAttributeInterface
		if p.Addr().Is4() {
			hop, err = bgp.NewPathAttributeNextHop(b.host.first(netip.Addr.Is4))
		} else {
			entry.Family = bgp.RF_IPv6_UC
			hop, err = bgp.NewPathAttributeMpReachNLRI(entry.Family, []bgp.PathNLRI{{NLRI: nlri}}, b.host.first(netip.Addr.Is6))
		}
		if err != nil {
			return err
		}
		entry.Attrs = append(attrs, hop)
		list = append(list, entry)
	}
	_, err := b.server.AddPath(apiutil.AddPathRequest{Paths: list})
	return err
}

// Await returns when the session is up (true), or down.
func (b *BGP) Await(ctx context.Context, up bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	is := make(chan struct{}, 1)
	see := func(e *apiutil.WatchEventMessage_PeerEvent) {
		if (e.Peer.State.SessionState == bgp.BGP_FSM_ESTABLISHED) == up && e.Type != apiutil.PEER_EVENT_END_OF_INIT {
			select {
			case is <- struct{}{}:
			default:
			}
		}
	}
	if err := b.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) { see(e) }}, server.WatchPeer()); err != nil {
		return err
	}
	select {
	case <-is:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("host %s: the BGP session is not as awaited (up: %v): %w", b.host.cfg.Name, up, context.Cause(ctx))
	}
}

// Learned returns the prefixes that the neighbour tells, in order.
func (b *BGP) Learned() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, f := range []bgp.Family{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC} {
		r := apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: "127.0.0.1", Family: f}
		if err := b.server.ListPath(r, func(n bgp.NLRI, _ []*apiutil.Path) {
			if n, ok := n.(*bgp.IPAddrPrefix); ok {
				list = append(list, n.Prefix)
			}
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list, nil
}

// first is the host's first address that is of a kind.
func (h *Host) first(is func(netip.Addr) bool) netip.Addr {
	for _, a := range h.cfg.Addrs {
		if is(a.Addr()) {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// freePort is a port of 127.0.0.1 that nobody listens at.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return at.Port, nil
}
