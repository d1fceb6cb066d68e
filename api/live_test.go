package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestLiveTraceRefused: what is wrong with a request is said of its field, before a stream begins.
func TestLiveTraceRefused(t *testing.T) {
	var store *state.Store
	url, _ := guardedStore(t, &store)
	if err := store.WaitRevision(t.Context(), store.Catalogue().Revision); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ body, field, problem string }{
		{`{"vport":"acme/vport"}`, "/vport", "is away, e-acme"},
		{`{"vport":"acme/wan"}`, "/vport", "is bound nowhere"},
		{`{"vport":"acme/vport","match":{"dst":"10.0.0.300"}}`, "/match/dst", "is neither an IP address nor a prefix"},
		{`{"vport":"acme/vport","match":{"dst":"10.0.0.0/8","src":"fd00::1"}}`, "/match/dst", "another IP family"},
		{`{"vport":"acme/vport","match":{"dport":80}}`, "/match/proto", "is missing"},
		{`{"vport":"acme/vport","match":{"proto":"icmp","dport":80}}`, "/match/proto", "has no ports"},
		{`{"vport":"acme/vport","match":{"proto":"arp"}}`, "/match/proto", "is no protocol"},
		{`{"vport":"acme/vport","packets":1001}`, "/packets", ""},
		{`{"vport":"acme/vport","seconds":301}`, "/seconds", ""},
	} {
		a := ask(t, url, access.TenantViewer, http.MethodPost, livePath, "application/json", tc.body)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, tc.problem) || !strings.Contains(a.body, strings.TrimPrefix(strings.ReplaceAll(tc.field, "/", "."), ".")) && !strings.Contains(a.body, tc.field) {
			t.Errorf("%s: %d %s, want %s %s", tc.body, a.status, a.body, tc.field, tc.problem)
		}
	}
}

// TestConcealLive: a tenant is told nothing of another's devices, of the underlay, and of what others' packets add to.
func TestConcealLive(t *testing.T) {
	var list []*topology.Object
	for _, o := range objects(t, strings.NewReplacer("TENANT", "acme", "NET", "10").Replace(tenantNetwork)+"---\n"+strings.NewReplacer("TENANT", "globex", "NET", "11").Replace(tenantNetwork)) {
		if o.Kind == topology.KindVPort || o.Kind == topology.KindBridge || o.Kind == topology.KindRouter {
			list = append(list, &o)
		}
	}
	set, err := new(topology.Set).Apply(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	simulation := func() *client.Trace {
		return &client.Trace{
			Packet: "P", Steps: []client.TraceStep{{Device: "bridge acme/bridge", Port: "acme/vport", What: "seen"}, {Device: "router globex/router", Port: "globex/wan", What: "secret route"}},
			Outcomes: []client.TraceEnd{{Verdict: "forward", To: "globex/vport", Rewrite: "secret", Text: "forward to globex/vport"}}, Match: "secret", Guards: "secret", Read: "secret",
		}
	}
	entry := client.LiveEntry{Table: "flow_wild_v4", Match: "secret", Action: "forward", To: "globex/vport", Rewrite: "secret", Packets: 7}
	within := client.LiveEntry{Table: "flow_wild_v4", Match: "open", Action: "forward", To: "acme/vport", Simulation: &client.Trace{Steps: []client.TraceStep{{Device: "bridge acme/bridge"}}}}
	e := client.LiveEvent{
		Kind: client.LivePacket, Entries: []client.LiveEntry{entry, within},
		Packet: &client.FollowedOne{
			Text: "P", Entry: &entry, Simulation: simulation(), Differs: "secret",
			Outcomes: []client.LiveEnd{{TraceEnd: client.TraceEnd{Verdict: "forward", To: "globex/vport", Rewrite: "secret", Text: "forward to globex/vport"}, Place: "secret:1", Tunnel: "secret"}},
		},
		Arrivals: []client.LiveArrival{{Edge: "secret", VPort: "globex/vport", Passed: 5}, {Edge: "secret", Error: "secret"}, {Edge: "e9", VPort: "acme/vport", Port: 3, Passed: 4, Lost: map[string]uint64{"secret": 1}}},
	}
	e = tenantLive(&e, "acme", access.Concealed(callers[access.TenantViewer], set))
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); strings.Contains(text, "secret") || strings.Contains(text, "globex") || strings.Contains(text, "passed") {
		t.Errorf("a tenant is told %s", text)
	}
	if p := e.Packet; p.Outcomes[0].To != access.Anothers || p.Entry.Packets != 7 || p.Entry.To != access.Anothers || p.Simulation.Steps[0].What != "seen" || p.Differs == "" || len(e.Arrivals) != 1 || e.Arrivals[0].Edge != "e9" || e.Entries[1].Match != "open" {
		t.Errorf("of what is his own he is told %s", b)
	}
}
