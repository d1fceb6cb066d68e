package peer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/peer"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	a4, a6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	b4, b6 = netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// pairs runs a test with speakers of each two makers.
func pairs(t *testing.T, test func(t *testing.T, a, b peer.Maker)) {
	for _, pair := range [][2]peer.Maker{{peer.BIRD, peer.BIRD}, {peer.BIRD, peer.FRR}, {peer.FRR, peer.BIRD}} {
		t.Run(fmt.Sprintf("%s-%s", pair[0], pair[1]), func(t *testing.T) {
			t.Parallel()
			peer.Need(t, pair[0], pair[1])
			test(t, pair[0], pair[1])
		})
	}
}

// configs are two speakers that are each other's neighbours over IPv4 and IPv6. The first announces 10.1.0.0/16 and 2001:db8:1::/48 and has an address
// of each, the second 10.2.0.0/16 and 2001:db8:2::/48.
func configs(a, b peer.Maker) (one, other peer.Config) {
	one = peer.Config{
		Maker: a, Name: "one", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Addrs: prefixes("192.0.2.1/24", "2001:db8::1/64", "10.1.0.1/32", "2001:db8:1::1/128"),
		RouterID: a4, AS: 64501, Neighbours: []peer.Neighbour{{Addr: b4, AS: 64502}, {Addr: b6, AS: 64502}},
		Announce: prefixes("10.1.0.0/16", "2001:db8:1::/48"),
	}
	other = peer.Config{
		Maker: b, Name: "other", MAC: [6]byte{2, 0, 0, 0, 0, 2}, Addrs: prefixes("192.0.2.2/24", "2001:db8::2/64"),
		RouterID: b4, AS: 64502, Neighbours: []peer.Neighbour{{Addr: a4, AS: 64501}, {Addr: a6, AS: 64501}},
		Announce: prefixes("10.2.0.0/16", "2001:db8:2::/48"),
	}
	return one, other
}

