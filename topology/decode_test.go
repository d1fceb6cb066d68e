package topology

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/packet"
)

const small = `apiVersion: weft/v1
kind: Bridge
metadata: {name: web, tenant: acme, labels: {tier: front}}
spec:
  unknownUnicast: drop
  macs:
  - {mac: "02:00:00:00:00:09", port: vm}
  neighbours:
  - {ip: "2001:db8::9", mac: 02-00-00-00-00-09}
---
apiVersion: weft/v1
kind: Router
metadata: {name: r, tenant: acme}
spec:
  routes:
  - dst: 0.0.0.0/0
    via: 10.0.0.9
    port: r-web
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: acme}
spec: {device: bridge/web, mac: "02:00:00:00:00:01", addresses: [10.0.0.2/24, "2001:db8::2/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: web-r, tenant: acme}
spec: {device: bridge/web, peer: r-web}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: r-web, tenant: acme}
spec: {device: router/r, peer: web-r, addresses: [10.0.0.1/24]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm, tenant: acme}
spec: {vport: vm, edge: e1, interface: tap0, vlan: 7}
---
apiVersion: weft/v1
kind: Fabric
metadata: {name: dc}
spec: {mtu: 1600}
`

func TestDecode(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := &BridgeSpec{
		UnknownUnicast: "drop",
		MACs:           []MACSpec{{MAC: packet.MAC{2, 0, 0, 0, 0, 9}, Port: "vm"}},
		Neighbours:     []NeighbourSpec{{IP: netip.MustParseAddr("2001:db8::9"), MAC: packet.MAC{2, 0, 0, 0, 0, 9}}},
	}
	netip := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if d := cmp.Diff(Spec(want), objects[0].Spec, netip); d != "" {
		t.Error(d)
	}
	if o := objects[1]; o.Source.Lines["spec.routes[0].via"] != 17 || o.Source.File != "net.yaml" {
		t.Errorf("lines %v", o.Source.Lines)
	}
	if _, err := new(Set).Apply(objects, nil); err != nil {
		t.Error(err)
	}
	for _, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back Object
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		again, _ := json.Marshal(&back)
		if string(again) != string(b) {
			t.Errorf("%s became %s", b, again)
		}
		// A manifest may be JSON too.
		if d, err := Decode("x.json", b); err != nil || len(d) != 1 || d[0].Ref() != o.Ref() {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// TestErrors: each names file, line, object, field, value and what would do; all are reported, and nothing is applied.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"unknownUnicast: drop", "unknownUnicast: maybe", `net.yaml:5: bridge acme/web: spec.unknownUnicast: "maybe" is no mode; use flood or drop`},
		{"unknownUnicast: drop", "unknownunicast: drop", "net.yaml:5: bridge acme/web: spec.unknownunicast: is not a known field; use one of unknownUnicast, floodRate, tagged, vlans, macs, neighbours, filters, globalAddresses"},
		{"port: vm}", "port: r-web}", `net.yaml:7: bridge acme/web: spec.macs[0].port: "r-web" is a port of router acme/r; name a port of bridge acme/web`},
		{`{mac: "02:00:00:00:00:09"`, `{mac: "03:00:00:00:00:09"`, `net.yaml:7: bridge acme/web: spec.macs[0].mac: "03:00:00:00:00:09" is not the MAC of one station; use one with an even first byte, such as 02:00:00:00:00:01`},
		{`{mac: "02:00:00:00:00:09"`, `{mac: "00:00:00:00:00:00"`, `net.yaml:7: bridge acme/web: spec.macs[0].mac: "00:00:00:00:00:00" is not a MAC such as 02:00:00:00:00:01`},
		{`{mac: "02:00:00:00:00:09"`, `{mac: "02:00"`, `net.yaml:7: bridge acme/web: spec.macs[0].mac: "02:00" is not a MAC such as 02:00:00:00:00:01`},
		{"dst: 0.0.0.0/0", "dst: 10.0.0.1/24", `net.yaml:16: router acme/r: spec.routes[0].dst: "10.0.0.1/24" has bits set behind its length; use 10.0.0.0/24`},
		{"dst: 0.0.0.0/0", "dst: 10.0.0", `net.yaml:16: router acme/r: spec.routes[0].dst: "10.0.0" is not an IP prefix such as 10.0.0.0/24 or 2001:db8::/64`},
		{"via: 10.0.0.9", `via: "2001:db8::9"`, `net.yaml:17: router acme/r: spec.routes[0].via: "2001:db8::9" is not the address of a gateway for 0.0.0.0/0; use a host address of the same family`},
		{"    port: r-web", "    kind: reject", `net.yaml:18: router acme/r: spec.routes[0].kind: "reject" takes neither port nor via; leave them out`},
		{"    port: r-web", "    weight: 1000", `net.yaml:18: router acme/r: spec.routes[0].weight: "1000" is not a number in range; use 0 to 255`},
		{"peer: r-web}", "peer: gone}", `net.yaml:28: vport acme/web-r: spec.peer: "gone" is no vport; define vport acme/gone or name an existing one; a port without peer is exterior`},
		{"device: bridge/web, peer", "device: bridge/x, peer", `net.yaml:28: vport acme/web-r: spec.device: "bridge/x" is no device; use bridge/NAME or router/NAME of one that exists`},
		{"peer: web-r,", "", `net.yaml:28: vport acme/web-r: spec.peer: "r-web" does not name this port as its peer; set spec.peer of vport acme/r-web to acme/web-r`},
		{"{vport: vm,", "{vport: web-r,", `net.yaml:38: binding acme/vm: spec.vport: "web-r" is an interior port; bind an exterior one`},
		{"vlan: 7", "vlan: 4095", `net.yaml:38: binding acme/vm: spec.vlan: "4095" is out of range; use 1 to 4094, or leave it out for untagged frames`},
		{"mtu: 1600", "mtu: 600", `net.yaml:43: fabric default/dc: spec.mtu: "600" is out of range; use 1350 to 9286 bytes of outer IP packet`},
		{"kind: Fabric", "kind: Fabrik", `net.yaml:40: kind: "Fabrik" is no kind of object; use one of Fabric, AddressGroup, PortGroup, Pool, Chain, DHCP, SecurityGroup, Bridge, Router, VPort, Binding, FloatingIP, SNATGateway, BGPSession, VPN, Tenant`},
		{"metadata: {name: r,", "metadata: {name: R_1,", `net.yaml:13: router acme/R_1: metadata.name: "R_1" is not a name; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first`},
		{"spec: {mtu: 1600}", "spec: {mtu: 1600}\nspec: {}", "net.yaml:44: mapping key \"spec\" already defined at [43:1]"},
	} {
		if strings.Count(small, tt.old) < 1 {
			t.Fatalf("%q is not in the manifest", tt.old)
		}
		objects, err := Decode("net.yaml", []byte(strings.Replace(small, tt.old, tt.new, 1)))
		if err == nil {
			var s *Set
			if s, err = new(Set).Apply(objects, nil); s != nil {
				t.Errorf("%q: applied", tt.new)
			}
		}
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains("\n"+err.Error()+"\n", "\n"+tt.want+"\n") {
			t.Errorf("%q:\n got %v\nwant %s", tt.new, err, tt.want)
		}
	}
}

