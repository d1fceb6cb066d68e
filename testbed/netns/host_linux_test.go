package netns_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// power makes a machine that lives as long as the test.
func power(t *testing.T, on scenario.PowerOn, cfg host.Config, link host.Link) scenario.Machine {
	t.Helper()
	m, err := on(cfg, link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// pair is a machine of the kernel's on a cable with another: of the same kind, or one with a stack in memory.
func pair(t *testing.T, other scenario.PowerOn) (a, b scenario.Machine, cable *wire.Cable) {
	t.Helper()
	if err := netns.Missing(); err != nil {
		t.Skip(err)
	}
	cable = wire.New(wire.Config{NameA: "a", NameB: "b"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- cable.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	a = power(t, netns.New, host.Config{Name: "a", MAC: [6]byte{2, 0, 0, 0, 0, 0xa}, MTU: 1400, Addrs: prefixes("192.0.2.1/24", "2001:db8::1/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}}, cable.A())
	b = power(t, other, host.Config{Name: "b", MAC: [6]byte{2, 0, 0, 0, 0, 0xb}, MTU: 1400, Addrs: prefixes("192.0.2.2/24", "2001:db8::2/64")}, cable.B())
	return a, b, cable
}

// withOthers runs a test against machines of both kinds.
func withOthers(t *testing.T, test func(t *testing.T, a, b scenario.Machine, cable *wire.Cable)) {
	for name, other := range map[string]scenario.PowerOn{"namespace": netns.New, "memory": scenario.InMemory} {
		t.Run(name, func(t *testing.T) {
			a, b, cable := pair(t, other)
			test(t, a, b, cable)
		})
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPing(t *testing.T) {
	withOthers(t, func(t *testing.T, a, b scenario.Machine, _ *wire.Cable) {
		for _, to := range b.Addrs() {
			result, err := a.PingWith(limited(t), to, host.PingConfig{Count: 5, Size: 1000, Interval: 2 * time.Millisecond})
			if err != nil || result.Received() != 5 {
				t.Fatalf("%s: %d of 5 answers, %v", to, result.Received(), err)
			}
			for i, echo := range result.Echoes {
				if i == 0 && echo.RTT <= 0 || echo.TTL != 64 || echo.By != to || int(echo.Seq) != i+1 {
					t.Errorf("%s: %+v", to, echo)
				}
			}
			hops, err := a.Trace(limited(t), to, 3)
			if err != nil || len(hops) != 1 || !hops[0].Reached || hops[0].By != to {
				t.Errorf("trace %s: %+v, %v", to, hops, err)
			}
		}
	})
}

// TestPingFails: nobody there, and an ICMP error as its sender says it.
func TestPingFails(t *testing.T) {
	a, b, cable := pair(t, netns.New)
	cable.SetUp(false)
	_, err := a.PingWith(limited(t), b.Addrs()[0], host.PingConfig{Count: 2, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, host.ErrTimeout) || !strings.Contains(err.Error(), "request 1 of 2") {
		t.Errorf("cable out: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.PingWith(ctx, b.Addrs()[1], host.PingConfig{Count: 100, Timeout: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestHTTP(t *testing.T) {
	withOthers(t, func(t *testing.T, a, b scenario.Machine, _ *wire.Cable) {
		if err := errors.Join(a.ServeHTTP(80), b.ServeHTTP(80)); err != nil {
			t.Fatal(err)
		}
		const n = 3_000_000
		for i := range 2 {
			for _, way := range [][2]scenario.Machine{{a, b}, {b, a}} {
				got, err := way[0].FetchAt(limited(t), netip.AddrPortFrom(way[1].Addrs()[i], 80), n, nil)
				if err != nil || got.Bytes != n || got.Connected <= 0 || got.Connected > got.Duration {
					t.Errorf("%s from %s: %+v, %v", way[0].Name(), way[1].Addrs()[i], got, err)
				}
			}
		}
	})
}

// TestPace: a transfer goes no further than its reader lets it, and ends with the reader's error.
func TestPace(t *testing.T) {
	a, b, _ := pair(t, netns.New)
	if err := b.ServeHTTP(80); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	to := netip.AddrPortFrom(b.Addrs()[1], 80)
	_, err := a.FetchAt(limited(t), to, 20_000_000, func(_ context.Context, moved int64) error {
		if moved > 1_000_000 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
	if n := a.Counters().BytesReceived; n > 15_000_000 {
		t.Errorf("%d bytes were received of a transfer that ended after 1,000,000", n)
	}
	if _, err := a.PushAt(limited(t), to, 1, func(context.Context, int64) error { return nil }); !errors.Is(err, netns.ErrPace) {
		t.Errorf("push at a pace: %v", err)
	}
}

func TestPush(t *testing.T) {
	a, b, _ := pair(t, netns.New)
	if err := b.ServeSink(5001); err != nil {
		t.Fatal(err)
	}
	for _, to := range b.Addrs() {
		got, err := a.PushAt(limited(t), netip.AddrPortFrom(to, 5001), 2_000_000, nil)
		if err != nil || got.Bytes < 2_000_000 || got.Duration <= 0 {
			t.Errorf("%s: %+v, %v", to, got, err)
		}
	}
	if err := b.ServeSink(5001); err == nil || !strings.Contains(err.Error(), "iperf3 on TCP port 5001") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := a.PushAt(limited(t), netip.AddrPortFrom(b.Addrs()[0], 5999), 1000, nil); err == nil {
		t.Error("nobody listens, and it went well")
	}
}

func TestUDP(t *testing.T) {
	withOthers(t, func(t *testing.T, a, b scenario.Machine, _ *wire.Cable) {
		if err := errors.Join(a.ServeUDPEcho(7), b.ServeUDPEcho(7)); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			for _, way := range [][2]scenario.Machine{{a, b}, {b, a}} {
				to := way[1].Addrs()[i]
				if rtt, err := way[0].EchoUDP(limited(t), netip.AddrPortFrom(to, 7), make([]byte, 3000), 5*time.Second); err != nil || rtt <= 0 {
					t.Errorf("%s to %s: %v, %v", way[0].Name(), to, rtt, err)
				}
			}
			_, err := a.EchoUDP(limited(t), netip.AddrPortFrom(b.Addrs()[i], 8), []byte{1}, 5*time.Second)
			var icmpErr *host.ICMPError
			if !errors.As(err, &icmpErr) || icmpErr.Kind != host.PortUnreachable || icmpErr.From != b.Addrs()[i] {
				t.Errorf("closed port of %s: %v", b.Addrs()[i], err)
			}
		}
	})
}

func TestResolve(t *testing.T) {
	a, b, cable := pair(t, netns.New)
	for _, addr := range b.Addrs() {
		if mac, err := a.Resolve(limited(t), addr); err != nil || mac != b.MAC() {
			t.Errorf("%s: %x, %v", addr, mac, err)
		}
	}
	cable.SetUp(false)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if mac, err := a.Resolve(ctx, netip.MustParseAddr("192.0.2.77")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody: %x, %v", mac, err)
	}
}

// TestFrames: what a machine injects arrives as it is and is counted, and the counters of frames are those of the cable.
func TestFrames(t *testing.T) {
	a, b, cable := pair(t, netns.New)
	tap := b.Tap(10000)
	defer tap.Close()
	const n = 3000
	frame := append([]byte("\x02\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x0a\x88\xb5"), make([]byte, 46)...)
	err := a.InjectAll(limited(t), func(yield func([]byte) bool) {
		for i := range n {
			frame[14], frame[15] = byte(i>>8), byte(i)
			if !yield(frame) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tap.Wait(limited(t), func(f []byte) bool { return f[12] == 0x88 && int(f[14])<<8|int(f[15]) == n-1 }); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PingWith(limited(t), b.Addrs()[0], host.PingConfig{Count: 3}); err != nil {
		t.Fatal(err)
	}
	ca, cb := a.Counters(), b.Counters()
	if ca.Injected != n || ca.FramesSent < n+3 || cb.FramesReceived < n+3 || cb.FramesSent < 3 || ca.PacketsSent < 3 || cb.PacketsReceived < 3 {
		t.Errorf("a %+v; b %+v", ca, cb)
	}
	sent := cable.A().Counters()
	if later := a.Counters().FramesSent; sent.Sent < ca.FramesSent || sent.Sent > later || sent.Overflow != 0 { // the kernel has frames of its own
		t.Errorf("the cable took %+v, a sent %d to %d", sent, ca.FramesSent, later)
	}
}

// TestQuiet: once they are up, machines that nobody uses send nothing.
func TestQuiet(t *testing.T) {
	a, b, _ := pair(t, netns.New)
	for _, to := range b.Addrs() {
		if _, err := a.PingWith(limited(t), to, host.PingConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	const silence = 2 * time.Second // a kernel that probes its neighbours or reports its groups does within that
	last, since := [2]uint64{}, time.Now()
	for begin := since; time.Since(since) < silence; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limited(t).Done():
			t.Fatal(context.Cause(t.Context()))
		}
		if now := [2]uint64{a.Counters().FramesSent, b.Counters().FramesSent}; now != last {
			last, since = now, time.Now()
			if time.Since(begin) > silence {
				t.Fatalf("frames after %v: %v", time.Since(begin), now)
			}
		}
	}
	t.Logf("%d and %d frames in all", last[0], last[1])
}

// TestMove: a machine that is plugged in elsewhere goes on there.
func TestMove(t *testing.T) {
	a, b, _ := pair(t, netns.New)
	b.Connect(nil)
	if _, err := a.PingWith(limited(t), b.Addrs()[0], host.PingConfig{Timeout: 50 * time.Millisecond}); err == nil {
		t.Error("an unplugged machine answered")
	}
	near, far := crossed()
	a.Connect(near)
	b.Connect(far)
	for _, to := range b.Addrs() {
		if _, err := a.PingWith(limited(t), to, host.PingConfig{Count: 2}); err != nil {
			t.Error(err)
		}
	}
}

// crossed is a link without queues.
func crossed() (a, b *direct) {
	a, b = &direct{}, &direct{}
	a.peer, b.peer = b, a
	return a, b
}

func TestRefusals(t *testing.T) {
	if err := netns.Missing(); err != nil {
		t.Skip(err)
	}
	for name, cfg := range map[string]host.Config{
		"VLAN 5: a network namespace sends untagged": {Name: "a", MAC: [6]byte{2}, VLAN: 5},
		"is not a unicast address":                   {Name: "a"},
		"MTU 500 is not within":                      {Name: "a", MAC: [6]byte{2}, MTU: 500, Addrs: prefixes("fd00::1/64")},
		"set route 10.0.0.0/8 via fd00::1":           {Name: "a", MAC: [6]byte{2}, Routes: []host.Route{{Dst: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("fd00::1")}}},
	} {
		if m, err := netns.New(cfg, nil); err == nil || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "mixes families") {
			t.Errorf("%v, want %s", err, name)
			if m != nil {
				m.Close()
			}
		}
	}
}
