package topology

import (
	"encoding/json"
	"strings"
	"testing"
)

const convenient = `
{apiVersion: weft/v1, kind: Chain, metadata: {name: own, tenant: acme}, spec: {default: return}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {ingress: own}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.0.254/24, "fd01::fe/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: acme}, spec: {device: router/gw, addresses: [192.0.2.1/24, 192.0.2.80/32, "2001:db8::1/64", "2001:db8::80/128"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.1/24, "fd01::1/64"], securityGroups: [web, locked], filters: {egress: own}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.2/24], securityGroups: [locked]}}
---
{apiVersion: weft/v1, kind: SecurityGroup, metadata: {name: web, tenant: acme}, spec: {ingress: [{protocols: [tcp], ports: [80]}, {groups: [web], addresses: [198.51.100.0/24]}]}}
---
{apiVersion: weft/v1, kind: SecurityGroup, metadata: {name: locked, tenant: acme}, spec: {egress: [{groups: [web]}]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [192.0.2.80, "2001:db8::80"], vport: vm, router: gw, outside: [gw-up], inside: gw-lan}}
---
{apiVersion: weft/v1, kind: SNATGateway, metadata: {name: hide, tenant: acme}, spec: {router: gw, outside: [gw-up], sources: [10.1.0.0/24]}}
`

// TestConvenience: what convenience objects are made into, byte for byte.
func TestConvenience(t *testing.T) {
	const want = `
addressgroup acme/securitygroup.web of securitygroup acme/web {"addresses":["10.1.0.1/32","fd01::1/128"]}
chain acme/floatingip.web.in of floatingip acme/web {"rules":[
 {"name":"v4","action":"dnat","nat":{"from":"192.0.2.80/32","to":"10.1.0.1/32"}},
 {"name":"v6","action":"dnat","nat":{"from":"2001:db8::80/128","to":"fd01::1/128"}}]}
chain acme/floatingip.web.out of floatingip acme/web {"rules":[
 {"name":"v4","match":{"outPorts":["gw-up"]},"action":"snat","nat":{"from":"10.1.0.1/32","to":"192.0.2.80/32"}},
 {"name":"answer-v4","match":{"inPorts":["gw-lan"],"outPorts":["gw-lan"]},"action":"snat","nat":{"from":"10.1.0.1/32","to":"192.0.2.80/32"}},
 {"name":"neighbour-v4","match":{"inPorts":["gw-lan"],"outPorts":["gw-lan"],"dst":["10.1.0.1/32"]},"action":"masquerade"},
 {"name":"v6","match":{"outPorts":["gw-up"]},"action":"snat","nat":{"from":"fd01::1/128","to":"2001:db8::80/128"}},
 {"name":"answer-v6","match":{"inPorts":["gw-lan"],"outPorts":["gw-lan"]},"action":"snat","nat":{"from":"fd01::1/128","to":"2001:db8::80/128"}},
 {"name":"neighbour-v6","match":{"inPorts":["gw-lan"],"outPorts":["gw-lan"],"dst":["fd01::1/128"]},"action":"masquerade"}]}
chain acme/router.gw.egress of router acme/gw {"rules":[
 {"name":"floatingip.web","action":"jump","chain":"acme/floatingip.web.out"},
 {"name":"snatgateway.hide","action":"jump","chain":"acme/snatgateway.hide.out"}]}
chain acme/router.gw.ingress of router acme/gw {"rules":[
 {"name":"floatingip.web","action":"jump","chain":"acme/floatingip.web.in"},
 {"name":"own","action":"jump","chain":"own"}]}
chain acme/securitygroup.locked.in of securitygroup acme/locked {}
chain acme/securitygroup.locked.out of securitygroup acme/locked {"rules":[
 {"match":{"dstGroups":["acme/securitygroup.web"]},"action":"accept"}]}
chain acme/securitygroup.web.in of securitygroup acme/web {"rules":[
 {"match":{"protocols":["tcp"],"dstPorts":["80"]},"action":"accept"},
 {"match":{"src":["198.51.100.0/24"],"srcGroups":["acme/securitygroup.web"]},"action":"accept"}]}
chain acme/snatgateway.hide.out of snatgateway acme/hide {"rules":[
 {"name":"hide","match":{"outPorts":["gw-up"],"src":["10.1.0.0/24"]},"action":"masquerade"}]}
chain acme/vport.vm.egress of vport acme/vm {"rules":[
 {"name":"own","action":"jump","chain":"own"},
 {"name":"answers","match":{"states":["established","related"]},"action":"accept"},
 {"name":"securitygroup.web","action":"jump","chain":"acme/securitygroup.web.in"},
 {"name":"securitygroup.locked","action":"jump","chain":"acme/securitygroup.locked.in"},
 {"name":"advertisements","match":{"protocols":["icmpv6"],"icmp":["134"]},"action":"accept"},
 {"name":"dhcp","match":{"protocols":["udp"],"srcPorts":["67"],"dstPorts":["68"]},"action":"accept"},
 {"name":"dhcpv6","match":{"protocols":["udp"],"srcPorts":["547"],"dstPorts":["546"]},"action":"accept"}],"default":"drop"}
chain acme/vport.vm2.egress of vport acme/vm2 {"rules":[
 {"name":"answers","match":{"states":["established","related"]},"action":"accept"},
 {"name":"securitygroup.locked","action":"jump","chain":"acme/securitygroup.locked.in"},
 {"name":"advertisements","match":{"protocols":["icmpv6"],"icmp":["134"]},"action":"accept"},
 {"name":"dhcp","match":{"protocols":["udp"],"srcPorts":["67"],"dstPorts":["68"]},"action":"accept"},
 {"name":"dhcpv6","match":{"protocols":["udp"],"srcPorts":["547"],"dstPorts":["546"]},"action":"accept"}],"default":"drop"}
chain acme/vport.vm2.ingress of vport acme/vm2 {"rules":[
 {"name":"answers","match":{"states":["established","related"]},"action":"accept"},
 {"name":"securitygroup.locked","action":"jump","chain":"acme/securitygroup.locked.out"},
 {"name":"dhcp","match":{"protocols":["udp"],"srcPorts":["68"],"dstPorts":["67"]},"action":"accept"},
 {"name":"dhcpv6","match":{"protocols":["udp"],"srcPorts":["546"],"dstPorts":["547"]},"action":"accept"}],"default":"drop"}
`
	var got strings.Builder
	got.WriteString("\n")
	for _, o := range set(t, convenient).All() {
		if o.Status.Of == "" {
			continue
		}
		b, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.NewReplacer(`{"name"`, "\n "+`{"name"`, `{"match"`, "\n "+`{"match"`).Replace(string(b))
		got.WriteString(o.Ref().String() + " of " + o.Status.Of + " " + line + "\n")
	}
	if got.String() != want {
		t.Errorf("got %s\nwant %s", got.String(), want)
	}
}

