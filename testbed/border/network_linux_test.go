package border

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/peer"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// beside is how many tests run at a time: they wait for timers of BGP and BFD, most of the time.
const beside = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", beside); err != nil {
			panic(err) // it is a flag of package testing
		}
	}
	// GoBGP leaves the queue of what a peer was to be told behind when something is in it at the end.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
}

// own is the AS of weft's router.
const own = 64500

// installation is a provider's router with two upstreams at two edges and a VM at a third.
const installation = `
-- edges --
e1
e2
e3
-- hosts --
vm vport=isp/vm edge=e3 mac=02:00:00:00:00:01 ip=203.0.113.5/24,2001:db8:113::5/64 gw=203.0.113.1,2001:db8:113::1
isp1 vport=isp/up1 edge=e1 mac=02:00:00:00:99:01 ip=192.0.2.9/24,2001:db8:a::9/64
isp2 vport=isp/up2 edge=e2 mac=02:00:00:00:99:02 ip=192.0.3.9/24,2001:db8:b::9/64
-- network.yaml --
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up1, tenant: isp}
spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8:a::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up2, tenant: isp}
spec: {device: router/core, addresses: [192.0.3.1/24, "2001:db8:b::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: isp}
spec: {device: router/core, addresses: [203.0.113.1/24, "2001:db8:113::1/64"]}
`

// Ends of sessions: of the router and of each upstream.
var (
	up1v4, up1v6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:a::1")
	up2v4, up2v6   = netip.MustParseAddr("192.0.3.1"), netip.MustParseAddr("2001:db8:b::1")
	isp1v4, isp1v6 = netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8:a::9")
	isp2v4, isp2v6 = netip.MustParseAddr("192.0.3.9"), netip.MustParseAddr("2001:db8:b::9")
)

// outside is what upstreams announce, beyond what both of them have of it, inside what they are told.
var (
	beyond  = prefixes("198.51.100.1/32", "2001:db8:51::1/128")
	outside = prefixes("198.51.100.0/24", "2001:db8:51::/48")
	inside  = prefixes("203.0.113.0/24", "2001:db8:113::/48")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// session is the object of one: NAME of the port, with the neighbour's AS and address, and what else its spec says.
func session(name, port string, as int, neighbour netip.Addr, more string) string {
	advertise := fmt.Sprintf("advertise: [{prefix: %s}, {prefix: %q}]", inside[0], inside[1].String())
	families := "families: [ipv4, ipv6]"
	for _, one := range []*string{&advertise, &families} {
		if key, _, _ := strings.Cut(*one, ":"); strings.Contains(more, key+":") {
			*one = ""
		}
	}
	spec := []string{fmt.Sprintf("vport: %s, localAS: %d, peerAS: %d, peerAddress: %q, connectRetry: 1", port, own, as, neighbour.String())}
	for _, one := range []string{families, advertise, more} {
		if one != "" {
			spec = append(spec, one)
		}
	}
	return fmt.Sprintf("---\napiVersion: weft/v1\nkind: BGPSession\nmetadata: {name: %s, tenant: isp}\nspec: {%s}\n", name, strings.Join(spec, ", "))
}

// testConfig says what a border is made of.
type testConfig struct {
	sessions string
	peers    map[string]peer.Config // by host; what the host has is filled in. Hosts without are in memory
	stack    bgp.Stack
	secret   func(string, string) (string, error)
	caches   []rpki.Cache
	watched  bool          // edges follow the links of their targets
	patience time.Duration // how long something may take; 0: patience
}

// border is a running installation.
type border struct {
	*testing.T
	*lab.Lab
	cfg testConfig

	mu    sync.Mutex
	hosts map[string]*router
}

// router is the machine of an upstream, whose cable can be pulled.
type router struct {
	scenario.Machine
	peer *peer.Peer // nil: it is in memory

	mu     sync.Mutex
	link   host.Link
	served map[uint16]bool // ports of HTTP
}

// ServeHTTP implements scenario.Machine; a second service at a port is the first.
func (r *router) ServeHTTP(port uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served[port] {
		return nil
	}
	r.served = map[uint16]bool{port: true}
	return r.Machine.ServeHTTP(port)
}

// Connect implements scenario.Machine.
func (r *router) Connect(link host.Link) {
	r.mu.Lock()
	r.link = link
	r.mu.Unlock()
	r.Machine.Connect(link)
}

// pull unplugs the cable.
func (r *router) pull() { r.Machine.Connect(nil) }

// plug plugs it in again.
func (r *router) plug() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Machine.Connect(r.link)
}

