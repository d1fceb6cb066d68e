package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/testbed/certs"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/vpn"
)

// fake is an edge's agent whose ends are given.
type fake struct {
	ends  chan error
	ready chan struct{}
}

func (f *fake) Run(ctx context.Context) error {
	select {
	case err := <-f.ends:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
func (f *fake) Ready() <-chan struct{} { return f.ready }
func (*fake) Stats() engine.Stats      { return engine.Stats{Flows: 3} }
func (*fake) Silent() []netip.Addr     { return nil }
func (*fake) Flows(ctx context.Context) ([]engine.Flow, error) {
	return nil, errors.New("the target is away")
}

func (*fake) Pools(ctx context.Context) ([]engine.PoolStats, error) {
	return []engine.PoolStats{
		{Pool: 2, Picks: 5, Members: []engine.MemberLoad{{Member: topology.MemberAt(netip.MustParseAddr("fd00::1"), 80), Conns: 2}}},
		{Pool: 9, Picks: 7}, // gone in the meantime
	}, nil
}

func (f *fake) RoundDrops(ctx context.Context) ([]engine.Drop, error) { return f.Drops(ctx) }

func (*fake) Drops(ctx context.Context) ([]engine.Drop, error) {
	return []engine.Drop{
		{From: "underlay", Reason: "unknown peer", Packets: 4}, {VPort: 2, Reason: "filtered", Packets: 5}, {VPort: 2, Reason: "parser error", Packets: 6},
		{VPort: 9, Reason: "filtered", Packets: 7}, // gone in the meantime
	}, errors.New("some of the target's counters were not read")
}

func (*fake) VPNs() []vpn.Status {
	peer := vpn.Peer{Name: "office", Handshake: time.Unix(1700000000, 0), Received: 7, Sent: 5}
	return []vpn.Status{
		{VPN: "acme/office", State: vpn.Up, Takeovers: 2, Peers: []vpn.Peer{peer}, Drops: vpn.Drops{TooLong: 3}}, {VPN: "acme/shop", State: vpn.Calling, Takeovers: 1}, {VPN: "acme/other", State: vpn.Standby},
	}
}

func (*fake) Sessions() []bgp.Status {
	return []bgp.Status{{Session: "isp/first", State: bgp.Established, Flaps: 2, Received: 7, Routes: 5, Advertised: 3, Withheld: 2, Exceeded: 4, Damped: 1, DampedTotal: 3, BFD: &bgp.BFD{State: "Up", Losses: 4, Detection: 300, Sent: 100, Received: 90, Dropped: 1, Refused: 2}}, {Session: "isp/second", State: bgp.Connecting, Why: "it does not answer"}}
}

func (*fake) Caches() []rpki.CacheStatus {
	return []rpki.CacheStatus{{Address: "192.0.2.8:323", Up: true, V4: 9, V6: 4, Lost: 1}, {Address: "[2001:db8::8]:323", Why: "connection refused", Expired: 2}}
}

func (*fake) Routes(session string, sent bool, c bgp.Choice) ([]bgp.Route, error) {
	if session != "isp/first" {
		return nil, fmt.Errorf("%w: session %s", bgp.ErrNotCarried, session)
	}
	if sent {
		return []bgp.Route{}, nil
	}
	var all []bgp.Route
	for i := range 3 * pause / 2 {
		all = append(all, bgp.Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24), ASPath: []uint32{64501, uint32(i)}, Origin: "igp", Verdict: bgp.Accepted})
	}
	if c.Rejected || c.Covers.IsValid() {
		all = all[:1]
	}
	return all, nil
}

func (*fake) RuleHits(context.Context) ([]engine.RuleHits, error) {
	return []engine.RuleHits{{Tenant: "acme", Name: "web", Rule: "open", Packets: 3, Bytes: 300}, {Tenant: "acme", Name: "web", Packets: 1, Bytes: 64}}, nil
}

func (*fake) Telemetry() *telemetry.Collector { return nil }

func (*fake) Usage(context.Context) ([]state.Usage, error) {
	n := func(packets uint64) state.Tally { return state.Tally{Packets: packets, Bytes: 100 * packets} }
	return []state.Usage{
		{ID: 5, Tenant: "acme", Name: "web", UsageTotals: state.UsageTotals{In: n(2), Out: n(1)}},
		{ID: 6, Tenant: "acme", Name: "far", UsageTotals: state.UsageTotals{Out: n(2)}},
		{ID: 7, Tenant: "acme", Name: "gw", Link: "acme/lan", UsageTotals: state.UsageTotals{Crossed: n(9)}},
		{ID: 8, UsageTotals: state.UsageTotals{Out: n(4)}}, // gone
	}, nil
}

