package topology

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// ruled is a bridge with chains and groups of every kind.
const ruled = `
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: office, tenant: acme}, spec: {addresses: [10.0.0.0/8, 192.0.2.1, "2001:db8::/32"]}}
---
{apiVersion: weft/v1, kind: PortGroup, metadata: {name: front, tenant: acme}, spec: {ports: [vm]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: inner, tenant: acme}, spec: {rules: [{match: {etherTypes: [arp, 0x88cc]}, action: drop}]}}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: web, tenant: acme}
spec:
  rules:
  - {name: late, priority: 9, match: {protocols: [udp, "50"]}, not: {src: [10.0.0.1, "2001:db8::/64"]}, action: reject, log: true}
  - {name: open, match: {protocols: [tcp], dstPorts: [80, 8000-8080], srcGroups: [office], inPortGroups: [front], tcpFlags: [syn+!ack]}, action: accept}
  - {match: {protocols: [icmp], icmp: [8, 3/4], fragments: [whole], dscp: [46], marks: [0]}, action: mark, mark: 7}
  - {match: {inPorts: [vm], srcMACs: ["02:00:00:00:00:01"]}, action: jump, chain: inner}
  default: drop
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {filters: {ingress: web}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, filters: {egress: inner}}}
`

// TestChain: rules are in order of priority, references are by id, and a written object is read as it was.
func TestChain(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(ruled))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode("x.json", b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if c, _ := json.Marshal(again[0]); string(c) != string(b) {
			t.Errorf("%s became %s", b, c)
		}
	}
	s, err := Load("net.yaml", []byte(ruled))
	if err != nil {
		t.Fatal(err)
	}
	id := func(k Kind, name string) DeviceID {
		n, ok := s.ID(Ref{k, "acme", name})
		if !ok {
			t.Fatalf("no %s %s", k, name)
		}
		return DeviceID(n)
	}
	web := s.Chain(id(KindChain, "web"))
	var names []string
	for _, r := range web.Rules {
		names = append(names, r.Name+" "+r.Action.String())
	}
	if want := []string{"open accept", "#3 mark", "#4 jump", "late reject"}; !slices.Equal(names, want) || web.End != ActionDrop || web.Classifier.Rules() != 4 {
		t.Errorf("rules %q, want %q; end %v", names, want, web.End)
	}
	if web.Rules[2].Chain != id(KindChain, "inner") || !web.Rules[2].Link || web.Rules[3].Link || !web.Rules[3].Log || web.Rules[1].Mark != 7 {
		t.Errorf("rules %+v", web.Rules)
	}
	b, vm := s.Bridge(id(KindBridge, "lan")), s.VPort(1)
	for v := range s.VPorts() {
		vm = v
	}
	if b.Filters != (Filters{Ingress: web.ID}) || vm.Filters != (Filters{Egress: id(KindChain, "inner")}) {
		t.Errorf("filters %+v %+v", b.Filters, vm.Filters)
	}
	if domain, _ := s.Linked(web.ID); !slices.Contains(domain, id(KindAddressGroup, "office")) || !slices.Contains(domain, id(KindChain, "inner")) {
		t.Errorf("the chain leads to %v", domain)
	}
}

// TestChainChanges: who met a chain depends on it, and on the groups that its rules name; who came by a port depends on which chains run there.
func TestChainChanges(t *testing.T) {
	s, err := Load("net.yaml", []byte(ruled))
	if err != nil {
		t.Fatal(err)
	}
	web, _ := s.ID(Ref{KindChain, "acme", "web"})
	office, _ := s.ID(Ref{KindAddressGroup, "acme", "office"})
	lan, _ := s.ID(Ref{KindBridge, "acme", "lan"})
	vm, _ := s.ID(Ref{KindVPort, "acme", "vm"})
	put := func(id uint32, k Kind, name string, spec Spec, uses map[string]uint32) []Dep {
		o := &Object{APIVersion: APIVersion, Kind: k, Metadata: Metadata{Name: name, Tenant: "acme"}, Spec: spec, Status: Status{ID: id, Uses: uses}}
		next, deps := s.With(Changes{Put: []*Object{o}})
		s = next
		return deps
	}
	if deps := put(office, KindAddressGroup, "office", &AddressGroupSpec{}, nil); !slices.Equal(deps, []Dep{DeviceDep(DeviceID(office)), DeviceDep(DeviceID(web))}) {
		t.Errorf("a group changed: %v", deps)
	}
	if deps := put(office, KindAddressGroup, "office", &AddressGroupSpec{}, nil); len(deps) != 0 {
		t.Errorf("nothing changed: %v", deps)
	}
	deps := put(lan, KindBridge, "lan", &BridgeSpec{}, nil)
	if !slices.Contains(deps, VPortDep(1)) && !slices.ContainsFunc(deps, func(d Dep) bool { return d.Kind() == DepVPort && d.A() == vm }) {
		t.Errorf("the bridge has no chain any more: %v", deps)
	}
	next, deps := s.With(Changes{Forget: []DeviceID{DeviceID(office)}})
	if !slices.Contains(deps, DeviceDep(DeviceID(web))) || !slices.Equal(next.Chain(DeviceID(web)).Missing, []DeviceID{DeviceID(office)}) || next.Chain(DeviceID(web)).Classifier != nil {
		t.Errorf("a group is not loaded any more: %v, chain %+v", deps, next.Chain(DeviceID(web)))
	}
	if next, _ = next.With(Changes{Forget: []DeviceID{DeviceID(web)}}); next.Has(DeviceID(web)) {
		t.Error("a chain that was forgotten is there")
	}
}

