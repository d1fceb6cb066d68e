package bgp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// store opens a process's view of the database, and loads the router.
func (r *role) store(ctx context.Context) (*state.Store, error) {
	s, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: r.Endpoints}, Edges: []string{r.Edge}})
	if err != nil {
		return nil, err
	}
	go func() { _ = s.Run(ctx) }()
	s.Load(r.Router)
	return s, s.Wait(ctx, func(t *topology.Snapshot) bool { return t.Router(r.Router) != nil })
}

// roleBorder is an edge with an uplink: the agent's part that speaks BGP, with the neighbour's TCP connections handed on to where the peer listens.
func roleBorder(ctx context.Context, r *role, orders <-chan string) error {
	s, err := r.store(ctx)
	if err != nil {
		return err
	}
	live := make(chan struct{}, 1)
	reg, err := s.RegisterEdge(state.EdgeInfo{ID: r.Edge, VTEPs: []netip.Addr{addrsA[0]}, Encaps: []string{"vxlan"}, MTU: cableMTU}, state.EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		return err
	}
	go func() { _ = reg.Run(ctx) }()
	<-live
	speaker := New(Config{Edge: r.Edge, Store: s, Stack: Userspace, Log: slog.New(upTeller{slog.NewTextHandler(os.Stderr, nil)})})
	go func() { _ = speaker.Run(ctx) }()
	l, err := link(ctx, r, speaker)
	if err != nil {
		return err
	}
	tell("ready", 0)
	for order := range orders {
		switch order {
		case "go":
			v4, _ := gateways(r.Uplink)
			speaker.Speak(ctx, []Port{{Port: s.View().Topology.VPort(r.Port), Send: l.send, Sessions: []*topology.BGPSession{{
				Name: "isp/" + r.Edge, Port: r.Port, LocalAS: benchAS, PeerAS: benchPeerAS, PeerAddress: v4, V4: true, V6: true, HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, ConnectRetry: time.Second,
			}}}})
		case "lose":
			tell("lose", time.Now().UnixNano())
			l.reset()
		}
	}
	return nil
}

// uplink is the neighbour's end of a port: a stack of its own, whose connections go on to the peer's process.
type uplink struct {
	network network
	toB     chan []byte

	mu    sync.Mutex
	conns []net.Conn
}

// link makes the neighbour's end.
func link(ctx context.Context, r *role, speaker *Speaker) (*uplink, error) {
	u := &uplink{toB: make(chan []byte, 4096)}
	toA := make(chan []byte, 4096)
	v4, v6 := gateways(r.Uplink)
	var err error
	if u.network, err = newUserspace("neighbour", []netip.Addr{v4, v6}, cableMTU, func(p []byte) { put(toA, p) }); err != nil {
		return nil, err
	}
	carry := func(queue <-chan []byte, to func([]byte)) {
		for {
			select {
			case p := <-queue:
				to(p)
			case <-ctx.Done():
				return
			}
		}
	}
	go carry(toA, func(p []byte) { speaker.Receive(r.Port, p) })
	go carry(u.toB, u.network.Receive)
	l, err := u.network.Listen(netip.AddrPortFrom(v4, bgpPort))
	if err != nil {
		return nil, err
	}
	router := v4.As4()
	router[3]--
	if err := l.Expect(netip.AddrFrom4(router), options{}); err != nil {
		return nil, err
	}
	go u.serve(ctx, l, r)
	return u, nil
}

func put(queue chan<- []byte, p []byte) {
	select {
	case queue <- append([]byte(nil), p...):
	default: // as a cable does
	}
}

func (u *uplink) send(p []byte) { put(u.toB, p) }

// serve joins the router's connections with ones to the peer.
func (u *uplink) serve(ctx context.Context, l listener, r *role) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(r.From)}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		peer, err := d.DialContext(ctx, "tcp", r.At)
		if err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			conn.Close()
			continue
		}
		u.mu.Lock()
		u.conns = append(u.conns, conn, peer)
		u.mu.Unlock()
		go func() { _, _ = io.Copy(conn, peer); conn.Close() }()
		go func() { _, _ = io.Copy(peer, conn); peer.Close() }()
	}
}

// reset ends all connections at once.
func (u *uplink) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.conns {
		c.Close()
	}
	u.conns = nil
}

// roleEdge is another edge: it tells when its snapshot has all routes, and, asked for "way n", when all destinations lead by uplink n.
func roleEdge(ctx context.Context, r *role, orders <-chan string) error {
	s, err := r.store(ctx)
	if err != nil {
		return err
	}
	own := s.View().Topology.Router(r.Router).Routes.Len()
	prefixes, err := benchPrefixes(r.Stride)
	if err != nil {
		return err
	}
	tell("ready", 0)
	all := func() error {
		err := s.Wait(ctx, func(t *topology.Snapshot) bool { return t.Router(r.Router).Routes.Len() == own+r.Want })
		tell("all", time.Now().UnixNano())
		return err
	}
	if err := all(); err != nil {
		return err
	}
	for order := range orders {
		var uplink int
		if _, err := fmt.Sscanf(order, "way %d", &uplink); err != nil {
			continue
		}
		tell("waits", 0)
		var at int64
		if err := s.Wait(ctx, func(t *topology.Snapshot) bool {
			at = time.Now().UnixNano()
			return leads(t.Router(r.Router).Routes, prefixes, uplink, 1009) && leads(t.Router(r.Router).Routes, prefixes, uplink, 1)
		}); err != nil {
			return err
		}
		tell("way", at)
	}
	return nil
}

// leads reports whether every stride-th prefix's first address leads by an uplink.
func leads(t *topology.LPM, prefixes []netip.Prefix, uplink, stride int) bool {
	v4, v6 := gateways(uplink)
	for i := 0; i < len(prefixes); i += stride {
		a := prefixes[i].Addr()
		key := flow.AddrOf(a)
		m := t.Lookup(&key, &key, a.Is6())
		if len(m.Routes) == 0 || m.Hop.Via != v4 && m.Hop.Via != v6 && m.Routes[0].Origin == topology.OriginLearned {
			return false
		}
	}
	return true
}
