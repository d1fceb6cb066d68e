package fabric_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopbacks are the VTEP addresses of edge n.
func loopbacks(n int) (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix(fmt.Sprintf("172.16.0.%d/32", n)), netip.MustParsePrefix(fmt.Sprintf("fd01::%x/128", n))
}

// edge plugs a host into link n of the fabric, as an edge with VTEP addresses would be.
func edge(t testing.TB, f *fabric.Fabric, n, linkMTU, hostMTU int) (*host.Host, *fabric.Port) {
	t.Helper()
	port, err := f.Plug(n, linkMTU)
	if err != nil {
		t.Fatal(err)
	}
	v4, v6 := loopbacks(n)
	if err := errors.Join(f.Route(v4, n), f.Route(v6, n)); err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Config{
		Name: fmt.Sprintf("edge%d", n), MAC: [6]byte{2, 0, 0, 0, 1, byte(n)}, MTU: hostMTU,
		Addrs:    []netip.Prefix{port.Edge4, port.Edge6, v4, v6},
		Gateways: []netip.Addr{port.Gateway4, port.Gateway6},
	}, port.Edge())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, port
}

func newFabric(t testing.TB, cfg fabric.Config) *fabric.Fabric {
	t.Helper()
	f, err := fabric.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestFabricRoutes(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	a, portA := edge(t, f, 1, 0, 0)
	b, portB := edge(t, f, 200, 0, 0)
	for _, to := range b.Addrs() { // link addresses and VTEPs
		result, err := a.Ping(soon(t), to, 2)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := result.Echoes[1].TTL; got != 63 {
			t.Errorf("%s: TTL %d, want 63 after one router", to, got)
		}
		hops, err := a.Trace(soon(t), to, 4)
		gateway := portA.Gateway4
		if to.Is6() {
			gateway = portA.Gateway6
		}
		if err != nil || len(hops) != 2 || hops[0].By != gateway || hops[1].By != to || !hops[1].Reached {
			t.Errorf("trace %s: %+v, %v", to, hops, err)
		}
	}
	for _, gateway := range []netip.Addr{portA.Gateway4, portA.Gateway6, portB.Gateway4, portB.Gateway6} {
		if _, err := a.Ping(soon(t), gateway, 1); err != nil {
			t.Error(err)
		}
	}
	if got := f.Counters().TTLExceeded; got != 4 {
		t.Errorf("%d exceeded TTLs counted, want 4", got)
	}
	if c := portB.Gateway().Counters(); c.Sent == 0 || c.Received == 0 {
		t.Errorf("counters of link 200: %+v", c)
	}
	if c := f.Counters(); c.Forwarded < 16 || c.Malformed+c.Foreign+c.NoRoute+c.TooBig != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestNoRoute(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	a, port := edge(t, f, 1, 0, 0)
	for _, to := range []string{"172.16.9.9", "fd01::9:9"} {
		_, err := a.Ping(soon(t), netip.MustParseAddr(to), 1)
		var icmpErr *host.ICMPError
		if !errors.As(err, &icmpErr) || icmpErr.Kind != host.NetUnreachable {
			t.Errorf("%s: %v", to, err)
			continue
		}
		if icmpErr.From != port.Gateway4 && icmpErr.From != port.Gateway6 {
			t.Errorf("%s: error from %s", to, icmpErr.From)
		}
	}
	if got := f.Counters().NoRoute; got != 2 {
		t.Errorf("%d packets without route counted, want 2", got)
	}
}

func TestMTU(t *testing.T) {
	f := newFabric(t, fabric.Config{MTU: 9000})
	a, _ := edge(t, f, 1, 0, 9000)
	b, _ := edge(t, f, 2, 1400, 1400)
	if err := errors.Join(b.ServeSink(9), b.ServeHTTP(80)); err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{b.Addr4(), b.Addr6()} {
		_, err := a.PingWith(soon(t), to, host.PingConfig{Size: 3000, DontFragment: true})
		var icmpErr *host.ICMPError
		if !errors.As(err, &icmpErr) || icmpErr.Kind != host.TooBig || icmpErr.MTU != 1400 {
			t.Errorf("3000 bytes to %s: %v; want too-big with MTU 1400", to, err)
		}
		if _, err := a.Push(soon(t), netip.AddrPortFrom(to, 9), 2<<20); err != nil { // path MTU discovery
			t.Error(err)
		}
		if _, err := a.Fetch(soon(t), netip.AddrPortFrom(to, 80), 2<<20); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.EchoUDP(soon(t), netip.AddrPortFrom(netip.MustParseAddr("10.0.1.1"), 9), []byte("x"), 5*time.Second); err == nil {
		t.Error("the router runs a UDP service")
	}
	if got := f.Counters().TooBig; got < 2 {
		t.Errorf("%d packets too big counted, want 2 or more", got)
	}
	if _, err := a.PingWith(soon(t), b.Addr4(), host.PingConfig{Size: 3000}); err != nil {
		t.Errorf("fragmented by the router: %v", err)
	}
	if f.Counters().Fragmented == 0 {
		t.Error("the router fragmented nothing")
	}
}

func TestTransfer(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	a, _ := edge(t, f, 1, 0, 0)
	b, _ := edge(t, f, 2, 0, 0)
	if err := b.ServeSink(9); err != nil {
		t.Fatal(err)
	}
	for _, to := range b.Addrs() {
		got, err := a.Push(soon(t), netip.AddrPortFrom(to, 9), 4<<20)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: %.0f Mbit/s", to, got.Mbps())
	}
}

func TestLinkDownUpLossCapture(t *testing.T) {
	f := newFabric(t, fabric.Config{Seed: 3})
	a, portA := edge(t, f, 1, 0, 0)
	b, portB := edge(t, f, 2, 0, 0)
	var file bytes.Buffer
	if err := portB.Capture(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(soon(t), b.Addr4(), 1); err != nil {
		t.Fatal(err)
	}
	if err := portB.Capture(nil); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	packets := 0
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			break
		}
		if frame[12] == 0x08 && frame[13] == 0x00 {
			packets++
		}
	}
	if packets != 2 {
		t.Errorf("%d IPv4 packets captured, want request and reply", packets)
	}

	short := host.PingConfig{Timeout: 20 * time.Millisecond, Count: 2}
	portA.SetUp(false)
	if result, err := a.PingWith(soon(t), b.Addr4(), short); err == nil || result.Received() != 0 {
		t.Errorf("over a link that is down: %+v", result)
	}
	portA.SetUp(true)
	if _, err := a.Ping(soon(t), b.Addr4(), 1); err != nil {
		t.Error(err)
	}
	portA.SetLoss(1)
	if result, err := a.PingWith(soon(t), b.Addr4(), short); err == nil || result.Received() != 0 {
		t.Errorf("over a link that loses everything: %+v", result)
	}
	if c := portA.Edge().Counters(); c.Down < 2 || c.Lost < 2 {
		t.Errorf("counters %+v, want 2 or more frames while down and 2 or more lost", c)
	}
}

func TestUnresolvedNeighbourIsRefusedInTheEnd(t *testing.T) {
	var elapsed atomic.Int64
	begin := time.Now()
	f := newFabric(t, fabric.Config{Now: func() time.Time { return begin.Add(time.Duration(elapsed.Load())) }})
	a, portA := edge(t, f, 1, 0, 0)
	silent, err := f.Plug(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{silent.Edge4.Addr(), silent.Edge6.Addr()} {
		elapsed.Store(0)
		if _, err := a.PingWith(soon(t), to, host.PingConfig{Timeout: 20 * time.Millisecond}); !errors.Is(err, host.ErrTimeout) {
			t.Errorf("%s, asked first: %v", to, err)
		}
		elapsed.Store(int64(5 * time.Second))
		_, err := a.Ping(soon(t), to, 1)
		var icmpErr *host.ICMPError
		if !errors.As(err, &icmpErr) || icmpErr.Kind != host.HostUnreachable || icmpErr.From != portA.Gateway4 && icmpErr.From != portA.Gateway6 {
			t.Errorf("%s, asked in vain: %v", to, err)
		}
	}
	if c := f.Counters(); c.HostUnreachable != 2 {
		t.Errorf("counters %+v, want 2 unreachable", c)
	}
	if asked := silent.Gateway().Counters().Sent; asked != 4 {
		t.Errorf("%d requests on the silent link, want 4", asked)
	}
}

func TestRouteMoves(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	a, _ := edge(t, f, 1, 0, 0)
	b, portB := edge(t, f, 2, 0, 0)
	v4, v6 := loopbacks(2)
	f.Unroute(v4)
	if _, err := a.Ping(soon(t), v4.Addr(), 1); err == nil {
		t.Error("reached without a route")
	}
	if err := f.Route(v4, 2); err != nil {
		t.Fatal(err)
	}
	b.Close()
	portB.SetUp(false)
	moved, err := f.Plug(3, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := host.New(host.Config{Name: "c", MAC: [6]byte{2, 0, 0, 0, 1, 3}, Addrs: []netip.Prefix{moved.Edge4, moved.Edge6, v4, v6},
		Gateways: []netip.Addr{moved.Gateway4, moved.Gateway6}}, moved.Edge())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := errors.Join(f.Route(v4, 3), f.Route(v6, 3)); err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{v4.Addr(), v6.Addr()} {
		if _, err := a.Ping(soon(t), to, 1); err != nil {
			t.Error(err)
		}
	}
}

// TestRouteAround: what is for an edge with several links comes by the first of them that is up, for both families.
func TestRouteAround(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	a, _ := edge(t, f, 1, 0, 0)
	v4, v6 := netip.MustParsePrefix("192.0.2.77/32"), netip.MustParsePrefix("2001:db8::77/128")
	var ports []*fabric.Port
	for n := 2; n <= 3; n++ {
		p, err := f.Plug(n, 0)
		if err != nil {
			t.Fatal(err)
		}
		h, err := host.New(host.Config{Name: "b", MAC: [6]byte{2, 0, 0, 0, 1, byte(n)}, Addrs: []netip.Prefix{p.Edge4, p.Edge6, v4, v6}, Gateways: []netip.Addr{p.Gateway4, p.Gateway6}}, p.Edge())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		ports = append(ports, p)
	}
	if err := errors.Join(f.Route(v4, 2, 3), f.Route(v6, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := f.Route(v4, 2, 9); err == nil {
		t.Error("a link that is not there is taken")
	}
	for _, down := range []int{-1, 0, -1} {
		for i, p := range ports {
			p.SetUp(i != down)
		}
		by := ports[max(0, down+1)]
		for _, to := range []netip.Addr{v4.Addr(), v6.Addr()} {
			before := by.Edge().Counters().Received
			if _, err := a.Ping(soon(t), to, 1); err != nil {
				t.Errorf("link %d down: %v", down, err)
			}
			if by.Edge().Counters().Received == before {
				t.Errorf("link %d down: nothing came by link %d", down, by.N)
			}
		}
	}
}

func TestPlugErrors(t *testing.T) {
	f := newFabric(t, fabric.Config{})
	if _, err := f.Plug(1, 0); err != nil {
		t.Fatal(err)
	}
	for name, plug := range map[string]func() error{
		"taken":     func() error { _, err := f.Plug(1, 0); return err },
		"zero":      func() error { _, err := f.Plug(0, 0); return err },
		"beyond":    func() error { _, err := f.Plug(256, 0); return err },
		"small MTU": func() error { _, err := f.Plug(2, 1279); return err },
		"no port":   func() error { return f.Route(netip.MustParsePrefix("10.9.0.0/16"), 9) },
		"no prefix": func() error { return f.Route(netip.Prefix{}, 1) },
		"two runs":  func() error { return runTwice(t, f) },
	} {
		if plug() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// runTwice waits until the fabric of newFabric runs, then tries to run it again.
func runTwice(t *testing.T, f *fabric.Fabric) error {
	a, port := edge(t, f, 77, 0, 0)
	if _, err := a.Ping(soon(t), port.Gateway4, 1); err != nil {
		t.Fatal(err)
	}
	return f.Run(t.Context())
}

func BenchmarkTransfer(b *testing.B) {
	f := newFabric(b, fabric.Config{})
	sender, _ := edge(b, f, 1, 0, 0)
	receiver, _ := edge(b, f, 2, 0, 0)
	if err := receiver.ServeSink(9); err != nil {
		b.Fatal(err)
	}
	const size = 8 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sender.Push(b.Context(), netip.AddrPortFrom(receiver.Addr6(), 9), size); err != nil {
			b.Fatal(err)
		}
	}
}