func (*fake) TenantUsage(context.Context) (map[string]state.UsageTotals, error) {
	n := func(packets uint64) state.Tally { return state.Tally{Packets: packets, Bytes: 100 * packets} }
	return map[string]state.UsageTotals{"acme": {In: n(2), Out: n(3)}}, nil
}

// TestRunnerStartsAgain: an edge that ended with an error is started again after a pause that grows; not one that was taken.
func TestRunnerStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{ends: make(chan error), ready: make(chan struct{})}
		made := atomic.Int32{}
		r := &runner{cfg: Edge{ID: "e"}, log: slog.New(slog.DiscardHandler), make: func(*state.Store) (edgeAgent, error) { made.Add(1); return f, nil }}
		ended := make(chan error, 1)
		go func() { ended <- r.run(t.Context(), nil) }()
		for n := int32(1); n <= 8; n++ {
			synctest.Wait()
			if got := made.Load(); got != n {
				t.Fatalf("made %d agents, want %d", got, n)
			}
			r.onTarget(errors.New("it is off"), new(state.View))
			if st := r.status(new(state.View)); st.State != NoTarget || st.Flows != 3 || st.Error != "the target at : it is off" {
				t.Errorf("while it runs: %+v", st)
			}
			f.ends <- errors.New("boom")
			synctest.Wait()
			if st := r.status(new(state.View)); st.State != Restarting || st.Error != "boom" {
				t.Errorf("after it ended: %+v", st)
			}
			time.Sleep(min(firstPause<<(n-1), maxPause) - 1)
			synctest.Wait()
			if made.Load() != n {
				t.Fatalf("started again too soon after failure %d", n)
			}
			time.Sleep(time.Nanosecond)
		}
		synctest.Wait()
		close(f.ready)
		view := &state.View{Conf: 9, Edges: state.EdgeMapOf(map[string]state.Edge{"e": {Progress: state.Progress{Ack: state.Ack{Applied: 7}}}})}
		if st := r.status(view); st.State != NotLive {
			t.Errorf("ready, not live: %+v", st)
		}
		r.onLive(nil)
		if st := r.status(view); st.State != Serving || st.Applied != 7 || st.Wanted != 9 || st.Error != "" {
			t.Errorf("ready and live: %+v", st)
		}
		r.onLive(errors.New("etcd is away")) // the view is what it was: nobody tells that it is old
		if st := r.status(view); st.State != NotLive || st.Error != "etcd is away" {
			t.Errorf("live no more: %+v", st)
		}
		f.ends <- state.ErrEdgeTaken
		if err := <-ended; !errors.Is(err, state.ErrEdgeTaken) {
			t.Errorf("ended with %v", err)
		}
		if st := r.status(nil); st.State != Stopped || !strings.Contains(st.Error, "another process") {
			t.Errorf("taken: %+v", st)
		}
	})
}