// TestConvenienceRuns: a snapshot runs the chains that were made in place of those that were written, and none when nothing needs them any more.
func TestConvenienceRuns(t *testing.T) {
	runs := func(s *Set) map[string]Filters {
		objects, _ := new(Set).Expand(s.All(), nil)
		last := uint32(0)
		for _, o := range objects {
			last = max(last, o.Status.ID)
		}
		AssignIDs(objects, last)
		next, err := new(Set).Apply(objects, nil)
		if err != nil {
			t.Fatal(err)
		}
		snap, _ := new(Snapshot).With(Changes{Put: next.ResolvedAll(objects)})
		found := map[string]Filters{}
		for r := range snap.Routers() {
			found[r.Name] = r.Filters
		}
		for p := range snap.VPorts() {
			found[p.Name] = p.Filters
		}
		for name, f := range found {
			for _, id := range f.ids() {
				if c := snap.Chain(id); c == nil || len(c.Missing) > 0 {
					t.Errorf("%s runs %+v", name, c)
				}
			}
		}
		return found
	}
	s := set(t, convenient)
	with := runs(s)
	if with["gw"].Ingress == 0 || with["gw"].Egress == 0 || with["vm"].Egress == 0 || with["vm"].Ingress != 0 || with["vm2"].Ingress == 0 {
		t.Errorf("%+v", with)
	}
	s, err := s.Apply(nil, []Ref{{KindFloatingIP, "acme", "web"}, {KindSNATGateway, "acme", "hide"}})
	if err != nil {
		t.Fatal(err)
	}
	if without := runs(s); without["gw"].Ingress == 0 || without["gw"].Egress != 0 || s.Get(Ref{KindRouter, "acme", "gw"}).Status.Filters != nil {
		t.Errorf("%+v", without)
	}
}