// TestEmptyLists: a list that is given and empty is not as good as one left out where that would mean everything.
func TestEmptyLists(t *testing.T) {
	const group = "apiVersion: weft/v1\nkind: SecurityGroup\nmetadata: {name: g}\nspec: "
	const chain = "apiVersion: weft/v1\nkind: Chain\nmetadata: {name: c}\nspec: "
	for _, tt := range []struct{ text, field string }{
		{group + "{ingress: [{protocols: [tcp], ports: [22], addresses: []}]}", "spec.ingress[0].addresses"},
		{group + "{ingress: [{protocols: [tcp], ports: [22], addresses: null}]}", "spec.ingress[0].addresses"},
		{group + "{ingress: [{protocols: [tcp], ports: [22], addresses: }]}", "spec.ingress[0].addresses"},
		{group + "{ingress: [{protocols: [tcp], ports: [22], groups: []}]}", "spec.ingress[0].groups"},
		{group + "{ingress: [{protocols: [tcp], ports: []}]}", "spec.ingress[0].ports"},
		{group + "{ingress: [{protocols: []}]}", "spec.ingress[0].protocols"},
		{group + "{ingress: [{protocols: [null]}]}", "spec.ingress[0].protocols[0]"},
		{group + "{egress: []}", "spec.egress"},
		{group + "{egress: [null]}", "spec.egress[0]"},
		{group + "{ingress: []}", ""},
		{chain + "{rules: [{match: {src: []}, action: accept}]}", "spec.rules[0].match.src"},
		{chain + "{rules: [{match: {src: ~}, action: accept}]}", "spec.rules[0].match.src"},
		{chain + "{rules: [{not: {srcGroups: []}, action: accept}]}", "spec.rules[0].not.srcGroups"},
		{chain + "{rules: [{match: {states: [null]}, action: accept}]}", "spec.rules[0].match.states[0]"},
		{chain + "{rules: [{action: masquerade, nat: {addresses: []}}]}", "spec.rules[0].nat.addresses"},
		{chain + "{rules: []}", ""},
		{strings.Replace(chain, "Chain", "AddressGroup", 1) + "{addresses: []}", "spec.addresses"},
		{strings.Replace(chain, "Chain", "PortGroup", 1) + "{ports: []}", "spec.ports"},
		{strings.Replace(chain, "Chain", "Router", 1) + "{routes: [], policies: [{match: {src: []}, action: drop}]}", "spec.policies[0].match.src"},
	} {
		_, err := Decode("net.yaml", []byte(tt.text))
		switch name := tt.field + ": is empty; "; {
		case tt.field == "":
			if err != nil {
				t.Errorf("%s: %v", tt.text, err)
			}
		case err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), name):
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

// TestWhole: two objects that are wrong are both reported; a deletion that leaves a reference open is refused.
func TestWhole(t *testing.T) {
	bad := strings.NewReplacer("unknownUnicast: drop", "unknownUnicast: x", "vlan: 7", "vlan: 4095").Replace(small)
	objects, err := Decode("net.yaml", []byte(bad))
	if err != nil {
		t.Fatal(err)
	}
	var errs Errors
	if _, err := new(Set).Apply(objects, nil); !errors.As(err, &errs) || len(errs) != 2 {
		t.Errorf("errors: %v", err)
	}
	objects, _ = Decode("net.yaml", []byte(small))
	s, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(nil, []Ref{{KindRouter, "acme", "r"}}); err == nil || err.Error() != "router acme/r: is used by vport r-web; delete them in the same command" {
		t.Errorf("deleting a router with a port: %v", err)
	}
	if s, err := s.Apply(nil, []Ref{{KindBinding, "acme", "vm"}}); err != nil || s.Len() != 6 {
		t.Errorf("deleting a binding: %v", err)
	}
}

func TestBridgeLoopIsRefused(t *testing.T) {
	var y strings.Builder
	for _, b := range []string{"a", "b", "c"} {
		y.WriteString("---\n{apiVersion: weft/v1, kind: Bridge, metadata: {name: " + b + "}, spec: {}}\n")
	}
	for _, l := range []string{"ab", "bc", "ca"} {
		p, q := l, string(l[1])+string(l[0])
		y.WriteString("---\n{apiVersion: weft/v1, kind: VPort, metadata: {name: " + p + "}, spec: {device: bridge/" + p[:1] + ", peer: " + q + "}}\n")
		y.WriteString("---\n{apiVersion: weft/v1, kind: VPort, metadata: {name: " + q + "}, spec: {device: bridge/" + q[:1] + ", peer: " + p + "}}\n")
	}
	if _, err := Load("loop.yaml", []byte(y.String())); err == nil || !strings.Contains(err.Error(), "loop of bridges") {
		t.Errorf("loop: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("- a\n- b"))
	f.Add([]byte("kind: &x Router\nmetadata: *x"))
	f.Add([]byte(`{"kind":"VPort","spec":[1,{"a":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Decode("f", data)
		if err != nil {
			if err.Error() == "" {
				t.Error("error without text")
			}
			return
		}
		s, err := new(Set).Apply(objects, nil)
		if err != nil {
			return
		}
		all := s.All()
		AssignIDs(all, 1000)
		new(Snapshot).With(Changes{Put: all})
	})
}