// TestRunnerIsMadeAgain: an edge that can't be made at the start is not run; one that can't be made again, as of a file that is being replaced, is tried until it can.
func TestRunnerIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{ends: make(chan error), ready: make(chan struct{})}
		var broken atomic.Pointer[error]
		newRunner := func() *runner {
			return &runner{cfg: Edge{ID: "e"}, log: slog.New(slog.DiscardHandler), make: func(*state.Store) (edgeAgent, error) {
				if err := broken.Load(); err != nil {
					return nil, *err
				}
				return f, nil
			}}
		}
		noFile := errors.New("ca.pem: no such file")
		broken.Store(&noFile)
		if err := newRunner().run(t.Context(), nil); !errors.Is(err, noFile) {
			t.Errorf("at the start: %v, want %v", err, noFile)
		}
		broken.Store(nil)
		ctx, cancel := context.WithCancel(t.Context())
		r, ended := newRunner(), make(chan error, 1)
		go func() { ended <- r.run(ctx, nil) }()
		f.ends <- errors.New("boom")
		broken.Store(&noFile)
		time.Sleep(firstPause + time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if st := r.status(new(state.View)); st.State != Restarting || st.Error != noFile.Error() {
			t.Errorf("without the file: %+v", st)
		}
		broken.Store(nil)
		time.Sleep(maxPause)
		synctest.Wait()
		if r.running() == nil {
			t.Error("does not run again though its file is there")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestStatusOverTLS: the API is served to clients with a certificate, has nothing to write, and says what it does not have.
func TestStatusOverTLS(t *testing.T) {
	dir := shortDir(t)
	ca, err := certs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ca.Issue("agent"), ca.Issue("operator")); err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Listen: "127.0.0.1:0", ListenTLS: TLS{Cert: ca.Cert("agent"), Key: ca.Key("agent"), CA: ca.Cert("ca")}}
	s := &service{cfg: cfg, log: logger(t), version: "v1"}
	for _, id := range []string{"e1", "e2"} {
		s.runners = append(s.runners, &runner{cfg: Edge{ID: id}})
	}
	l, url, err := cfg.listen()
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error { return s.serve(ctx, l) })

	client, err := NewClient(url, TLS{CA: ca.Cert("ca"), Cert: ca.Cert("operator"), Key: ca.Key("operator")})
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.Edges(t.Context())
	if err != nil || list.Version != "v1" || len(list.Edges) != 2 || list.Edges[1].ID != "e2" || list.Edges[0].State != NoDatabase {
		t.Errorf("edges %+v, %v", list, err)
	}
	if _, err := client.Flows(t.Context(), "e3"); err == nil || err.Error() != "this agent does not run it" {
		t.Errorf("flows of e3: %v", err)
	}
	if flows, err := client.Flows(t.Context(), ""); err != nil || len(flows.Errors) != 2 || flows.Errors[0] != (EdgeError{"e1", "no database"}) {
		t.Errorf("flows of all: %+v, %v", flows, err)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		for _, path := range []string{pathFlows, pathDrops, pathBGP, pathRoutes, pathVPN, pathInterfaces, pathStats, pathEdges, pathHealth, pathReady, pathMetrics} {
			req, err := http.NewRequestWithContext(t.Context(), method, client.base+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}

	for name, tls := range map[string]TLS{"no certificate": {CA: ca.Cert("ca")}, "no authority": {Cert: ca.Cert("operator"), Key: ca.Key("operator")}} {
		stranger, err := NewClient(url, tls)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.Edges(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, address := range []string{"", "host", "unix:x", "ftp://h:1", "http://h", "http://h:1/path"} {
		if _, err := NewClient(address, TLS{}); err == nil || !strings.Contains(err.Error(), "use HOST:PORT") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestCounters: every count of the engine is a metric.
func TestCounters(t *testing.T) {
	var s engine.Stats
	v := reflect.ValueOf(&s).Elem()
	names := map[string]int{}
	for i := range v.NumField() {
		v.Field(i).SetUint(uint64(i + 1))
		names[v.Type().Field(i).Tag.Get("json")] = i + 1
	}
	delete(names, "flows") // gauges
	delete(names, "connections")
	delete(names, "unstored")
	delete(names, "blocks")
	delete(names, "multicast_groups")
	delete(names, "links_down")
	delete(names, "stale_ms")
	delete(names, "unanswered")
	delete(names, "learning")
	for _, c := range evictions() { // one metric, by reason
		if got := c.value(&s); got != uint64(names["evicted_"+c.name]) {
			t.Errorf("evictions by %s are %d, want %d", c.name, got, names["evicted_"+c.name])
		}
		delete(names, "evicted_"+c.name)
	}
	for _, c := range counters() {
		if got := c.value(&s); got != uint64(names[c.name]) || !strings.HasSuffix(c.help, ".") {
			t.Errorf("counter %s is %d, want %d; help %q", c.name, got, names[c.name], c.help)
		}
		delete(names, c.name)
	}
	if len(names) > 0 {
		t.Errorf("counts that are no metrics: %v", names)
	}
}

// documentedMetrics are the names in the first column of the table of docs/operations.md.
func documentedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(weft_[a-z_]+)").FindAllStringSubmatch(string(b), -1) {
		all[m[1]] = true
	}
	return all
}

// collected is a collector of what a function gives.
type collected func(chan<- prometheus.Metric)

func (collected) Describe(chan<- *prometheus.Desc)       {}
func (f collected) Collect(out chan<- prometheus.Metric) { f(out) }

// TestPoolMetrics: of each pool that is loaded, its members by state, and what each edge has to do with it.
func TestPoolMetrics(t *testing.T) {
	snap, err := topology.Load("pool.yaml", []byte(`
{apiVersion: weft/v1, kind: Pool, metadata: {name: idle, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Pool, metadata: {name: web, tenant: acme}, spec: {members: [{address: "fd00::1", port: 80}, {address: 10.0.0.1, drain: true}, {address: 10.0.0.2}, {address: 10.0.0.3}], monitor: {type: icmp, source: gw}}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw, tenant: acme}, spec: {device: router/gw, addresses: [10.0.0.254/24, "fd00::fe/64"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	snap, _ = snap.With(topology.Changes{Health: []topology.MemberHealth{{Pool: 2, Member: topology.MemberAt(netip.MustParseAddr("10.0.0.2"), 0), Down: true}}})
	wantMetrics(t, func(out chan<- prometheus.Metric) {
		poolMembers(out, snap)
		edgePools(out, "e1", &fake{}, snap)
	}, map[string]float64{
		"weft_pool_members acme/idle up": 0, "weft_pool_members acme/idle draining": 0, "weft_pool_members acme/idle down": 0,
		"weft_pool_members acme/web up": 2, "weft_pool_members acme/web draining": 1, "weft_pool_members acme/web down": 1,
		"weft_edge_pool_picks_total e1 acme/web": 5, "weft_edge_pool_connections e1 [fd00::1]:80 acme/web": 2,
	})
}

// TestRuleMetrics (O2): packets by rule, those of a chain's default by a name that no rule has.
func TestRuleMetrics(t *testing.T) {
	wantMetrics(t, func(out chan<- prometheus.Metric) { edgeRules(out, "e1", &fake{}) }, map[string]float64{
		"weft_edge_rule_packets_total acme/web e1 open": 3, "weft_edge_rule_bytes_total acme/web e1 open": 300,
		"weft_edge_rule_packets_total acme/web e1 (default)": 1, "weft_edge_rule_bytes_total acme/web e1 (default)": 64,
	})
}

// TestUsageMetrics (O4): what is accounted by tenant, and by vports of the edge.
func TestUsageMetrics(t *testing.T) {
	wantMetrics(t, func(out chan<- prometheus.Metric) {
		edgeUsage(out, "e1", &fake{}, func(id flow.VPortID) bool { return id == 5 })
	}, map[string]float64{
		"weft_usage_packets_total sent e1 acme": 2, "weft_usage_packets_total delivered e1 acme": 3, "weft_usage_bytes_total sent e1 acme": 200, "weft_usage_bytes_total delivered e1 acme": 300,
		"weft_vport_sent_packets_total e1 acme/web": 2, "weft_vport_sent_bytes_total e1 acme/web": 200,
	})
}

// wantMetrics compares what a function gives, by name and labels; each is in the documentation.
func wantMetrics(t *testing.T, collect collected, want map[string]float64) {
	t.Helper()
	got := gathered(t, collect, func(name string, labels [][2]string) string {
		for _, l := range labels {
			name += " " + l[1]
		}
		return name
	})
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// gathered returns what a function gives, by a key of its name and labels, and checks that each is in the documentation.
func gathered(t *testing.T, collect collected, key func(name string, labels [][2]string) string) map[string]float64 {
	t.Helper()
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(collect)
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got, documented := map[string]float64{}, documentedMetrics(t)
	for _, f := range families {
		if !documented[f.GetName()] {
			t.Errorf("%s is not in docs/operations.md", f.GetName())
		}
		for _, m := range f.Metric {
			var labels [][2]string
			for _, l := range m.Label {
				labels = append(labels, [2]string{l.GetName(), l.GetValue()})
			}
			got[key(f.GetName(), labels)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

// TestDropMetrics: what was dropped is a metric by whose packets they were, or where they came from, and the reason; also if not all could be read.
func TestDropMetrics(t *testing.T) {
	snap, err := topology.Load("vm.yaml", []byte(`
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := gathered(t, func(out chan<- prometheus.Metric) { edgeDrops(out, "e1", &fake{}, &state.View{Topology: snap}) }, func(_ string, labels [][2]string) string {
		var all []string
		for _, l := range labels {
			all = append(all, l[0]+"="+l[1])
		}
		return strings.Join(all, " ")
	})
	want := map[string]float64{
		"edge=e1 from=underlay reason=unknown peer vport=": 4, "edge=e1 from= reason=filtered vport=acme/vm": 5, "edge=e1 from= reason=parser error vport=acme/vm": 6,
		"edge=e1 from= reason=filtered vport=vport 9": 7,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