// newBorder starts an installation until the test ends. It returns when its network works; sessions come up meanwhile.
func newBorder(t *testing.T, cfg testConfig) *border {
	t.Helper()
	b := &border{T: t, cfg: cfg, hosts: map[string]*router{}}
	logger := slog.DiscardHandler
	if testing.Verbose() {
		logger = slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})
	}
	var err error
	if b.Lab, err = lab.New(lab.Config{
		Scenario: b.parse(""), PowerOn: b.powerOn, BGPStack: cfg.stack, BGPSecret: cfg.secret, RPKI: cfg.caches, Logger: slog.New(logger),
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Lab.Run(ctx) }()
	t.Cleanup(func() {
		for name, r := range b.hosts {
			if t.Failed() && r.peer != nil {
				t.Logf("%s said:\n%s", name, r.peer.Log())
			}
		}
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
	case <-b.limited().Done():
		t.Fatal("lab was not ready in time")
	}
	return b
}

// patience is how long something may take that is to happen, on a machine that is busy with other things.
const patience = 2 * time.Minute

// limited is a context for something that is to happen.
func (b *border) limited() context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), cmp.Or(b.cfg.patience, patience))
	b.Cleanup(cancel)
	return ctx
}

// powerOn makes the machines: speakers in namespaces, and others in memory.
func (b *border) powerOn(cfg host.Config, link host.Link) (scenario.Machine, error) {
	r := &router{}
	if c, speaks := b.cfg.peers[cfg.Name]; speaks {
		c.Name, c.MAC, c.Addrs, c.MTU, c.RouterID = cfg.Name, cfg.MAC, cfg.Addrs, cfg.MTU, cfg.Addrs[0].Addr()
		p, err := peer.Open(c, link)
		if err != nil {
			return nil, err
		}
		r.Machine, r.peer = p, p
		for _, one := range beyond {
			if _, said, err := p.Exec(b.Context(), "ip", "address", "add", one.String(), "dev", "lo"); err != nil {
				p.Close()
				return nil, fmt.Errorf("%s: address %s: %w: %s", cfg.Name, one, err, said)
			}
		}
	} else {
		m, err := scenario.InMemory(cfg, link)
		if err != nil {
			return nil, err
		}
		r.Machine = m
	}
	b.mu.Lock()
	b.hosts[cfg.Name] = r
	b.mu.Unlock()
	return r, nil
}

func (b *border) host(name string) *router {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hosts[name]
}

// peer is the speaker of an upstream.
func (b *border) peer(name string) *peer.Peer { return b.host(name).peer }

