package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/vpn"
)

const patience = 3 * time.Minute // on a machine that is busy with other things, where a lab alone may take one to start

// network is a tenant's router with a VM at e3, and a VPN for which e1 and e2 compete.
const network = `
-- edges --
e1
e2
e3
-- hosts --
vm vport=acme/vm edge=e3 mac=02:00:00:00:00:01 ip=10.1.0.5/24,fd01::5/64 gw=10.1.0.1,fd01::1 mtu=1400
-- network.yaml --
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: acme}
spec:
  routes:
  - {dst: 192.168.50.0/24, port: office}
  - {dst: "fd50::/64", port: office}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: acme}
spec: {device: router/core, addresses: [10.1.0.1/24, "fd01::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: office, tenant: acme}
spec: {device: router/core, addresses: [10.9.0.1/30, "fd09::1/64"], mtu: 1420}
`

// site is the object of the VPN.
func site(more, peer string) string {
	return fmt.Sprintf(`---
apiVersion: weft/v1
kind: VPN
metadata: {name: office, tenant: acme}
spec:
  vport: office
  edges: [e1, e2]
%s  networks: [10.1.0.0/24, "fd01::/64"]
  peers:
  - {name: office, allowedIPs: [192.168.50.0/24, "fd50::/64", 10.9.0.2/32], %s}
`, more, peer)
}

// bench is a running lab.
type bench struct {
	testing.TB
	*lab.Lab
	text string
}

func newBench(t testing.TB, text string) *bench {
	t.Helper()
	return newBenchOf(t, benchConfig{text: text})
}

// benchConfig says what a bench is made of.
type benchConfig struct {
	text    string
	way     func(edge, endpoint string) (string, error) // by which agents reach the database; nil: directly
	powerOn scenario.PowerOn
	secret  func(string, string) (string, error)
}

func newBenchOf(t testing.TB, cfg benchConfig) *bench {
	t.Helper()
	text := cfg.text
	b := &bench{TB: t, text: text}
	logger := slog.DiscardHandler
	if testing.Verbose() {
		logger = slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})
	}
	s, err := scenario.Parse(t.Name(), []byte(text))
	b.must(err)
	b.Lab, err = lab.New(lab.Config{Scenario: s, Logger: slog.New(logger), Way: cfg.way, PowerOn: cfg.powerOn, VPNSecret: cfg.secret})
	b.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Lab.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case <-b.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("lab ended: %v", err)
	case <-time.After(patience):
		t.Fatalf("lab was not ready within %v", patience)
	}
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// eventually waits until something is so.
func (b *bench) eventually(what string, is func() error) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-b.Context().Done():
			b.Fatalf("%s: %v", what, b.Context().Err())
		}
	}
}

// record is what the database has of the VPN.
func (b *bench) record(edge string) (state.VPNRecord, error) {
	store, err := b.Store(edge)
	if err != nil {
		return state.VPNRecord{}, err
	}
	all, err := store.VPNs(b.Context())
	return all["acme/office"], err
}

// key waits for the VPN's public key.
func (b *bench) key() (public string) {
	b.Helper()
	b.eventually("the VPN has a key", func() error {
		r, err := b.record("e3")
		if err == nil && r.Key == nil {
			err = errors.New("it has none")
		}
		if err == nil {
			public = r.Key.Public
		}
		return err
	})
	return public
}

// status is how the VPN is at an edge.
func (b *bench) status(edge string) (vpn.Status, error) {
	s, err := b.Speaker(edge)
	if err != nil {
		return vpn.Status{}, err
	}
	for _, st := range s.VPNs() {
		return st, nil
	}
	return vpn.Status{}, errors.New("the edge knows of no VPN")
}

// carried is how the VPN is at the edge that carries it, with its one peer.
func (b *bench) carried() (vpn.Status, error) {
	for _, edge := range []string{"e1", "e2"} {
		if st, err := b.status(edge); err == nil && len(st.Peers) == 1 {
			return st, nil
		}
	}
	return vpn.Status{}, errors.New("no edge carries it")
}

// pinger is a host that can ping.
type pinger interface {
	PingWith(context.Context, netip.Addr, host.PingConfig) (host.PingResult, error)
}

// pings waits until a ping of from reaches to.
func (b *bench) pings(from pinger, to string) {
	b.Helper()
	b.eventually("ping "+to, func() error {
		r, err := from.PingWith(b.Context(), netip.MustParseAddr(to), host.PingConfig{Count: 1, Timeout: time.Second})
		if err == nil && r.Received() == 0 {
			err = errors.New("no answer")
		}
		if err != nil {
			for _, edge := range b.Edges() {
				st, _ := b.status(edge)
				drops, _ := b.Drops(b.Context(), edge)
				err = fmt.Errorf("%w\n%s: %+v, drops %+v", err, edge, st, drops)
			}
		}
		return err
	})
}

// fetches has one machine fetch 4 MB of another, at each of its addresses, by TCP.
func (b *bench) fetches(of, by scenario.Machine, addrs ...string) {
	b.Helper()
	b.must(of.ServeHTTP(80))
	for _, a := range addrs {
		tr, err := by.FetchAt(b.Context(), netip.AddrPortFrom(netip.MustParseAddr(a), 80), 4<<20, nil)
		b.must(err)
		b.Logf("of %s: %.0f Mbit/s", a, tr.Mbps())
	}
}

func (b *bench) vm() scenario.Machine {
	b.Helper()
	m := b.Host("vm")
	if m == nil {
		b.Fatal("there is no host vm")
	}
	return m
}

// office is the host of the remote site.
func office() host.Config {
	return host.Config{
		Name: "office", MAC: [6]byte{2, 0, 0, 0, 0x50, 2}, MTU: 1420, MaxRTO: 300 * time.Millisecond,
		Addrs:    []netip.Prefix{netip.MustParsePrefix("192.168.50.2/24"), netip.MustParsePrefix("fd50::2/64")},
		Gateways: []netip.Addr{netip.MustParseAddr("192.168.50.1"), netip.MustParseAddr("fd50::1")},
	}
}

// withInternet adds a host of the world's, at an edge of its own.
func withInternet(text string) string {
	text = strings.Replace(text, "\ne3\n", "\ne3\ne4\n", 1)
	return strings.Replace(text, "-- network.yaml --", "inet vport=isp/up edge=e4 mac=02:00:00:00:99:01 ip=203.0.113.9/24,2001:db8:113::9/64\n-- network.yaml --", 1)
}

// contains reports whether a text has any of the others.
func contains(text string, any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return strings.Contains(text, s) })
}

// allowed is what the site may reach.
func allowed() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd01::/64")}
}

// TestNodeTransport: the VPN calls a peer by the network of the edge's agent, and hosts at both ends reach each other.
func TestNodeTransport(t *testing.T) {
	private, public, err := vpn.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	port := freeUDP(t)
	b := newBench(t, network+site("", fmt.Sprintf("publicKey: %q, endpoint: %q", public, fmt.Sprintf("127.0.0.1:%d", port))))
	s, err := New(Config{Host: office(), PrivateKey: private, PeerKey: b.key(), ListenPort: port, AllowedIPs: allowed()})
	b.must(err)
	defer s.Close()
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(s, "10.1.0.5")
	b.pings(s, "fd01::5")
}