// TestChainErrors: what is refused, and how that is told.
func TestChainErrors(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"action: drop}", "action: dorp}", `chain acme/inner: spec.rules[0].action: "dorp" is no action; use accept, drop, reject, return, jump, mark, continue, snat, masquerade or dnat`},
		{"default: drop", "default: deny", `chain acme/web: spec.default: "deny" is no end of a chain; use return, accept, drop or reject`},
		{"name: open", "name: late", `chain acme/web: spec.rules[1].name: "late" is the name of an earlier rule; name each rule once`},
		{"8000-8080", "8080-8000", `chain acme/web: spec.rules[1].match.dstPorts[1]: "8080-8000" is not a port or range of ports such as 80 or 8000-8080`},
		{"protocols: [tcp]", "protocols: [gre]", `chain acme/web: spec.rules[1].match.dstPorts: does not go with protocol gre; give match.protocols of tcp, udp and sctp alone`},
		{"protocols: [icmp]", "protocols: [icmp, icmpv6]", `chain acme/web: spec.rules[2].match.icmp: "8" means another thing in each protocol; give match.protocols of either icmp or icmpv6`},
		{"srcGroups: [office]", "srcGroups: [ofice]", `chain acme/web: spec.rules[1].match.srcGroups[0]: "ofice" is no addressgroup; define addressgroup acme/ofice or name an existing one`},
		{"chain: inner", "chain: gone", `chain acme/web: spec.rules[3].chain: "gone" is no chain; define chain acme/gone or name an existing one`},
		{"{ingress: web}", "{ingress: wep}", `bridge acme/lan: spec.filters.ingress: "wep" is no chain; define chain acme/wep or name an existing one`},
		{"[10.0.0.0/8,", "[10.0.0.1/8,", `addressgroup acme/office: spec.addresses[0]: "10.0.0.1/8" has bits set behind its length; use 10.0.0.0/8`},
		{"ports: [vm]", "ports: [wm]", `portgroup acme/front: spec.ports[0]: "wm" is no vport; define vport acme/wm or name an existing one`},
		{"dscp: [46]", "dscp: [64]", `chain acme/web: spec.rules[2].match.dscp[0]: "64" is out of range; use 0 to 63 (RFC 2474)`},
		{"syn+!ack", "syn+!syn", `chain acme/web: spec.rules[1].match.tcpFlags[0]: "syn+!syn" is not TCP flags such as syn or syn+!ack`},
		{"0x88cc]}, action: drop}", "0x88cc]}, action: jump, chain: web}", `chain acme/inner: spec.rules: "acme/inner → acme/web → acme/inner" is a loop of jumps; jump to chains that do not lead back`},
	} {
		if strings.Count(ruled, tt.old) != 1 {
			t.Fatalf("%q is not in the manifest once", tt.old)
		}
		objects, err := Decode("net.yaml", []byte(strings.Replace(ruled, tt.old, tt.new, 1)))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error()+"\n", " "+tt.want+"\n") {
			t.Errorf("%q:\n got %v\nwant %s", tt.new, err, tt.want)
		}
	}
	objects, _ := Decode("net.yaml", []byte(ruled))
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Apply(nil, []Ref{{KindChain, "acme", "inner"}}); err == nil || !strings.Contains(err.Error(), "chain acme/inner: is used by chain web, vport vm; delete them in the same command") {
		t.Errorf("a chain that is named is deleted: %v", err)
	}
}

