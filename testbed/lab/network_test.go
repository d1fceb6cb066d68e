package lab

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// TestScenarioOf: the reference network gets its hosts, with gateways; the text is a scenario that can be planned.
func TestScenarioOf(t *testing.T) {
	data, err := os.ReadFile("../../examples/reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	router := `
---
apiVersion: weft/v1
kind: VPort
metadata: {name: leased, tenant: provider}
spec: {device: router/core, mac: "02:00:00:00:03:fe", addresses: [192.0.2.1/30, "2001:db8:9::1/127", 192.0.2.9/32]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: leased, tenant: provider}
spec: {vport: leased, edge: border, interface: "2"}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: bare, tenant: acme}
spec: {device: bridge/app}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: bare, tenant: acme}
spec: {vport: bare, edge: nic1, interface: "9"}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: campus, tenant: acme}
spec: {vlans: [10, 20]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: access, tenant: acme}
spec: {device: bridge/campus, vlan: 10, addresses: [10.8.0.1/24]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: access, tenant: acme}
spec: {vport: access, edge: nic1, interface: "10"}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: trunk, tenant: acme}
spec: {device: bridge/campus, vlans: [10, 20]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: trunk, tenant: acme}
spec: {vport: trunk, edge: nic1, interface: "11"}
`
	objects, err := topology.Decode("reference.yaml", append(data, router...))
	if err != nil {
		t.Fatal(err)
	}
	text, notes, err := ScenarioOf(objects)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse("reference", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	p, err := newPlan(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]string{}
	for _, h := range p.hosts {
		hosts[h.vport.Tenant+"/"+h.vport.Name] = h.name + " " + join(h.cfg.Addrs) + " by " + join(h.cfg.Gateways)
	}
	want := map[string]string{
		"provider/uplink": "uplink 198.51.100.1/24,2001:db8:0:1::1/64 by 198.51.100.2,2001:db8:0:1::2",
		"acme/app1":       "app1 10.0.0.11/24,fd00:10::11/64 by 10.0.0.1,fd00:10::1",
		"acme/app2":       "app2 10.0.0.12/24,fd00:10::12/64 by 10.0.0.1,fd00:10::1",
		"acme/web":        "web 203.0.113.10/28,2001:db8:a::10/64 by 203.0.113.1,2001:db8:a::1",
		"globex/app1":     "globex-app1 10.0.0.11/24,fd00:10::11/64 by 10.0.0.1,fd00:10::1",
		"globex/app2":     "globex-app2 10.0.0.12/24,fd00:10::12/64 by 10.0.0.1,fd00:10::1",
		"globex/web":      "globex-web 203.0.113.26/28,2001:db8:b::10/64 by 203.0.113.17,2001:db8:b::1",
		"acme/access":     "access 10.8.0.1/24 by ",
		"provider/leased": "leased 192.0.2.2/30 by 192.0.2.1",
	}
	if diff := cmp.Diff(want, hosts); diff != "" {
		t.Error(diff)
	}
	for i, vport := range []string{"bare", "trunk.10", "trunk.20"} {
		if len(notes) != 3 || !strings.Contains(notes[i], "no host at acme/"+vport+":") {
			t.Errorf("notes %q", notes)
		}
	}
}
