package agent

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/certs"
)

// oneEdge is a configuration with edge nic1, whose softswitch is at dir/sw and whose status is at dir/status.
func oneEdge(t *testing.T, dir, etcd, targetTLS string) *Config {
	t.Helper()
	c, err := Decode("agent.yaml", dir, fmt.Appendf(nil, `
etcd: %s
listen: unix:%s/status
log: {level: debug}
edges:
- id: nic1
  target: {address: "unix:%[2]s/sw", profile: softswitch, tls: %[3]s}
  vteps: [198.51.100.1, "2001:db8::1"]
  uplinks: [{port: 256, mac: 02:ed:00:00:00:01, addresses: [192.0.2.2, "2001:db8:1::2"], gateways: [192.0.2.1, "2001:db8:1::1"], mtu: 1600}]
  interfaces: {p1: 1, p2: 2}
`, etcd, dir, targetTLS))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startAgent(t *testing.T, c *Config) (*Client, func()) {
	t.Helper()
	client, err := NewClient(c.Listen, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	return client, running(t, func(ctx context.Context) error { return Run(ctx, c, c.Log.Logger(t.Output())) })
}

// stateOf returns the state of an edge, or why it is not known.
func stateOf(client *Client, edge string) string {
	list, err := client.Edges(context.Background())
	if err != nil {
		return err.Error()
	}
	for _, e := range list.Edges {
		if e.ID == edge {
			return string(e.State)
		}
	}
	return "not among the edges"
}

func untilState(t *testing.T, client *Client, edge string, want EdgeState) {
	t.Helper()
	until(t, func() string {
		if got := stateOf(client, edge); got != string(want) {
			return fmt.Sprintf("edge %s: %s, want %s", edge, got, want)
		}
		return ""
	})
}

// TestRunOverTLS: database and target ask for certificates of one authority; the agent has one, programs the target, and says what it holds.
func TestRunOverTLS(t *testing.T) {
	dir := shortDir(t)
	ca, err := certs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etcd", "switch", "agent"} {
		if err := ca.Issue(name); err != nil {
			t.Fatal(err)
		}
	}
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{
		Listen: []string{"https://127.0.0.1:0"}, CertFile: ca.Cert("etcd"), KeyFile: ca.Key("etcd"), CAFile: ca.Cert("ca"),
	})
	const tls = "{ca: ca.crt, cert: agent.crt, key: agent.key}"
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q], tls: %s}`, endpoint, tls), tls)
	store := openStore(t, c.Etcd)
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{On: true, Cert: ca.Cert("switch"), Key: ca.Key("switch"), CA: ca.Cert("ca"), ClientAuth: true})
	client, stop := startAgent(t, c)
	untilState(t, client, "nic1", Serving)

	rev := apply(t, store, network)
	if err := store.WaitApplied(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	edge := store.View().Edges.Of("nic1")
	if edge.Status != "unix:"+dir+"/status" || edge.Version != Version() || edge.Applied != rev || edge.MTU != 1600 || len(edge.VTEPs) != 2 {
		t.Errorf("the database has %+v", edge)
	}

	vm1, vm2 := plug(t, dir+"/p1"), plug(t, dir+"/p2")
	for _, prefix := range []string{"10.0.0.", "fd00::"} {
		sendUntilCounted(t, client, vm1, vm2, udp(prefix, 1, 2))
	}
	list, err := client.Flows(t.Context(), "nic1")
	if err != nil || len(list.Flows) == 0 {
		t.Fatalf("flows %+v, %v", list, err)
	}
	f := list.Flows[0]
	if f.VPort.Name != "acme/vm1" || f.To == nil || f.To.Name != "acme/vm2" || !slices.Equal(f.At, []string{"nic1:p2"}) || f.Action != "forward" || f.Lane != "class" ||
		f.Match != "dst_mac=02:00:00:00:00:02" || f.Bytes < f.Packets*42 || f.AgeSeconds <= 0 || len(f.Depends) == 0 {
		t.Errorf("flow %+v", f)
	}

	stop()
	until(t, func() string {
		if store.View().Edges.Has("nic1") {
			return "the edge is still live though its agent ended"
		}
		return ""
	})
}

// sendUntilCounted sends one frame again and again until the target has counted one that it forwarded by itself, and vm2 got it as it was.
func sendUntilCounted(t *testing.T, client *Client, vm1, vm2 *station, frame []byte) {
	t.Helper()
	before := uint64(0)
	if list, err := client.Flows(t.Context(), ""); err == nil && len(list.Flows) > 0 {
		before = list.Flows[0].Packets
	}
	until(t, func() string {
		if _, err := vm1.port.Send([][]byte{frame}); err != nil {
			return err.Error()
		}
		list, err := client.Flows(t.Context(), "")
		if err != nil {
			return err.Error()
		}
		if len(list.Flows) == 0 || list.Flows[0].Packets <= before {
			return fmt.Sprintf("no flow counted a packet: %+v", list)
		}
		return ""
	})
	if got := <-vm2.got; !slices.Equal(got, frame) {
		t.Errorf("vm2 got %x, want %x", got, frame)
	}
	for len(vm2.got) > 0 {
		<-vm2.got
	}
}

// TestRunWaits: what is away at the start, or goes, is waited for, and the agent says so meanwhile.
func TestRunWaits(t *testing.T) {
	dir := shortDir(t)
	db := state.EmbeddedConfig{Dir: dir + "/db", Listen: []string{"unix://" + dir + "/etcd"}}
	c := oneEdge(t, dir, `{endpoints: ["unix://`+dir+`/etcd"]}`, "{}")
	client, _ := startAgent(t, c)
	untilState(t, client, "nic1", NoDatabase)
	if status, body := read(t, client, pathReady); status != http.StatusServiceUnavailable || body != "edge nic1: no database\n" {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, body := read(t, client, pathHealth); status != http.StatusOK || body != "ok\n" {
		t.Errorf("health: %d %q", status, body)
	}
	if _, err := client.Flows(t.Context(), "nic1"); err == nil || err.Error() != "no database" {
		t.Errorf("flows: %v", err)
	}

	_, stopDatabase := startDatabase(t, db)
	untilState(t, client, "nic1", NoTarget)
	untilReady(t, client, "edge nic1: no target: ", "dial unix")
	stopSwitch := startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	untilState(t, client, "nic1", Serving)
	if status, body := read(t, client, pathReady); status != http.StatusOK || body != "ok\n" {
		t.Errorf("ready: %d %q", status, body)
	}

	stopSwitch()
	untilState(t, client, "nic1", NoTarget)
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	untilState(t, client, "nic1", Serving)

	stopDatabase() // the view stays as it was: what it says of this edge is old
	untilState(t, client, "nic1", NotLive)
	if status, body := read(t, client, pathReady); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "edge nic1: not live: ") {
		t.Errorf("ready: %d %q", status, body)
	}
	startDatabase(t, db)
	untilState(t, client, "nic1", Serving)
}

// untilReady waits until the answer for readiness begins with a text and contains another.
func untilReady(t *testing.T, client *Client, begin, contains string) {
	t.Helper()
	until(t, func() string {
		if _, body := read(t, client, pathReady); !strings.HasPrefix(body, begin) || !strings.Contains(body, contains) {
			return fmt.Sprintf("ready: %q, want %q… with %q", body, begin, contains)
		}
		return ""
	})
}

// read gets a path as it is.
func read(t *testing.T, c *Client, path string) (int, string) {
	t.Helper()
	resp, err := c.http.Get(c.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestTaken: an edge that another process takes stops for good, and its agent ends when it was the only one.
func TestTaken(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	store := openStore(t, c.Etcd)
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), c, logger(t)) }()
	client, err := NewClient(c.Listen, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	untilState(t, client, "nic1", Serving)
	other, err := store.RegisterEdge(state.EdgeInfo{ID: "nic1"}, state.EdgeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	running(t, other.Run)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "edge nic1: another process runs it now") {
		t.Errorf("the agent ended with %v", err)
	}
}

var metricName = regexp.MustCompile(`(?m)^(weft_[a-z_]+)`)

// TestMetrics: what Prometheus reads is the state, by documented names.
func TestMetrics(t *testing.T) {
	dir := shortDir(t)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	c.Edges[0].HA = true
	c.Tracing = Tracing{Address: "127.0.0.1:1", Every: 2} // nobody is there
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	client, _ := startAgent(t, c)
	untilState(t, client, "nic1", Serving)
	status, body := read(t, client, pathMetrics)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, want := range []string{
		`weft_edge_serving{edge="nic1"} 1`, `weft_edge_active{edge="nic1"} 1`, `weft_edge_agents{edge="nic1"} 1`, `weft_edge_terms_total{edge="nic1"} 1`,
		`weft_edge_flows{edge="nic1"} 0`, `weft_edge_write_failures_total{edge="nic1"} 0`, "weft_database_up 1", "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no line %q in\n%s", want, body)
		}
	}
	given := map[string]bool{}
	for _, m := range metricName.FindAllString(body, -1) {
		given[m] = true
	}
	documented := documentedMetrics(t)
	maps.DeleteFunc(documented, func(name string, _ bool) bool { // there is none: TestPoolMetrics, TestDropMetrics, TestUsageMetrics, TestBGPMetrics, TestVPNMetrics, TestRPKI, TestInterfaceMetrics, TestRuleMetrics
		return strings.Contains(name, "bgp") || strings.Contains(name, "vpn") || strings.Contains(name, "rpki") || strings.Contains(name, "bfd") || strings.Contains(name, "pool") || strings.Contains(name, "dropped_packets") || strings.Contains(name, "usage") || strings.Contains(name, "vport_sent") ||
			strings.Contains(name, "_interface_") || strings.Contains(name, "edge_rule_packets") || strings.Contains(name, "edge_rule_bytes") || strings.Contains(name, "_telemetry_")
	})
	if d := cmp.Diff(documented, given); d != "" {
		t.Errorf("metrics (-docs/operations.md +given):\n%s", d)
	}
	stats, err := client.Stats(t.Context())
	if err != nil || len(stats.Edges) != 1 || stats.Edges[0].Edge != "nic1" {
		t.Errorf("stats %+v, %v", stats, err)
	}
}