// TestTranslations: where chains may translate what.
func TestTranslations(t *testing.T) {
	const base = `
{apiVersion: weft/v1, kind: Chain, metadata: {name: inner, tenant: acme}, spec: {rules: [{name: hide, action: masquerade, nat: {ports: 2000-3000}, then: accept}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: out, tenant: acme}, spec: {rules: [{match: {states: [new]}, action: jump, chain: inner}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {egress: out}}}
`
	objects, err := Decode("net.yaml", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ rule, want string }{
		{"{action: dnat, nat: {addresses: [10.0.0.1]}}", `router acme/gw: spec.filters.egress: "out" has dnat in rule #1 of chain acme/inner; translate destinations in an ingress chain`},
		{"{action: snat}", `chain acme/inner: spec.rules[0].nat.addresses: is missing; give the addresses to translate to, or from and to`},
		{"{action: snat, nat: {from: 10.0.0.0/24}}", `chain acme/inner: spec.rules[0].nat.to: is missing; give what 10.0.0.0/24 becomes`},
		{"{action: snat, nat: {to: 10.0.0.1}}", `chain acme/inner: spec.rules[0].nat.from: is missing; give the prefix that becomes 10.0.0.1/32`},
		{"{action: snat, nat: {from: 10.0.0.0/24, to: 192.0.2.0/25}}", `chain acme/inner: spec.rules[0].nat.to: "192.0.2.0/25" is of another size than 10.0.0.0/24; give a prefix with /24`},
		{"{action: snat, nat: {from: 10.0.0.0/24, to: \"2001:db8::/24\"}}", `chain acme/inner: spec.rules[0].nat.to: "2001:db8::/24" is of another IP version than 10.0.0.0/24; write a rule for each version`},
		{"{action: snat, nat: {from: 10.0.0.1/24, to: 192.0.2.0/24}}", `chain acme/inner: spec.rules[0].nat.from: "10.0.0.1/24" has bits set behind its length; use 10.0.0.0/24`},
		{"{action: snat, nat: {from: 10.0.0.1, to: 192.0.2.1, ports: 80}}", `chain acme/inner: spec.rules[0].nat.ports: "80" does not go with from and to, which keep the ports; leave it out`},
		{"{action: masquerade, nat: {from: 10.0.0.1, to: 192.0.2.1}}", `chain acme/inner: spec.rules[0].nat.from: "10.0.0.1/32" does not go with masquerade; use action snat or dnat`},
		{"{action: masquerade, nat: {addresses: [10.0.0.1]}}", `chain acme/inner: spec.rules[0].nat.addresses: "10.0.0.1" does not go with masquerade, which takes that of the port; use action snat`},
		{"{action: snat, nat: {addresses: [10.0.0.9-10.0.0.1]}}", `chain acme/inner: spec.rules[0].nat.addresses[0]: "10.0.0.9-10.0.0.1" is not an address or range of addresses such as 192.0.2.1 or 192.0.2.1-192.0.2.9`},
		{"{action: snat, nat: {addresses: [224.0.0.1], ports: 0-9}}", `chain acme/inner: spec.rules[0].nat.ports: "0-9" has port 0; begin with 1`},
		{"{action: accept, then: accept}", `chain acme/inner: spec.rules[0].then: "accept" goes with actions snat, masquerade and dnat alone; leave it out`},
		{"{action: accept, whenAway: local}", `chain acme/inner: spec.rules[0].whenAway: "local" goes with rules alone that translate, but not statically, or that ask for states; leave it out`},
		{"{action: snat, whenAway: hold, nat: {from: 10.0.0.1, to: 192.0.2.1}}", `chain acme/inner: spec.rules[0].whenAway: "hold" goes with rules alone that translate, but not statically, or that ask for states; leave it out`},
		{"{action: accept, match: {states: [new]}, whenAway: drop}", `chain acme/inner: spec.rules[0].whenAway: "drop" is nothing that can become of connections; use hold or local`},
		{"{action: drop, match: {states: [old]}}", `chain acme/inner: spec.rules[0].match.states[0]: "old" is not a state of connections: new, established or related`},
	} {
		objects, err := Decode("net.yaml", []byte("{apiVersion: weft/v1, kind: Chain, metadata: {name: inner, tenant: acme}, spec: {rules: ["+tt.rule+"]}}"))
		if err == nil {
			_, err = set.Apply(objects, nil)
		}
		if err == nil || !strings.Contains(err.Error()+"\n", " "+tt.want+"\n") {
			t.Errorf("%s:\n got %v\nwant %s", tt.rule, err, tt.want)
		}
	}
}
