package bgp

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// session is one session of a port: a GoBGP server with one neighbour, so that nothing of another session gets into what it tells, and the routes that it learns.
//
//	neighbour ── port ── network ── relay ── GoBGP ─┬─ paths ──▶ judge ──▶ RIB ──▶ database
//	                                                └─ states ─▶ what becomes of the RIB
//
// What was learnt stays, stale, when a neighbour that restarts gracefully is lost, and when this process begins again (RFC 4724): what is not told again by End-of-RIB, or within
// the time that the neighbour said, goes.
type session struct {
	port   atomic.Pointer[topology.VPort]
	server *server.BgpServer
	relay  *relay
	rib    *state.RIB
	log    *slog.Logger
	note   notify
	ctx    context.Context // until it ends
	stop   context.CancelFunc
	watch  watch
	run    sync.WaitGroup
	over   atomic.Bool

	origins origins

	judging sync.Mutex // held from what the neighbour told, or GoBGP lists, to what comes of it; before mu
	heard   heardSet
	damper  damper
	damped  *time.Timer // when prefixes that are held back are looked at

	mu       sync.Mutex
	spec     *topology.BGPSession
	told     map[netip.Prefix]topology.Telling // what the neighbour is told, and what it is not but for a reason
	life     life
	eors     map[msg.Family]bool // since the session is up
	stale    *time.Timer         // when what is stale goes
	cut      string              // why this end ended the connection, until GoBGP says that it is over; empty: it did not
	wayUp    bool                // BFD is up
	stopped  bool                // it told too many prefixes
	unable   string              // why the edge can not forward what others would send it for the neighbour's routes: there are none; empty: it can
	exceeds  bool                // it does
	exceeded uint64              // how often it began to
	idle     *time.Timer         // when it begins again after that
	dropped  bool                // its connection is over, and GoBGP has not said so yet: what it tells still was told before

	advertised, withheld int // how many of told are, and are not
}

// deferralTime is how long a neighbour that keeps our routes has, after our restart, to tell all that it has before we tell ours (RFC 4724 section 4.1). Nothing of ours depends on that, but GoBGP does so.
const deferralTime = 30 * time.Second

// startSession begins a session; stack and accept are those of its port. What it stores has ctx's fence.
func startSession(ctx context.Context, store *state.Store, edge string, port *topology.VPort, spec *topology.BGPSession, w *Port, origins origins, r relayConfig, note notify, log *slog.Logger) (*session, error) {
	rib, err := store.NewRIB(state.RIBSource{Router: port.Device, Port: port.ID, Edge: edge, Session: spec.Name})
	if err != nil {
		return nil, err
	}
	var s *session
	r.lost = func(err error) { s.lost(err) }
	relay, err := newRelay(r)
	if err != nil {
		return nil, fmt.Errorf("bgp: session %s: %w", spec.Name, err)
	}
	ctx, stop := context.WithCancel(ctx)
	s = &session{
		relay: relay, rib: rib, origins: origins, log: log.With("session", spec.Name), note: note, ctx: ctx, stop: stop, spec: spec, eors: map[msg.Family]bool{},
		life: life{state: Connecting, since: time.Now()},
	}
	s.port.Store(port)
	s.unable = w.Unable
	s.heard.clear()
	s.server = server.NewBgpServer(server.LoggerOption(slog.New(quiet{s.log.Handler(), &s.over}), nil))
	go s.server.Serve()
	s.stale = time.AfterFunc(spec.RestartTime, s.dropStale) // what an earlier run stored waits that long to be told again
	s.idle = time.AfterFunc(time.Hour, s.resume)
	s.idle.Stop()
	s.damped = time.AfterFunc(time.Hour, s.release)
	s.damped.Stop()
	s.run.Go(func() { _ = rib.Run(ctx) })
	if s.unable != "" || spec.RestartTime == 0 {
		rib.Clear() // what an earlier run of this edge's left leads nowhere, or is not to outlive its session
	}
	if err := s.begin(ctx, w); err != nil {
		_ = s.end(false)
		return nil, fmt.Errorf("bgp: session %s: %w", spec.Name, err)
	}
	return s, nil
}

// begin starts GoBGP.
func (s *session) begin(ctx context.Context, w *Port) error {
	if err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: s.spec.LocalAS, RouterId: routerID(s.port.Load().Device).String(), ListenPort: -1}}); err != nil {
		return err
	}
	if err := s.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnPathUpdate: func(paths []*apiutil.Path, _ time.Time) { s.learn(paths) },
		OnPathEor:    func(p *apiutil.Path, _ time.Time) { s.endOfRIB(p.Family) },
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
			if e.Type == apiutil.PEER_EVENT_STATE {
				s.became(&e.Peer.State, at)
			}
		},
	}, server.WatchPeer(), server.WatchUpdate(false, "", ""), server.WatchEor(false)); err != nil {
		return err
	}
	if err := s.keepOut(ctx); err != nil {
		return err
	}
	if err := s.tell(w); err != nil {
		return err
	}
	p := s.neighbour(s.spec)
	p.GracefulRestart.LocalRestarting = w.Forwards && s.spec.RestartTime > 0 // the bits R and F of its first OPEN
	return s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: p})
}

