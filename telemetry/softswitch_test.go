package telemetry_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/testbed/certs"
)

// switch_ is a softswitch with ports p1 (1) and p256 (256) that can end and begin again at the same address.
type switch_ struct {
	t      *testing.T
	addr   string
	grpc   []grpc.ServerOption
	ends   map[uint16]*port.End
	server *softswitch.Server
	stop   func()
}

func newSwitch(t *testing.T, options ...grpc.ServerOption) *switch_ {
	s := &switch_{t: t, addr: "127.0.0.1:0", grpc: options}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *switch_) start() {
	s.t.Helper()
	s.ends = map[uint16]*port.End{}
	ports := map[uint16]port.Port{}
	for _, n := range []uint16{1, 256} {
		ports[n], s.ends[n] = port.NewLink(fmt.Sprintf("p%d", n), "host", 0)
	}
	var err error
	if s.server, err = softswitch.New(softswitch.Options{DeviceID: 1, Ports: ports, SweepInterval: 2 * time.Millisecond, GRPC: s.grpc}); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, l) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

func TestSoftswitch(t *testing.T) {
	s := newSwitch(t)
	c, links := collect(t, telemetry.Config{Address: s.addr, Last: 511, Interval: 50 * time.Millisecond})
	eventually(t, "both links are up", func() bool { return links.of("p1") == telemetry.Up && links.of("p256") == telemetry.Up })
	eventually(t, "all was told", func() bool { return c.Status().Synced })
	if st := c.Status(); st.Mode != telemetry.OnChange || st.Encoding != "PROTO" || st.Version != "0.10.0" || !st.Connected {
		t.Errorf("%+v", st)
	}
	if i := ifaceOf(c, "p256"); i.Port != 256 || i.Admin != "UP" || i.Oper != "UP" {
		t.Errorf("%+v", i)
	}
	began := time.Now()
	s.ends[256].SetUp(false)
	eventually(t, "the link is down", func() bool { return links.of("p256") == telemetry.Down })
	t.Logf("a link that went down was told of after %v", time.Since(began))
	if links.of("p1") != telemetry.Up {
		t.Error("the other one is not up")
	}
	if err := s.server.SetEnabled(1, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disabled port is down", func() bool { return links.of("p1") == telemetry.Down && ifaceOf(c, "p1").Admin == "DOWN" })
	s.ends[256].SetUp(true)
	eventually(t, "the link is up again", func() bool { return links.of("p256") == telemetry.Up })
	if n, err := s.ends[256].Send([][]byte{make([]byte, 64), make([]byte, 64)}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "two frames are counted", func() bool {
		i := ifaceOf(c, "p256")
		return i.Counters[telemetry.InPackets].Value == 2 && i.Counters[telemetry.InOctets].Value == 128 && i.Flaps == 1 && !i.LastChange.IsZero()
	})
}

// TestRestart: a switch that goes is stale, its links are unknown, and its counters go on from where they were when it comes back.
func TestRestart(t *testing.T) {
	s := newSwitch(t)
	c, links := collect(t, telemetry.Config{Address: s.addr, Interval: 20 * time.Millisecond})
	eventually(t, "the link is up", func() bool { return links.of("p1") == telemetry.Up })
	if n, err := s.ends[1].Send([][]byte{make([]byte, 64), make([]byte, 64), make([]byte, 64)}); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "three frames are counted", func() bool { return ifaceOf(c, "p1").Counters[telemetry.InPackets].Value == 3 })
	s.stop()
	eventually(t, "it is stale, and not down", func() bool { return links.of("p1") == telemetry.Unknown && ifaceOf(c, "p1").Stale })
	if st := c.Status(); st.Connected || st.Error == "" {
		t.Errorf("%+v", st)
	}
	s.start()
	eventually(t, "the link is up again", func() bool { return links.of("p1") == telemetry.Up })
	if n, err := s.ends[1].Send([][]byte{make([]byte, 64)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "four frames are counted", func() bool {
		i := ifaceOf(c, "p1")
		return i.Counters[telemetry.InPackets].Value == 4 && i.Resets > 0 && !i.Stale
	})
}

func TestTLS(t *testing.T) {
	ca, err := certs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("switch"); err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("agent"); err != nil {
		t.Fatal(err)
	}
	server, err := agent.TLS{CA: ca.Cert("ca"), Cert: ca.Cert("switch"), Key: ca.Key("switch")}.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := newSwitch(t, grpc.Creds(credentials.NewTLS(server)))
	config := func(of agent.TLS) telemetry.Config {
		client, err := of.Client()
		if err != nil {
			t.Fatal(err)
		}
		return telemetry.Config{Address: s.addr, Options: []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(client))}}
	}
	_, links := collect(t, config(agent.TLS{CA: ca.Cert("ca"), Cert: ca.Cert("agent"), Key: ca.Key("agent")}))
	eventually(t, "the link is up, by mutual TLS", func() bool { return links.of("p1") == telemetry.Up })
	c, _ := collect(t, config(agent.TLS{CA: ca.Cert("ca")}))
	eventually(t, "without a certificate it is refused", func() bool { return c.Status().Error != "" })
	if len(c.Interfaces()) != 0 {
		t.Errorf("%v", c.Interfaces())
	}
	other, err := certs.New(filepath.Join(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	c, _ = collect(t, config(agent.TLS{CA: other.Cert("ca"), Cert: ca.Cert("agent"), Key: ca.Key("agent")}))
	eventually(t, "a switch of another authority is refused", func() bool { return c.Status().Error != "" })
}