// open starts both on one cable.
func open(t *testing.T, one, other peer.Config) (a, b *peer.Peer, cable *wire.Cable) {
	t.Helper()
	cable = wire.New(wire.Config{NameA: "a", NameB: "b"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- cable.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return begin(t, one, cable.A()), begin(t, other, cable.B()), cable
}

func begin(t *testing.T, cfg peer.Config, link host.Link) *peer.Peer {
	t.Helper()
	p, err := peer.Open(cfg, link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", cfg.Name, p.Log())
		}
		p.Close()
	})
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// knows waits until a speaker was told these prefixes and no others, each with one next hop of its own IP version.
func knows(t *testing.T, p *peer.Peer, hop4, hop6 netip.Addr, want ...string) {
	t.Helper()
	expected := map[netip.Prefix][]netip.Addr{}
	for _, prefix := range prefixes(want...) {
		expected[prefix] = []netip.Addr{hop4}
		if prefix.Addr().Is6() {
			expected[prefix] = []netip.Addr{hop6}
		}
	}
	routes, err := p.AwaitRoutes(limited(t), func(routes map[netip.Prefix][]netip.Addr) bool {
		return maps.EqualFunc(routes, expected, slices.Equal)
	})
	if err != nil {
		t.Fatalf("%s knows %v, want %v: %v", p.Name(), routes, expected, err)
	}
}

// up waits until all sessions of both are.
func up(t *testing.T, a, b *peer.Peer) {
	t.Helper()
	ctx := limited(t)
	must(t, errors.Join(a.Established(ctx, b4), a.Established(ctx, b6), b.Established(ctx, a4), b.Established(ctx, a6)))
}

// TestExchange: sessions over both IP versions come up, routes go both ways and change, and the kernels use them.
func TestExchange(t *testing.T) {
	pairs(t, func(t *testing.T, one, other peer.Maker) {
		first, second := configs(one, other)
		a, b, _ := open(t, first, second)
		up(t, a, b)
		knows(t, a, b4, b6, "10.2.0.0/16", "2001:db8:2::/48")
		knows(t, b, a4, a6, "10.1.0.0/16", "2001:db8:1::/48")
		for _, to := range []string{"10.1.0.1", "2001:db8:1::1"} {
			var failed error
			if !eventually(t, func() bool { // the kernel has a route soon after it is learned
				_, failed = b.PingWith(limited(t), netip.MustParseAddr(to), host.PingConfig{Count: 1, Timeout: time.Second})
				return failed == nil
			}) {
				t.Errorf("ping %s by the route that was learned: %v\n%s", to, failed, kernelRoutes(t, b))
			}
		}
		must(t, a.Announce(limited(t), prefixes("10.3.0.0/16", "10.1.0.0/16", "2001:db8:3::/48")...))
		knows(t, b, a4, a6, "10.1.0.0/16", "10.3.0.0/16", "2001:db8:1::/48", "2001:db8:3::/48")
		must(t, a.Withdraw(limited(t), prefixes("10.1.0.0/16", "2001:db8:3::/48")...))
		knows(t, b, a4, a6, "10.3.0.0/16", "2001:db8:1::/48")
		must(t, a.Restart())
		up(t, a, b)
		knows(t, b, a4, a6, "10.3.0.0/16", "2001:db8:1::/48")
		knows(t, a, b4, b6, "10.2.0.0/16", "2001:db8:2::/48")
	})
}

func kernelRoutes(t *testing.T, p *peer.Peer) string {
	v4, _, err4 := p.Exec(limited(t), "ip", "route")
	v6, _, err6 := p.Exec(limited(t), "ip", "-6", "route")
	return fmt.Sprintf("%s%s%v", v4, v6, errors.Join(err4, err6))
}

// eventually looks until it is so, or a minute has passed.
func eventually(t *testing.T, is func() bool) bool {
	ctx := limited(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// TestPassword: sessions with one password come up, those with two do not.
func TestPassword(t *testing.T) {
	pairs(t, func(t *testing.T, one, other peer.Maker) {
		first, second := configs(one, other)
		for i, password := range []string{"right", "wrong"} { // IPv4 and IPv6
			first.Neighbours[i].Password, second.Neighbours[i].Password = "right", password
			first.Neighbours[i].Multihop, second.Neighbours[i].Multihop = 3, 3
		}
		a, b, _ := open(t, first, second)
		must(t, errors.Join(a.Established(limited(t), b4), b.Established(limited(t), a4)))
		refused := func() string {
			out, _, err := b.Exec(limited(t), "cat", "/proc/net/netstat")
			must(t, err)
			return counter(t, string(out), "TCPMD5Failure")
		}
		if !eventually(t, func() bool { return refused() != "0" }) {
			t.Error("no segment was refused for its signature")
		}
		if state, err := a.State(limited(t), b6); err != nil || state == "Established" {
			t.Errorf("session with another password: %s, %v", state, err)
		}
	})
}

// counter reads one of a table of names and values.
func counter(t *testing.T, table, name string) string {
	t.Helper()
	lines := strings.Split(table, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		if at := slices.Index(strings.Fields(lines[i]), name); at >= 0 {
			return strings.Fields(lines[i+1])[at]
		}
	}
	t.Fatalf("no counter %s in\n%s", name, table)
	return ""
}

// TestOptions: the other options of a session leave it coming up, and do what they are for.
func TestOptions(t *testing.T) {
	pairs(t, func(t *testing.T, one, other peer.Maker) {
		first, second := configs(one, other)
		for i := range 2 {
			for _, n := range []*peer.Neighbour{&first.Neighbours[i], &second.Neighbours[i]} {
				n.AddPath, n.Graceful, n.HoldTime, n.TTLSecurity, n.BFD = true, true, 90, i == 0, i == 1
			}
			first.Neighbours[i].Passive = true
		}
		second.Neighbours[0].MaxPrefix = 2
		a, b, cable := open(t, first, second)
		up(t, a, b)
		knows(t, b, a4, a6, "10.1.0.0/16", "2001:db8:1::/48")

		must(t, errors.Join(a.Watched(limited(t), b6), b.Watched(limited(t), a6)))
		cable.SetUp(false) // BFD notices, long before the hold time
		must(t, errors.Join(a.Down(limited(t), b6), b.Down(limited(t), a6)))
		cable.SetUp(true)
		up(t, a, b)

		if other == peer.FRR {
			return // once BIRD tells it too many, bgpd 8.4.4 answers nobody any more
		}
		must(t, a.Announce(limited(t), prefixes("10.3.0.0/16", "10.4.0.0/16")...)) // one too many
		must(t, b.Down(limited(t), a4))
	})
}

// TestKill: who was killed tells nothing until it is started again, and its neighbour notices.
func TestKill(t *testing.T) {
	pairs(t, func(t *testing.T, one, other peer.Maker) {
		first, second := configs(one, other)
		a, b, _ := open(t, first, second)
		up(t, a, b)
		a.Kill()
		must(t, errors.Join(b.Down(limited(t), a4), b.Down(limited(t), a6)))
		knows(t, b, a4, a6)
		if _, err := a.Routes(limited(t)); !errors.Is(err, peer.ErrEnded) {
			t.Errorf("routes of one that was killed: %v", err)
		}
		must(t, a.Restart())
		up(t, a, b)
		knows(t, b, a4, a6, "10.1.0.0/16", "2001:db8:1::/48")
	})
}

// TestIBGP: a session within an AS, with both families of routes over one IP version.
func TestIBGP(t *testing.T) {
	pairs(t, func(t *testing.T, one, other peer.Maker) {
		first, second := configs(one, other)
		second.AS = first.AS
		for _, c := range []*peer.Config{&first, &second} {
			c.Neighbours = c.Neighbours[1:]
			c.Neighbours[0].AS, c.Neighbours[0].V4, c.Neighbours[0].V6 = first.AS, true, true
		}
		a, b, _ := open(t, first, second)
		must(t, errors.Join(a.Established(limited(t), b6), b.Established(limited(t), a6)))
		knows(t, b, a4, a6, "10.1.0.0/16", "2001:db8:1::/48")
		knows(t, a, b4, b6, "10.2.0.0/16", "2001:db8:2::/48")
	})
}