func TestConvenienceErrors(t *testing.T) {
	for _, x := range []struct{ old, new, want string }{
		{`addresses: [192.0.2.80, "2001:db8::80"], vport`, `vport`, `floatingip acme/web: spec.addresses: is missing; give the host's address outside`},
		{`addresses: [192.0.2.80, "2001:db8::80"], vport`, `addresses: [224.0.0.1], vport`, `spec.addresses[0]: "224.0.0.1" is not the address of one host`},
		{`addresses: [192.0.2.80, "2001:db8::80"], vport`, `addresses: [203.0.113.1, 203.0.113.2], vport`, `spec.addresses[1]: "203.0.113.2" is a second one of its IP version`},
		{`192.0.2.80/32, `, ``, `spec.addresses[0]: "192.0.2.80" is in 192.0.2.0/24 of router acme/gw, no port of which has it: nobody would answer for it; give it to a port of router acme/gw as 192.0.2.80/32 too`},
		{`vport: vm, router`, `vport: vm2, router`, `spec.addresses[1]: "2001:db8::80" is of an IP version of which vm2 has no address`},
		{`vport: vm, router`, `vport: vm3, router`, `spec.vport: "vm3" is no vport; define vport acme/vm3`},
		{`router: gw, outside: [gw-up], inside`, `router: gw2, outside: [gw-up], inside`, `spec.router: "gw2" is no router; define router acme/gw2`},
		{`router: gw, outside: [gw-up], inside`, `router: gw, inside`, `spec.outside: is missing; name the ports of the router that lead outside`},
		{`outside: [gw-up], inside: gw-lan`, `outside: [lan-gw], inside: gw-lan`, `spec.outside[0]: "lan-gw" is a port of bridge acme/lan; name a port of router acme/gw`},
		{`outside: [gw-up], inside: gw-lan`, `outside: [gw-up], inside: gw-up`, `spec.inside: "gw-up" leads outside, too`},
		{`sources: [10.1.0.0/24]`, `sources: []`, `snatgateway acme/hide: spec.sources: is missing; give the prefixes of the hosts to hide`},
		{`sources: [10.1.0.0/24]`, `sources: ["fd01::/64"], addresses: [203.0.113.1]`, `spec.sources[0]: "fd01::/64" is of an IP version of which there is no outside address`},
		{`sources: [10.1.0.0/24]`, `sources: [10.1.0.0/24], addresses: [192.0.2.79-192.0.2.81]`, `spec.addresses[0]: "192.0.2.79" is in 192.0.2.0/24 of router acme/gw`},
		{`ports: [80]}, {groups`, `ports: [80], icmp: [8]}, {groups`, `securitygroup acme/web: spec.ingress[0].icmp: "8"`},
		{`{protocols: [tcp], ports: [80]}`, `{ports: [80]}`, `spec.ingress[0].ports: needs a protocol; give protocols of tcp, udp and sctp alone`},
		{`addresses: [198.51.100.0/24]`, `addresses: [198.51.100.1/24]`, `spec.ingress[1].addresses[0]: "198.51.100.1/24" has bits set behind its length`},
		{`{groups: [web], addr`, `{groups: [app], addr`, `spec.ingress[1].groups[0]: "app" is no securitygroup; define securitygroup acme/app`},
		{`securityGroups: [web, locked]`, `securityGroups: [web, web]`, `vport acme/vm: spec.securityGroups[1]: "web" is there already`},
		{`securityGroups: [web, locked]`, `securityGroups: [app]`, `spec.securityGroups[0]: "app" is no securitygroup`},
		{`router/gw, peer: lan-gw, `, `router/gw, peer: lan-gw, securityGroups: [web], `, `spec.securityGroups: "web" is of ports of bridges alone`},
		{`kind: Chain, metadata: {name: own`, `kind: Chain, metadata: {name: floatingip.web.in`, `metadata.name: needs the name of chain acme/floatingip.web.in, which is there`},
		{`kind: SNATGateway, metadata: {name: hide`, `kind: SNATGateway, metadata: {name: hide-all-that-is-behind-this-router-but-for-what-has-an-ip`, `is too long for the name of its part; use a name that is`},
		{`kind: SNATGateway, metadata: {name: hide, tenant: acme}, spec: {router: gw, outside: [gw-up], sources: [10.1.0.0/24]}`,
			`kind: FloatingIP, metadata: {name: second, tenant: acme}, spec: {addresses: [192.0.2.80], vport: vm2, router: gw, outside: [gw-up]}`, `spec.addresses: "192.0.2.80" is the outside address of floatingip acme/`},
		{`kind: SNATGateway, metadata: {name: hide, tenant: acme}, spec: {router: gw, outside: [gw-up], sources: [10.1.0.0/24]}`,
			`kind: FloatingIP, metadata: {name: second, tenant: acme}, spec: {addresses: [203.0.113.80], vport: vm, router: gw, outside: [gw-up]}`, `spec.vport: "acme/vm" has an outside address of that IP version already, by floatingip acme/`},
	} {
		if !strings.Contains(convenient, x.old) {
			t.Fatalf("no %q", x.old)
		}
		_, err := Load("net.yaml", []byte(strings.Replace(convenient, x.old, x.new, 1)))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s:\n got %v\nwant %s", x.new, err, x.want)
		}
	}
	s := set(t, convenient)
	for _, x := range []struct {
		gone Ref
		want string
	}{
		{Ref{KindSecurityGroup, "acme", "web"}, "is used by"},
		{Ref{KindVPort, "acme", "gw-up"}, "is used by"},
		{Ref{KindChain, "acme", "floatingip.web.in"}, "is a part of floatingip acme/web; change that"},
	} {
		if _, err := s.Apply(nil, []Ref{x.gone}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v is deleted: %v", x.gone, err)
		}
	}
}

