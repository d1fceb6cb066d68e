package agent

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/state"
)

// askFake returns a client of a process with edges e1, whose agent is a fake, and e2, which does not run.
func askFake(t *testing.T) *Client {
	t.Helper()
	endpoint, stop := startDatabase(t, state.EmbeddedConfig{})
	t.Cleanup(stop)
	s := &service{cfg: &Config{}, log: logger(t), runners: []*runner{{cfg: Edge{ID: "e1"}, agent: &fake{}, live: true}, {cfg: Edge{ID: "e2"}}}}
	store := openStore(t, Etcd{Endpoints: []string{endpoint}})
	if err := store.WaitRevision(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.store.Store(store)
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBGP: an agent tells how sessions are, and what is told in them, however much; and why it does not.
func TestBGP(t *testing.T) {
	c := askFake(t)
	list, err := c.BGP(t.Context(), "")
	if err != nil || len(list.Sessions) != 2 || list.Sessions[0].Edge != "e1" || list.Sessions[0].Session != "isp/first" || list.Sessions[1].Why != "it does not answer" {
		t.Errorf("sessions %+v, %v", list.Sessions, err)
	}
	if len(list.Errors) != 1 || list.Errors[0].Edge != "e2" {
		t.Errorf("errors %+v", list.Errors)
	}
	for _, q := range []struct {
		RouteQuery
		n    int
		want string // error
	}{
		{RouteQuery{Session: "isp/first"}, 3 * pause / 2, ""},
		{RouteQuery{Session: "isp/first", Edge: "e1", Sent: true}, 0, ""},
		{RouteQuery{Session: "isp/first", Rejected: true}, 1, ""},
		{RouteQuery{Session: "isp/first", Prefix: "10.0.0.1"}, 1, ""},
		{RouteQuery{Session: "isp/second", Edge: "e1"}, 0, "no edge of this agent carries session isp/second out"},
		{RouteQuery{Session: "isp/second"}, 0, "no database"}, // e2 may
		{RouteQuery{Session: "isp/first", Edge: "e3"}, 0, "this agent does not run it"},
		{RouteQuery{}, 0, "session: is missing; name one as TENANT/NAME"},
		{RouteQuery{Session: "isp/first", Prefix: "10.0.0"}, 0, `prefix: "10.0.0" is neither a prefix nor an address; use one such as 203.0.113.0/24 or 2001:db8::1`},
	} {
		list, err := c.Routes(t.Context(), q.RouteQuery)
		if got := ""; q.want != "" {
			if err != nil {
				got = err.Error()
			}
			if got != q.want {
				t.Errorf("%+v: error %q, want %q", q.RouteQuery, got, q.want)
			}
			continue
		}
		if err != nil || len(list.Routes) != q.n || list.Edge != "e1" || list.Session != "isp/first" {
			t.Errorf("%+v: %d routes of %s at %s, %v; want %d", q.RouteQuery, len(list.Routes), list.Session, list.Edge, err, q.n)
		}
		if q.n > 1 && (list.Routes[5000].Prefix != netip.MustParsePrefix("10.19.136.0/24") || list.Routes[5000].ASPath[1] != 5000) {
			t.Errorf("route 5000 is %+v", list.Routes[5000])
		}
	}
}

// TestRoutesCutOff: an answer that ends before its end is none.
func TestRoutesCutOff(t *testing.T) {
	w := httptest.NewRecorder()
	(&RouteList{"e1", "isp/first", []bgp.Route{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}}}).stream(w)
	whole := w.Body.String()
	if !json.Valid([]byte(whole)) {
		t.Fatalf("no JSON: %s", whole)
	}
	var list RouteList
	n := 0
	all := func(bgp.Route) bool { n++; return true }
	if err := list.read(json.NewDecoder(strings.NewReader(whole)), all); err != nil || n != 2 || list.Session != "isp/first" {
		t.Errorf("%+v, %d routes, %v", list, n, err)
	}
	for cut := range len(whole) - len("}\n") {
		if err := new(RouteList).read(json.NewDecoder(strings.NewReader(whole[:cut])), all); err == nil {
			t.Fatalf("an answer that is cut off is read: %s", whole[:cut])
		}
	}
}

// TestBGPMetrics: each session has its metrics.
func TestBGPMetrics(t *testing.T) {
	wantMetrics(t, func(out chan<- prometheus.Metric) { edgeSessions(out, "e1", &fake{}) }, map[string]float64{
		"weft_bgp_session_up e1 isp/first": 1, "weft_bgp_session_received_prefixes e1 isp/first": 7, "weft_bgp_session_routes e1 isp/first": 5,
		"weft_bgp_session_advertised_prefixes e1 isp/first": 3, "weft_bgp_session_withheld_prefixes e1 isp/first": 2, "weft_bgp_session_flaps_total e1 isp/first": 2, "weft_bgp_session_max_prefixes_total e1 isp/first": 4, "weft_bgp_session_max_prefixes_total e1 isp/second": 0,
		"weft_bgp_session_damped_total e1 isp/first": 3, "weft_bgp_session_damped_total e1 isp/second": 0,
		"weft_bgp_session_damped_prefixes e1 isp/first": 1, "weft_bgp_session_damped_prefixes e1 isp/second": 0,
		"weft_bgp_session_up e1 isp/second": 0, "weft_bgp_session_received_prefixes e1 isp/second": 0, "weft_bgp_session_routes e1 isp/second": 0,
		"weft_bgp_session_advertised_prefixes e1 isp/second": 0, "weft_bgp_session_withheld_prefixes e1 isp/second": 0, "weft_bgp_session_flaps_total e1 isp/second": 0,
		"weft_bfd_session_up e1 isp/first": 1, "weft_bfd_session_losses_total e1 isp/first": 4, "weft_bfd_session_detection_seconds e1 isp/first": 0.3,
		"weft_bfd_session_sent_packets_total e1 isp/first": 100, "weft_bfd_session_received_packets_total e1 isp/first": 90, "weft_bfd_session_dropped_packets_total e1 isp/first": 1, "weft_bfd_session_refused_packets_total e1 isp/first": 2,
	})
}

// TestRPKI: an agent tells how its caches are, and each has its metrics.
func TestRPKI(t *testing.T) {
	c := askFake(t)
	list, err := c.RPKI(t.Context(), "e1")
	if err != nil || len(list.Caches) != 2 || list.Caches[0].Edge != "e1" || list.Caches[0].V4 != 9 || list.Caches[1].Why != "connection refused" {
		t.Errorf("caches %+v, %v", list.Caches, err)
	}
	wantMetrics(t, func(out chan<- prometheus.Metric) { edgeCaches(out, "e1", &fake{}) }, map[string]float64{
		"weft_rpki_cache_up 192.0.2.8:323 e1": 1, "weft_rpki_cache_vrps 192.0.2.8:323 e1 ipv4": 9, "weft_rpki_cache_vrps 192.0.2.8:323 e1 ipv6": 4,
		"weft_rpki_cache_lost_total 192.0.2.8:323 e1": 1, "weft_rpki_cache_expired_total 192.0.2.8:323 e1": 0,
		"weft_rpki_cache_up [2001:db8::8]:323 e1": 0, "weft_rpki_cache_vrps [2001:db8::8]:323 e1 ipv4": 0, "weft_rpki_cache_vrps [2001:db8::8]:323 e1 ipv6": 0,
		"weft_rpki_cache_lost_total [2001:db8::8]:323 e1": 0, "weft_rpki_cache_expired_total [2001:db8::8]:323 e1": 2,
	})
}
