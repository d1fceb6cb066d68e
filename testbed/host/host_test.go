package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	macA = [6]byte{2, 0, 0, 0, 0, 0xa}
	macB = [6]byte{2, 0, 0, 0, 0, 0xb}
)

// carry runs a cable until the end of the test.
func carry(t testing.TB, c *wire.Cable) *wire.Cable {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func newHost(t testing.TB, cfg host.Config, link host.Link) *host.Host {
	t.Helper()
	h, err := host.New(cfg, link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// pair is two hosts on one cable; change edits their configurations.
func pair(t testing.TB, change func(a, b *host.Config)) (a, b *host.Host, cable *wire.Cable) {
	cable = carry(t, wire.New(wire.Config{NameA: "a", NameB: "b", Seed: 1}))
	ca := host.Config{Name: "a", MAC: macA, Addrs: prefixes("192.0.2.1/24", "2001:db8::1/64")}
	cb := host.Config{Name: "b", MAC: macB, Addrs: prefixes("192.0.2.2/24", "2001:db8::2/64")}
	if change != nil {
		change(&ca, &cb)
	}
	return newHost(t, ca, cable.A()), newHost(t, cb, cable.B()), cable
}

func context10(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPing(t *testing.T) {
	for _, vlan := range []uint16{0, 7} {
		a, b, _ := pair(t, func(a, b *host.Config) { a.VLAN, b.VLAN = vlan, vlan })
		for _, to := range b.Addrs() {
			for _, size := range []int{1, 56, 1400, 4000} { // the last in fragments
				result, err := a.PingWith(context10(t), to, host.PingConfig{Count: 3, Size: size})
				if err != nil || result.Received() != 3 || len(result.RTTs()) != 3 {
					t.Errorf("vlan %d, %s, %d bytes: %+v, %v", vlan, to, size, result, err)
					continue
				}
				if echo := result.Echoes[0]; echo.TTL != 64 || echo.By != to {
					t.Errorf("vlan %d, %s: first reply %+v, want TTL 64 from the target", vlan, to, echo)
				}
			}
		}
		if c := a.Counters(); c.FramesSent == 0 || c.FramesReceived == 0 || c.PacketsSent < 24 || c.PacketsReceived < 24 || c.Malformed != 0 {
			t.Errorf("vlan %d: counters %+v", vlan, c)
		}
	}
}

func TestHostsOfOtherVLANsDoNotMeet(t *testing.T) {
	a, b, _ := pair(t, func(a, b *host.Config) { a.VLAN, b.VLAN = 7, 8 })
	_, err := a.PingWith(context10(t), b.Addr4(), host.PingConfig{Timeout: 50 * time.Millisecond})
	if !errors.Is(err, host.ErrTimeout) {
		t.Errorf("ping: %v, want %v", err, host.ErrTimeout)
	}
	if b.Counters().Foreign == 0 {
		t.Error("no foreign frame counted")
	}
}

func TestPingUnanswered(t *testing.T) {
	a, _, _ := pair(t, nil)
	for _, to := range []string{"192.0.2.99", "2001:db8::99"} {
		_, err := a.PingWith(context10(t), netip.MustParseAddr(to), host.PingConfig{Timeout: 30 * time.Millisecond})
		if !errors.Is(err, host.ErrTimeout) {
			t.Errorf("%s: %v, want %v", to, err, host.ErrTimeout)
		}
	}
	for _, to := range []string{"198.51.100.1", "2001:db8:1::1"} {
		if _, err := a.Ping(context10(t), netip.MustParseAddr(to), 1); err == nil || errors.Is(err, host.ErrTimeout) {
			t.Errorf("%s without a route: %v", to, err)
		}
	}
}

func TestTransfers(t *testing.T) {
	const size = 4 << 20
	a, b, cable := pair(t, nil)
	if err := errors.Join(b.ServeSink(9), b.ServeHTTP(80)); err != nil {
		t.Fatal(err)
	}
	for _, to := range b.Addrs() {
		pushed, err := a.Push(context10(t), netip.AddrPortFrom(to, 9), size)
		if err != nil || pushed.Bytes != size {
			t.Errorf("push to %s: %+v, %v", to, pushed, err)
		}
		fetched, err := a.Fetch(context10(t), netip.AddrPortFrom(to, 80), size)
		if err != nil || fetched.Bytes != size {
			t.Errorf("fetch from %s: %+v, %v", to, fetched, err)
		}
		if fetched.SHA256 == pushed.SHA256 {
			t.Error("two transfers carried the same bytes")
		}
		t.Logf("%s: push %.0f Mbit/s, fetch %.0f Mbit/s", to, pushed.Mbps(), fetched.Mbps())
	}
	if overflow := cable.A().Counters().Overflow + cable.B().Counters().Overflow; overflow != 0 {
		t.Errorf("one connection overflowed the cable's queues by %d frames", overflow)
	}
}

func TestTransferSurvivesLoss(t *testing.T) {
	a, b, cable := pair(t, nil)
	if err := b.ServeSink(9); err != nil {
		t.Fatal(err)
	}
	for _, to := range b.Addrs() {
		if _, err := a.Ping(context10(t), to, 1); err != nil {
			t.Fatal(err)
		}
	}
	cable.SetLoss(0.02)
	for _, to := range b.Addrs() {
		if _, err := a.Push(context10(t), netip.AddrPortFrom(to, 9), 1<<20); err != nil {
			t.Error(err)
		}
	}
	if a.Counters().TCPRetransmits == 0 || cable.A().Counters().Lost == 0 {
		t.Error("nothing was lost")
	}
}

func TestConnectionRefused(t *testing.T) {
	a, b, _ := pair(t, nil)
	for _, to := range b.Addrs() {
		if conn, err := a.DialTCP(context10(t), netip.AddrPortFrom(to, 81)); err == nil {
			conn.Close()
			t.Errorf("connected to a closed port at %s", to)
		}
		_, err := a.EchoUDP(context10(t), netip.AddrPortFrom(to, 81), []byte("x"), 5*time.Second)
		var icmpErr *host.ICMPError
		if !errors.As(err, &icmpErr) || icmpErr.Kind != host.PortUnreachable || icmpErr.From != to {
			t.Errorf("UDP to a closed port at %s: %v", to, err)
		}
	}
}

func TestUDPEcho(t *testing.T) {
	a, b, _ := pair(t, nil)
	if err := b.ServeUDPEcho(7); err != nil {
		t.Fatal(err)
	}
	for _, to := range b.Addrs() {
		for _, size := range []int{0, 1, 1000, 9000} {
			if _, err := a.EchoUDP(context10(t), netip.AddrPortFrom(to, 7), bytes.Repeat([]byte{'u'}, size), 5*time.Second); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
}

// TestUDPPorts: no local port comes again before all others were used, and one that a service has is passed over.
func TestUDPPorts(t *testing.T) {
	const ephemeral = 16000
	a, b, _ := pair(t, nil)
	if err := a.ServeUDPEcho(ephemeral + 5); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		conn, err := a.DialUDP(netip.AddrPortFrom(b.Addrs()[i%2], 9))
		if err != nil {
			t.Fatal(err)
		}
		want := ephemeral + i
		if i >= 5 {
			want++
		}
		if got := conn.LocalAddr().(*net.UDPAddr).Port; got != want {
			t.Errorf("socket %d has port %d, want %d", i, got, want)
		}
		conn.Close()
	}
}

func TestTapInjectAnnounce(t *testing.T) {
	a, b, _ := pair(t, nil)
	tap := b.Tap(5)
	frame := append(append(append([]byte{}, 2, 9, 9, 9, 9, 9), macA[:]...), 0x88, 0xb5, 1, 2, 3)
	a.Inject(frame)
	got, err := tap.Wait(context10(t), func(f []byte) bool { return f[12] == 0x88 })
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("tap: %x, %v", got, err)
	}
	tagged := append(append([]byte{}, frame[:12]...), 0x81, 0, 0, 7, 0x88, 0xb5, 1, 2, 3)
	a.Inject(tagged)
	if got, err := tap.Wait(context10(t), func(f []byte) bool { return f[12] == 0x81 }); err != nil || !bytes.Equal(got, tagged) {
		t.Errorf("tap of a tagged frame: %x, %v", got, err)
	}
	a.Announce()
	for name, match := range map[string]func([]byte) bool{
		"gratuitous ARP": func(f []byte) bool {
			return binary.BigEndian.Uint16(f[12:]) == 0x0806 && bytes.Equal(f[28:32], f[38:42])
		},
		"neighbour advertisement": func(f []byte) bool { return f[12] == 0x86 && f[20] == 58 && f[54] == 136 },
	} {
		if _, err := tap.Wait(context10(t), match); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c := a.Counters(); c.Injected != 2 {
		t.Errorf("%d injected, want 2", c.Injected)
	}
	for range 5 {
		a.Inject(frame)
	}
	if _, err := a.Ping(context10(t), b.Addr4(), 1); err != nil { // all frames before it have arrived
		t.Fatal(err)
	}
	if len(tap.Frames()) != 5 || tap.Overflow() == 0 {
		t.Errorf("%d frames in a tap for 5, overflow %d", len(tap.Frames()), tap.Overflow())
	}
	tap.Close()
	if c := b.Counters(); c.Foreign < 6 {
		t.Errorf("%d foreign frames, want 6 or more", c.Foreign)
	}
}

func TestMove(t *testing.T) {
	a, b, _ := pair(t, nil)
	second := carry(t, wire.New(wire.Config{NameA: "a2", NameB: "b2"}))
	a.Connect(second.A())
	b.Connect(second.B())
	for _, to := range b.Addrs() {
		if _, err := a.Ping(context10(t), to, 1); err != nil {
			t.Error(err)
		}
	}
	a.Connect(nil)
	if _, err := a.PingWith(context10(t), b.Addr4(), host.PingConfig{Timeout: 20 * time.Millisecond}); !errors.Is(err, host.ErrTimeout) {
		t.Errorf("unplugged: %v", err)
	}
	if a.Counters().NoLink == 0 {
		t.Error("no frame counted without a link")
	}
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	a, b, cable := pair(t, nil)
	if err := b.ServeSink(9); err != nil {
		t.Fatal(err)
	}
	conn, err := a.DialTCP(context10(t), netip.AddrPortFrom(b.Addr4(), 9))
	if err != nil {
		t.Fatal(err)
	}
	cable.SetUp(false)
	errs := make(chan error, 3)
	go func() { _, err := conn.Read(make([]byte, 1)); errs <- err }()
	go func() {
		_, err := a.PingWith(context10(t), b.Addr4(), host.PingConfig{Timeout: time.Hour})
		errs <- err
	}()
	go func() {
		_, err := a.EchoUDP(context10(t), netip.AddrPortFrom(b.Addr6(), 7), []byte("x"), time.Hour)
		errs <- err
	}()
	a.Close()
	b.Close()
	for range 3 {
		if err := <-errs; err == nil {
			t.Error("a call on a closed host succeeded")
		}
	}
	if err := a.ServeSink(10); !errors.Is(err, host.ErrClosed) {
		t.Errorf("service on a closed host: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	good := host.Config{Name: "x", MAC: macA, Addrs: prefixes("192.0.2.1/24", "2001:db8::1/64")}
	for name, change := range map[string]func(*host.Config){
		"no MAC":           func(c *host.Config) { c.MAC = [6]byte{} },
		"group MAC":        func(c *host.Config) { c.MAC[0] = 1 },
		"invalid address":  func(c *host.Config) { c.Addrs = append(c.Addrs, netip.Prefix{}) },
		"MTU for IPv6":     func(c *host.Config) { c.MTU = 1279 },
		"invalid gateway":  func(c *host.Config) { c.Gateways = []netip.Addr{{}} },
		"mixed route":      func(c *host.Config) { c.Routes = []host.Route{{prefixes("10.0.0.0/8")[0], netip.IPv6Loopback()}} },
		"duplicate":        func(c *host.Config) { c.Addrs = append(c.Addrs, c.Addrs[0]) },
		"MTU beyond IP":    func(c *host.Config) { c.MTU = 70000 },
		"MTU below 68":     func(c *host.Config) { c.Addrs, c.MTU = c.Addrs[:1], 67 },
		"MTU is negative":  func(c *host.Config) { c.MTU = -1 },
		"invalid route":    func(c *host.Config) { c.Routes = []host.Route{{}} },
		"duplicate, later": func(c *host.Config) { c.Addrs = append(c.Addrs, c.Addrs[1]) },
	} {
		cfg := good
		cfg.Addrs = append([]netip.Prefix(nil), good.Addrs...)
		change(&cfg)
		if h, err := host.New(cfg, nil); err == nil {
			h.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	newHost(t, good, nil)
}

func BenchmarkPush(b *testing.B) {
	const size = 16 << 20
	sender, receiver, _ := pair(b, nil)
	if err := receiver.ServeSink(9); err != nil {
		b.Fatal(err)
	}
	for _, to := range receiver.Addrs() {
		family := map[bool]string{true: "v4", false: "v6"}[to.Is4()]
		b.Run(family+"/16MB", func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sender.Push(b.Context(), netip.AddrPortFrom(to, 9), size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
