package bgp

import (
	"bufio"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// TestRelaysOfAPort: two ports with a relay each find one another over their stacks, in each family, whoever begins.
func TestRelaysOfAPort(t *testing.T) {
	needLoopback(t)
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		for i := range addrsA {
			for _, passive := range []string{"a", "b"} {
				a, closeA := portRelay(t, c.a, addrsA[i], addrsB[i], passive == "a")
				b, closeB := portRelay(t, c.b, addrsB[i], addrsA[i], passive == "b")
				ga, gb := gobgp(t, a, "open of a"), gobgp(t, b, "open of b")
				ga.hears(t, "open of b")
				gb.hears(t, "open of a")
				agree(t, ga, gb)
				ga.Close()
				gb.ends(t)
				closeA()
				closeB()
			}
		}
	})
}

// portRelay makes a relay between two addresses, with an acceptor of its own, and returns what closes both.
func portRelay(t testing.TB, n network, local, neighbour netip.Addr, passive bool) (*relay, func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	a, err := newAcceptor(n, local, log)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRelay(relayConfig{
		local: local, remote: netip.AddrPortFrom(neighbour, bgpPort), passive: passive, retry: patience,
		network: n, acceptor: a, log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	once := sync.OnceFunc(func() { r.Close(); a.Close() })
	t.Cleanup(once)
	return r, once
}

// TestAcceptorStrangers: a connection that nobody expects is closed and counted.
func TestAcceptorStrangers(t *testing.T) {
	onStacks(t, func(t *testing.T, makeA, makeB makeNetwork) {
		c := newCable(t, makeA, makeB)
		for i := range addrsA {
			a, err := newAcceptor(c.b, addrsB[i], slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			dial := func() *talker {
				conn, err := c.a.Dial(within(t, patience), addrsA[i], netip.AddrPortFrom(addrsB[i], bgpPort), options{})
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(time.Now().Add(patience))
				return &talker{conn, bufio.NewReader(conn)}
			}
			dial().ends(t)
			offered := make(chan net.Conn, 1)
			if err := a.Expect(addrsA[i], options{}, func(conn net.Conn) { offered <- conn }); err != nil {
				t.Fatal(err)
			}
			k := dial()
			other := talk(t, <-offered, "open")
			agree(t, heard(t, k, "open"), other)
			a.Refuse(addrsA[i])
			dial().ends(t)
			k.Close()
			if got := a.Strangers(); got != 2 {
				t.Errorf("%s: %d strangers, want 2", addrsB[i], got)
			}
		}
	})
}