// parse makes a scenario of the installation with steps.
func (b *border) parse(steps string) *scenario.Scenario {
	b.Helper()
	network := installation
	if b.cfg.watched {
		network = strings.Replace(network, "e1\ne2\ne3\n", "e1 telemetry\ne2 telemetry\ne3 telemetry\n", 1)
	}
	s, err := scenario.Parse(b.Name(), []byte(steps+network+b.cfg.sessions))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// steps does what steps of a scenario say.
func (b *border) steps(steps string) {
	b.Helper()
	report, err := scenario.Run(b.limited(), b.parse(steps), b.Lab, nil)
	for _, leg := range report.Legs {
		b.Logf("%s: %d packets, %d on the fast path (%.1f %%), %d upcalls, %d drops", leg.Name, leg.Packets, leg.FastPath, 100*leg.FastShare(), leg.Upcalls, leg.Drops)
	}
	b.must(err)
}

// apply changes objects, and returns when the edges know.
func (b *border) apply(objects string) {
	b.Helper()
	b.must(b.Apply(b.limited(), scenario.Apply{File: "change.yaml", Data: []byte(objects)}))
}

func (b *border) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// status is how an edge's session is.
func (b *border) status(edge, session string) (bgp.Status, error) {
	s, err := b.Speaker(edge)
	if err != nil {
		return bgp.Status{}, err
	}
	for _, st := range s.Sessions() {
		if st.Session == "isp/"+session {
			return st, nil
		}
	}
	return bgp.Status{}, fmt.Errorf("edge %s does not know session %s", edge, session)
}

// await waits until an edge's session is so, and returns how it is.
func (b *border) await(edge, session, what string, is func(*bgp.Status) bool) bgp.Status {
	b.Helper()
	var st bgp.Status
	var err error
	if !b.eventually(func() bool {
		st, err = b.status(edge, session)
		return err == nil && is(&st)
	}) {
		var received []bgp.Route
		if s, err := b.Speaker(edge); err == nil {
			received, _ = s.Routes("isp/"+session, false, bgp.Choice{})
		}
		b.Fatalf("session %s is not: %s, but %+v (%v), and was told %d routes, of which %v", session, what, st, err, len(received), received[:min(len(received), 20)])
	}
	return st
}

// up waits until an edge's session is, and has as many routes.
func (b *border) up(edge, session string, routes int) bgp.Status {
	b.Helper()
	return b.await(edge, session, fmt.Sprintf("up with %d routes", routes), func(st *bgp.Status) bool {
		return st.State == bgp.Established && st.Routes == routes && st.Pending == 0
	})
}

// learns waits until an upstream was told these prefixes, and no others, by the router.
func (b *border) learns(name string, want ...netip.Prefix) {
	b.Helper()
	routes, err := b.peer(name).AwaitRoutes(b.limited(), func(routes map[netip.Prefix][]netip.Addr) bool {
		for _, p := range want {
			if len(routes[p]) == 0 {
				return false
			}
		}
		return len(routes) == len(want)
	})
	if err != nil {
		b.Fatalf("%s was told %v, want %v: %v", name, routes, want, err)
	}
}

// reaches waits until an upstream's kernel has the routes to the VM, and each IP version goes both ways.
func (b *border) reaches(name string) {
	b.Helper()
	for _, to := range b.host("vm").Addrs() {
		var err error
		if !b.eventually(func() bool {
			_, err = b.host(name).PingWith(b.Context(), to, host.PingConfig{Count: 1, Timeout: time.Second})
			return err == nil
		}) {
			b.Fatalf("%s does not reach %s: %v", name, to, err)
		}
	}
}

// eventually looks until it is so, or patience has an end.
func (b *border) eventually(is func() bool) bool {
	ctx := b.limited()
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

// makers runs a test with the speakers of each maker.
func makers(t *testing.T, test func(t *testing.T, maker peer.Maker)) {
	for _, maker := range []peer.Maker{peer.BIRD, peer.FRR} {
		t.Run(string(maker), func(t *testing.T) {
			t.Parallel()
			peer.Need(t, maker)
			test(t, maker)
		})
	}
}

// upstream is a speaker with a session with each of the router's addresses, of the families of each.
func upstream(maker peer.Maker, as uint32, edit func(*peer.Neighbour), neighbours ...netip.Addr) peer.Config {
	c := peer.Config{Maker: maker, AS: as, Announce: slices.Clone(outside)}
	for _, addr := range neighbours {
		n := peer.Neighbour{Addr: addr, AS: own}
		if len(neighbours) == 1 {
			n.V4, n.V6 = true, true
		}
		if edit != nil {
			edit(&n)
		}
		c.Neighbours = append(c.Neighbours, n)
	}
	return c
}