// keepOut keeps what the neighbour tells out of GoBGP's own table: that would be a second copy, and a decision about each path, for nobody. What the neighbour told is in its Adj-RIB-In.
func (s *session) keepOut(ctx context.Context) error {
	const own = "own"
	if err := s.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: own, Statements: []*api.Statement{{
		Name:       own,
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
	}}}}); err != nil {
		return err
	}
	return s.server.AddPolicyAssignment(ctx, &api.AddPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_IMPORT, Policies: []*api.Policy{{Name: own}}, DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}})
}

// routerID is the BGP identifier of a router, the same in all of its sessions: it has to be unique in its AS and is no address (RFC 6286 section 2.1).
func routerID(id topology.DeviceID) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(id)&0xffffff)
	return netip.AddrFrom4(a)
}

// neighbour is the session as GoBGP is told it: with a neighbour at the relay.
func (s *session) neighbour(spec *topology.BGPSession) *api.Peer {
	at := s.relay.Addr()
	p := &api.Peer{
		// A path with a loop takes the place of what was told before, of which GoBGP would say nothing if it looked for loops itself: judge does.
		Conf:      &api.PeerConf{NeighborAddress: at.Addr().String(), PeerAsn: spec.PeerAS, AuthPassword: s.relay.Secret(), AllowOwnAsn: math.MaxUint8},
		Transport: &api.Transport{RemotePort: uint32(at.Port())},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: uint64(spec.HoldTime / time.Second), KeepaliveInterval: uint64(spec.Keepalive / time.Second), ConnectRetry: 1, IdleHoldTimeAfterReset: 1,
		}},
		GracefulRestart: &api.GracefulRestart{Enabled: spec.RestartTime > 0, RestartTime: uint32(spec.RestartTime / time.Second), DeferralTime: uint32(deferralTime / time.Second)},
	}
	if !spec.Internal() {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: 255} // of the way to the relay
	}
	for _, f := range families(spec) {
		family := &api.Family{Afi: api.Family_Afi(f.Afi()), Safi: api.Family_Safi(f.Safi())}
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{
			Config: &api.AfiSafiConfig{Family: family, Enabled: true}, MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: spec.RestartTime > 0}},
			PrefixLimits: &api.PrefixLimit{Family: family}, // none: checkLimit
			AddPaths:     &api.AddPaths{Config: &api.AddPathsConfig{Receive: spec.AddPaths}},
		})
	}
	return p
}

func families(s *topology.BGPSession) (f []msg.Family) {
	if s.V4 {
		f = append(f, msg.RF_IPv4_UC)
	}
	if s.V6 {
		f = append(f, msg.RF_IPv6_UC)
	}
	return f
}

// end ends the session; forget: it is no more, and so are its routes. The error says that these are still stored, as that took too long.
func (s *session) end(forget bool) (err error) {
	if forget {
		s.watch.leave()
		s.deafen()
		_ = s.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: s.relay.Addr().Addr().String()}) // says goodbye
		ctx, cancel := context.WithTimeout(context.Background(), removeTime)
		err = s.rib.Sync(ctx)
		cancel()
	}
	s.watch.end()
	s.stop()
	s.stale.Stop()
	s.idle.Stop()
	s.damped.Stop()
	if err := s.server.StopBgp(context.Background(), &api.StopBgpRequest{AllowGracefulRestart: true}); err != nil { // without a word: a neighbour keeps our routes for one that only went away
		s.log.Warn("GoBGP was not stopped", "err", err)
	}
	s.over.Store(true)
	s.server.Stop() // also what StopBgp leaves; that there is nothing else to stop it takes for an error
	s.relay.Close()
	s.run.Wait()
	return err
}

// deafen takes all routes away, and has nothing that the neighbour told, or tells, count any more.
func (s *session) deafen() {
	s.judging.Lock()
	defer s.judging.Unlock()
	s.over.Store(true)
	s.rib.Clear()
}

// change has the session go on with what can be changed while it is up, and with what the router has now. False: it has to begin anew.
func (s *session) change(spec *topology.BGPSession, w *Port) bool {
	s.mu.Lock()
	old := s.spec
	a, b := *old, *spec
	for _, x := range []*topology.BGPSession{&a, &b} {
		x.Import, x.Export, x.Advertise, x.Redistribute, x.BFD = nil, nil, nil, nil, topology.BFD{}
		x.MaxPrefixes, x.WarnOnMaxPrefixes, x.RestartAfter, x.DefaultOriginate, x.NoDamping = 0, false, 0, false, false
	}
	if !a.Same(&b) {
		s.mu.Unlock()
		return false
	}
	s.spec = spec
	s.mu.Unlock()
	s.port.Store(w.Port)
	if err := s.tell(w); err != nil {
		s.log.Warn("what is advertised was not changed", "err", err)
	}
	s.setUnable(w.Unable)
	s.limitChanged(old, spec)
	if spec.NoDamping {
		s.judgeSome(s.damper.forget())
	}
	if old.BFD != spec.BFD {
		s.rewatch(spec.BFD)
	}
	if !reflect.DeepEqual(old.Import, spec.Import) {
		s.run.Go(func() { s.judgeAgain(nil) })
	}
	return true
}
