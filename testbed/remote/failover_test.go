package remote

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/proxy"
	"github.com/weft-sdn/weft/vpn"
)

// ways are how agents reach the database, each by itself.
type ways struct {
	mu sync.Mutex
	of map[string]*proxy.Proxy
}

func (w *ways) way(edge, endpoint string) (string, error) {
	p, err := proxy.To(endpoint)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string]*proxy.Proxy{}
	}
	w.of[edge] = p
	return p.URL(), nil
}

func (w *ways) get(edge string) *proxy.Proxy {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of[edge]
}

func (w *ways) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.of {
		p.Close()
	}
}

// holds reports whether an edge carries the VPN.
func (b *bench) holds(edge string) bool {
	st, err := b.status(edge)
	return err == nil && (st.State == vpn.Up || st.State == vpn.Calling)
}

// holder waits until an edge carries the VPN, and a peer answers it.
func (b *bench) holder() (edge, other string) {
	b.Helper()
	b.eventually("an edge holds the VPN", func() error {
		for edge, other = range map[string]string{"e1": "e2", "e2": "e1"} {
			if st, err := b.status(edge); err == nil && st.State == vpn.Up {
				return nil
			}
		}
		return errors.New("none does")
	})
	return edge, other
}

// steady pings until ctx ends, a hundred times a second, and tells the longest that there was no answer.
func steady(ctx context.Context, from pinger, to netip.Addr) (gap time.Duration) {
	last := time.Now()
	for ctx.Err() == nil {
		r, err := from.PingWith(ctx, to, host.PingConfig{Count: 1, Timeout: 100 * time.Millisecond})
		if err == nil && r.Received() == 1 {
			gap = max(gap, time.Since(last))
			last = time.Now()
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return max(gap, time.Since(last))
}

// TestHolderIsKilled: the agent that holds the VPN is gone without a word. Another edge serves, at the same remote end, and a TCP connection through the tunnel lives on.
func TestHolderIsKilled(t *testing.T) {
	t.Parallel()
	b, s, w := newSiteBench(t)
	edge, other := b.holder()
	b.pings(s, "10.1.0.5")
	b.must(b.vm().ServeSink(9))
	pushed := make(chan error, 1)
	go func() {
		_, err := s.PushAt(t.Context(), netip.MustParseAddrPort("10.1.0.5:9"), 4<<20, slowly(512<<10))
		pushed <- err
	}()
	t.Logf("%s was killed, %s has it: no ping was answered for %v", edge, other, b.kill(s, "10.1.0.5", w, edge, other))
	if err := <-pushed; err != nil {
		t.Errorf("the TCP connection: %v", err)
	}
}

// kill takes the agent that holds the VPN away, as SIGKILL does: its connections end, and it says nothing more. It returns for how long pings of from were not answered, once they are again. The agent starts again then.
func (b *bench) kill(from pinger, to string, w *ways, edge, other string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	gaps := make(chan time.Duration, 1)
	go func() { gaps <- steady(ctx, from, netip.MustParseAddr(to)) }()
	began := time.Now()
	w.get(edge).SetCut(true)
	stopped := make(chan error, 1)
	go func() { stopped <- b.StopAgent(edge) }()
	b.eventually("the other edge holds it", func() error {
		if !b.holds(other) {
			return errors.New("it does not")
		}
		return nil
	})
	b.Logf("%s has it after %v", other, time.Since(began))
	b.pings(from, to)
	b.pings(b.vm(), "fd50::2")
	cancel()
	w.get(edge).SetCut(false)
	b.must(<-stopped)
	b.must(b.StartAgent(edge))
	return <-gaps
}

// slowly lets so many bytes a second pass.
func slowly(rate int64) host.Pace {
	began := time.Now()
	return func(ctx context.Context, moved int64) error {
		t := time.NewTimer(time.Until(began.Add(time.Duration(moved) * time.Second / time.Duration(rate))))
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			return nil
		}
	}
}

// TestHolderIsCutOff: the edge that holds the VPN does not reach the database any more, and lives. It takes its link down before another edge has the VPN, and there are never two.
func TestHolderIsCutOff(t *testing.T) {
	t.Parallel()
	b, s, w := newSiteBench(t)
	edge, other := b.holder()
	b.pings(s, "10.1.0.5")
	w.get(edge).SetSilent(true)
	defer w.get(edge).SetSilent(false)
	down := false
	b.eventually("the other edge holds it", func() error {
		second, first := b.holds(other), b.holds(edge) // in this order: that one had it when this one has it would be seen
		if second && first {
			t.Fatalf("%s and %s hold the VPN", edge, other)
		}
		down = down || !first
		if !second {
			return errors.New("it does not")
		}
		return nil
	})
	if !down {
		t.Errorf("%s never took its link down", edge)
	}
	b.pings(s, "10.1.0.5")
	b.pings(b.vm(), "192.168.50.2")
	w.get(edge).SetSilent(false)
	b.eventually("the first edge stands by", func() error {
		if st, err := b.status(edge); err != nil || st.State != vpn.Standby || st.Holder != other {
			return fmt.Errorf("%+v, %w", st, err)
		}
		return nil
	})
}

// TestHolderEnds: an agent that ends gives the VPN back at once.
func TestHolderEnds(t *testing.T) {
	t.Parallel()
	b, s, _ := newSiteBench(t)
	edge, other := b.holder()
	b.pings(s, "10.1.0.5")
	b.must(b.StopAgent(edge))
	b.eventually("the other edge holds it", func() error {
		if !b.holds(other) {
			return errors.New("it does not")
		}
		return nil
	})
	b.pings(s, "10.1.0.5")
}

// newSiteBench is a lab with a VPN over sockets, and its remote site.
func newSiteBench(t testing.TB) (*bench, *Site, *ways) {
	t.Helper()
	private, public, err := vpn.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	port := freeUDP(t)
	w := &ways{}
	t.Cleanup(w.close)
	b := newBenchOf(t, benchConfig{way: w.way, text: network + site("", fmt.Sprintf("publicKey: %q, endpoint: %q", public, fmt.Sprintf("127.0.0.1:%d", port)))})
	s, err := New(Config{Host: office(), PrivateKey: private, PeerKey: b.key(), ListenPort: port, AllowedIPs: allowed()})
	b.must(err)
	t.Cleanup(s.Close)
	return b, s, w
}
