package vpn

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// namedTunnel is a tunnel to peers with names, which a function looks up.
func namedTunnel(t *testing.T, lookup func(context.Context, string) ([]netip.Addr, error), hosts ...string) *tunnel {
	t.Helper()
	seal, err := ParseSeal(base64.StdEncoding.EncodeToString(make([]byte, keyLen)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.generate("acme/office")
	if err != nil {
		t.Fatal(err)
	}
	site := testSite()
	site.Public, site.Spec.Peers = nil, nil
	for i, h := range hosts {
		_, public, err := GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		site.Spec.Peers = append(site.Spec.Peers, topology.VPNPeerSpec{Name: h, PublicKey: public, Endpoint: h + ":51820", AllowedIPs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)}})
	}
	near, _ := port.NewLink("agent", "switch", 0)
	k := New(Config{Seal: seal, Lookup: lookup})
	r := state.VPNRecord{Site: site, Key: &key}
	w, err := newSite(k, newTrunk(near), r, new(counts)).newTunnel(t.Context(), &r, &state.VPNHold{Lock: state.VPNLock{Private: state.VPNPlace{VLAN: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// TestNameServerHangs: a tunnel is up, and ends, and knows the peers that were found, whatever the name server does about others.
func TestNameServerHangs(t *testing.T) {
	var asked atomic.Int32
	w := namedTunnel(t, func(ctx context.Context, host string) ([]netip.Addr, error) {
		asked.Add(1)
		switch host {
		case "there":
			return []netip.Addr{netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("192.0.2.9")}, nil
		case "gone":
			return nil, errors.New("no such host")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}, "hangs", "there", "gone")
	now := time.Now()
	w.lookUp(w.status(), now)
	for range 2 {
		if f := <-w.found; w.moved(f) != (f.peer == 1) {
			t.Errorf("peer %d, %v", f.peer, f.addrs)
		}
	}
	if at := w.status()[1].Endpoint; at != netip.MustParseAddrPort("192.0.2.9:51820") {
		t.Errorf("the peer is at %v", at)
	}
	n := asked.Load()
	if w.lookUp(w.status(), now); asked.Load() != n {
		t.Error("they are asked again at once")
	}
	w.call(now) // which begins a handshake with whom was found
	if w.peers[1].calls != 1 || w.peers[0].calls+w.peers[2].calls != 0 {
		t.Errorf("calls %d, %d, %d", w.peers[0].calls, w.peers[1].calls, w.peers[2].calls)
	}
	w.lookUp(w.status(), now.Add(time.Minute)) // the one that failed, and the one that does not answer where it was found
	wait.Until(t, "they are asked again", func() bool { return asked.Load() == n+2 })
}

// TestCallsEnd: a peer that does not answer is called some times, and no more; one that refuses handshakes of this host's clock until that has passed their stamp.
func TestCallsEnd(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Minute} {
		w := namedTunnel(t, func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		}, "office")
		at := time.Now()
		w.stamp = at.Add(behind)
		w.lookUp(w.status(), at)
		w.moved(<-w.found)
		calls := 0
		for again := w.call(at); !again.IsZero(); again = w.call(again) {
			if calls++; calls > 1000 || again.Sub(at) > behind+time.Minute {
				t.Fatalf("%d calls until %v", calls, again.Sub(at))
			}
		}
		if p := w.peers[0]; p.calls < maxCalls || !p.last.After(w.stamp) {
			t.Errorf("%d calls, the last after %v; the stamp is %v from then", p.calls, p.last.Sub(at), behind)
		}
	}
}

// TestNameMoves: a peer that does not answer is followed to its name's next address, and called there over either IP version.
func TestNameMoves(t *testing.T) {
	addrs := make(chan []netip.Addr, 1)
	w := namedTunnel(t, func(context.Context, string) ([]netip.Addr, error) { return <-addrs, nil }, "office")
	at := time.Now()
	for _, want := range []string{"192.0.2.1:51820", "192.0.2.2:51820"} {
		addrs <- []netip.Addr{netip.MustParseAddrPort(want).Addr(), netip.MustParseAddr("2001:db8::1")}
		w.lookUp(w.status(), at)
		if !w.moved(<-w.found) {
			t.Fatal("it is nowhere else")
		}
		if got := w.status()[0].Endpoint; got.String() != want {
			t.Errorf("it is at %v, want %s", got, want)
		}
		w.call(at)
		w.call(at.Add(time.Second))
		if got := w.status()[0].Endpoint; got.String() != "[2001:db8::1]:51820" {
			t.Errorf("after two calls it is sought at %v", got)
		}
		at = at.Add(time.Minute)
	}
}

// TestCallsAreCounted: what a peer was sent never becomes less, also where it is made anew to be called again.
func TestCallsAreCounted(t *testing.T) {
	w := namedTunnel(t, func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}, "there")
	w.lookUp(w.status(), time.Now())
	wait.Until(t, "the peer is found", func() bool {
		select {
		case f := <-w.located():
			return w.moved(f)
		default:
			return false
		}
	})
	now := time.Now()
	for calls := uint64(1); calls <= maxCalls; calls++ {
		now = now.Add(maxWait)
		w.call(now)
		if sent := w.status()[0].Sent; sent != calls*initiationLen {
			t.Errorf("%d calls, and %d bytes were sent", calls, sent)
		}
	}
}
