package host_test

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/testbed/wire"
)

// TestPace: a transfer asks before each piece how it may go on, and ends with the error that it gets.
func TestPace(t *testing.T) {
	a, b, _ := pair(t, nil)
	if err := errors.Join(b.ServeHTTP(80), b.ServeSink(9)); err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	enough := errors.New("enough")
	for name, transfer := range map[string]func(host.Pace) (host.Transfer, error){
		"http": func(p host.Pace) (host.Transfer, error) {
			return a.FetchAt(t.Context(), netip.AddrPortFrom(b.Addr4(), 80), n, p)
		},
		"tcp": func(p host.Pace) (host.Transfer, error) {
			return a.PushAt(t.Context(), netip.AddrPortFrom(b.Addr6(), 9), n, p)
		},
	} {
		var asked []int64
		got, err := transfer(func(_ context.Context, moved int64) error { asked = append(asked, moved); return nil })
		if err != nil || got.Bytes != n || got.Connected <= 0 || got.Connected > got.Duration {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if len(asked) < n/(16<<10) || asked[0] != 0 || asked[len(asked)-1] < n-16<<10 {
			t.Errorf("%s: asked at %v", name, asked)
		}
		for i := 1; i < len(asked); i++ {
			if step := asked[i] - asked[i-1]; step < 0 || step > 16<<10 {
				t.Errorf("%s: a piece of %d bytes", name, step)
			}
		}
		if _, err := transfer(func(_ context.Context, moved int64) error {
			if moved > n/2 {
				return enough
			}
			return nil
		}); !errors.Is(err, enough) {
			t.Errorf("%s: %v, want %v", name, err, enough)
		}
	}
}

// deaf is a link that loses segments with data, as long as it is told to.
type deaf struct {
	host.Link
	on   atomic.Bool
	lost atomic.Int64
}

func (d *deaf) Send(frame []byte) {
	if d.on.Load() && len(frame) > 1000 {
		d.lost.Add(1)
		return
	}
	d.Link.Send(frame)
}

// TestPerseverance: a host that sends again soon goes on for as long as others do.
func TestPerseverance(t *testing.T) {
	const tries = 20 // the stack's own number is 15
	cable := carry(t, wire.New(wire.Config{NameA: "a", NameB: "b", Seed: 1}))
	d := &deaf{Link: cable.A()}
	a := newHost(t, host.Config{Name: "a", MAC: macA, Addrs: prefixes("192.0.2.1/24"), MaxRTO: 200 * time.Millisecond}, d)
	b := newHost(t, host.Config{Name: "b", MAC: macB, Addrs: prefixes("192.0.2.2/24")}, cable.B())
	if err := b.ServeSink(9); err != nil {
		t.Fatal(err)
	}
	pushed := make(chan error, 1)
	go func() {
		_, err := a.PushAt(t.Context(), netip.AddrPortFrom(b.Addr4(), 9), 1000, func(context.Context, int64) error { d.on.Store(true); return nil })
		pushed <- err
	}()
	wait.Until(t, "a segment is sent again and again", func() bool { return d.lost.Load() > tries })
	d.on.Store(false)
	if err := <-pushed; err != nil {
		t.Error(err)
	}
}

// TestInterval: echo requests keep their distance.
func TestInterval(t *testing.T) {
	a, b, _ := pair(t, nil)
	begin := time.Now()
	result, err := a.PingWith(t.Context(), b.Addr4(), host.PingConfig{Count: 5, Interval: 10 * time.Millisecond})
	if took := time.Since(begin); err != nil || result.Received() != 5 || took < 40*time.Millisecond {
		t.Errorf("%d answers in %v, %v", result.Received(), took, err)
	}
}

// TestResolve: the MAC of a neighbour, by ARP and by ND; none of an address that nobody has.
func TestResolve(t *testing.T) {
	a, b, _ := pair(t, nil)
	for _, addr := range b.Addrs() {
		if mac, err := a.Resolve(t.Context(), addr); err != nil || mac != b.MAC() {
			t.Errorf("%s: %x, %v", addr, mac, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if mac, err := a.Resolve(ctx, netip.MustParseAddr("10.0.0.77")); err == nil {
		t.Errorf("nobody: %x", mac)
	}
}

// TestInjectAll: frames leave in the host's VLAN, and none is lost to a queue that is shorter than they are many.
func TestInjectAll(t *testing.T) {
	a, b, _ := pair(t, func(a, b *host.Config) { a.VLAN, b.VLAN = 7, 7 })
	tap := b.Tap(1 << 20)
	defer tap.Close()
	const n = 5000
	frame := append([]byte("\x02\x00\x00\x00\x00\x99\x02\x00\x00\x00\x00\x98\x88\xb5"), make([]byte, 46)...)
	err := a.InjectAll(t.Context(), func(yield func([]byte) bool) {
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
	if _, err := tap.Wait(context10(t), func(f []byte) bool { return f[12] == 0x88 && int(f[14])<<8|int(f[15]) == n-1 }); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range tap.Frames() {
		if f[12] == 0x88 {
			seen++
		}
	}
	if got := a.Counters().Injected; seen != n || got != n {
		t.Errorf("%d frames arrived, %d were sent, want %d", seen, got, n)
	}
}
