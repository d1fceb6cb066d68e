package bgp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	msg "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/state"
)

// spliced is a session whose relay joins GoBGP's connection with a neighbour's; what it returns besides is GoBGP's end. Its GoBGP takes no orders.
func spliced(t *testing.T) (*session, net.Conn) {
	t.Helper()
	rib, err := new(state.Store).NewRIB(state.RIBSource{Router: 1, Port: 2, Edge: "e", Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{
		spec: external(), rib: rib, log: slog.New(slog.DiscardHandler), note: func(state.EventType, string, string) {}, ctx: t.Context(), eors: map[msg.Family]bool{},
		stale: time.AfterFunc(time.Hour, func() {}), idle: time.AfterFunc(time.Hour, func() {}), server: server.NewBgpServer(server.LoggerOption(slog.New(slog.DiscardHandler), nil)),
	}
	s.heard.clear()
	go s.server.Serve()
	if s.relay, err = newRelay(relayConfig{lost: s.lost, log: s.log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Stop)
	t.Cleanup(s.relay.Close)
	gobgp, own := net.Pipe()
	neighbour, other := net.Pipe()
	t.Cleanup(func() { gobgp.Close(); neighbour.Close() })
	s.relay.mu.Lock()
	s.relay.own, s.relay.other = s.relay.holdLocked(own), s.relay.holdLocked(other)
	s.relay.other.timer = time.NewTimer(time.Hour)
	s.relay.matchLocked()
	s.relay.mu.Unlock()
	return s, gobgp
}

// over fails unless a connection ends.
func over(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
		t.Errorf("the connection does not end: %d bytes, %v", n, err)
	}
}

// TestWayLostEarly: BFD fails when the session is established and GoBGP has not said so yet. It ends all the same, for that reason, and what the neighbour told is not kept, though it restarts gracefully.
func TestWayLostEarly(t *testing.T) {
	s, gobgp := spliced(t)
	s.wayChanged(t.Context(), bfd.Change{Failed: true, Diagnostic: bfd.Expired})
	over(t, gobgp)
	restarts := []msg.ParameterCapabilityInterface{msg.NewCapGracefulRestart(false, false, 90, []*msg.CapGracefulRestartTuple{msg.NewCapGracefulRestartTuple(msg.RF_IPv4_UC, true)})}
	s.became(&apiutil.PeerState{SessionState: msg.BGP_FSM_ESTABLISHED, RemoteCap: restarts}, time.Now())
	s.became(&apiutil.PeerState{SessionState: msg.BGP_FSM_IDLE, DisconnectReason: api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART}, time.Now())
	if l := &s.life; l.why != "BFD: control detection time expired" || l.keeps() || l.restart == 0 || l.flaps != 1 {
		t.Errorf("%+v", l)
	}
	if s.cut != "" {
		t.Errorf("a session that ends later ends by %q", s.cut)
	}
}

// TestWayLostUnheard: GoBGP does not take the order to end a session whose way is lost. Its connection ends, so that it hears of it, and what is told afterwards counts.
func TestWayLostUnheard(t *testing.T) {
	s, gobgp := spliced(t)
	s.life.state = Established
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.wayChanged(ctx, bfd.Change{Failed: true, Diagnostic: bfd.Expired})
	over(t, gobgp)
	s.watch.running.Wait()
	if s.taking() != nil {
		t.Error("what the neighbour told before counts")
	}
	s.became(&apiutil.PeerState{SessionState: msg.BGP_FSM_IDLE, DisconnectReason: api.PeerState_DISCONNECT_REASON_READ_FAILED}, time.Now())
	if s.taking() == nil {
		t.Error("what the neighbour tells afterwards does not count")
	}
}

// TestRenamed: a session of a port that has another name goes on, and tells so.
func TestRenamed(t *testing.T) {
	s, _ := spliced(t)
	s.port.Store(wayOut())
	renamed := *wayOut()
	renamed.Name = "other"
	if !s.change(s.spec, &Port{Port: &renamed}) {
		t.Fatal("it begins anew")
	}
	if st := s.status(); st.VPort != renamed.Tenant+"/other" {
		t.Errorf("%+v", st)
	}
}

// TestStatusIsCheap: how a session is, is known without GoBGP, which counts a million paths one by one whatever it is asked of a neighbour.
func TestStatusIsCheap(t *testing.T) {
	s, _ := spliced(t)
	s.port.Store(wayOut())
	s.became(&apiutil.PeerState{SessionState: msg.BGP_FSM_ESTABLISHED}, time.Now())
	s.life.agreed = timers{hold: 9, keepalive: 3}
	s.server = nil
	if st := s.status(); st.State != Established || st.Hold != 9 || st.Keepalive != 3 {
		t.Errorf("%+v", st)
	}
}