// TestFloatingIPFromInside: a port of the router that is neither outside nor towards the host gets a chain, ahead of its own, that translates by connections; it follows the
// address, the host and what is outside, and goes with them.
func TestFloatingIPFromInside(t *testing.T) {
	s := set(t, convenient)
	put := func(text string) {
		t.Helper()
		objects, err := Decode("change.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.Apply(objects, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, rules, runs string) {
		t.Helper()
		got, has := "", ""
		if c := s.Get(Ref{KindChain, "acme", "vport.gw-lab.ingress"}); c != nil {
			b, err := json.Marshal(c.Spec)
			if err != nil {
				t.Fatal(err)
			}
			got = string(b)
		}
		if f := s.Get(Ref{KindVPort, "acme", "gw-lab"}).Status.Filters; f != nil {
			has = f.Ingress + " " + f.Egress
		}
		if got != rules || has != runs {
			t.Errorf("%s: runs %q, made %s\nwant %q, %s", what, has, got, runs, rules)
		}
	}
	const made = "vport.gw-lab.ingress own"
	put(`{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lab, tenant: acme}, spec: {device: router/gw, addresses: [10.3.0.254/24], filters: {egress: own}}}`)
	v4 := `{"name":"floatingip.web.v4","match":{"dst":["192.0.2.80/32"]},"action":"dnat","nat":{"addresses":["10.1.0.1"]}}`
	v6 := `{"name":"floatingip.web.v6","match":{"dst":["2001:db8::80/128"]},"action":"dnat","nat":{"addresses":["fd01::1"]}}`
	want("the port is new", `{"rules":[`+v4+`,`+v6+`]}`, made)
	put(`{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.9/24]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [192.0.2.80], vport: vm, router: gw, outside: [gw-up], inside: gw-lan}}`)
	v4 = strings.Replace(v4, "10.1.0.1", "10.1.0.9", 1)
	want("the host has another address, and one of IPv4 alone", `{"rules":[`+v4+`]}`, made)
	put(`{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lab, tenant: acme}, spec: {device: router/gw, addresses: [10.3.0.254/24], filters: {ingress: own, egress: own}}}`)
	want("the port has a chain of its own", `{"rules":[`+v4+`,{"name":"own","action":"jump","chain":"own"}]}`, made)
	put(`{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [192.0.2.80], vport: vm, router: gw, outside: [gw-up, gw-lab], inside: gw-lan}}`)
	want("it is outside", "", "")
	put(`{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [192.0.2.80], vport: vm, router: gw, outside: [gw-up], inside: gw-lab}}`)
	want("it leads to the host", "", "")
	put(`{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [192.0.2.80], vport: vm, router: gw, outside: [gw-up]}}`)
	want("it is neither", `{"rules":[`+v4+`,{"name":"own","action":"jump","chain":"own"}]}`, made)
	var err error
	if s, err = s.Apply(nil, []Ref{{KindFloatingIP, "acme", "web"}}); err != nil {
		t.Fatal(err)
	}
	want("the FloatingIP is gone", "", "")
}
