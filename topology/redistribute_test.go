package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestTell: what a session tells, from which entry, and what it does not, and why.
func TestTell(t *testing.T) {
	s, err := Load("network.yaml", []byte(peering+`families: [ipv4, ipv6], advertise: [{prefix: 203.0.113.0/25, med: 9}],
  export: [{action: deny, prefix: 203.0.113.4/32}, {action: permit, prefix: 0.0.0.0/0, le: 32}, {action: permit, prefix: "::/0", le: 64}],
  redistribute: [{sources: [floatingIPs], within: [203.0.113.0/24], med: 5}, {sources: [virtualAddresses, snatGateways], within: [203.0.112.0/24, "2001:db8:112::/48"], aggregate: true},
  {sources: [connected, static], within: [198.51.100.0/24, 10.0.0.0/8]}, {sources: [floatingIPs], within: [203.0.111.0/24], whenDown: keep}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: far, tenant: isp}, spec: {device: router/gw, peer: near, addresses: [100.64.0.2/30]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: near, tenant: isp}, spec: {device: router/core, peer: far, addresses: [100.64.0.1/30]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	core, _ := s.ID(Ref{KindRouter, "isp", "core"})
	gw, _ := s.ID(Ref{KindRouter, "isp", "gw"})
	near, _ := s.ID(Ref{KindVPort, "isp", "near"})
	up, _ := s.ID(Ref{KindVPort, "isp", "up"})
	routed := &Object{APIVersion: APIVersion, Kind: KindRouter, Metadata: Metadata{Name: "core", Tenant: "isp"}, Status: Status{ID: core}, Spec: &RouterSpec{Routes: []RouteSpec{
		{Dst: netip.MustParsePrefix("203.0.112.0/23"), Port: "near", Via: netip.MustParseAddr("100.64.0.2")},
		{Dst: netip.MustParsePrefix("203.0.111.0/24"), Port: "near", Via: netip.MustParseAddr("100.64.0.2")},
		{Dst: netip.MustParsePrefix("10.9.0.0/16"), Kind: "blackhole"}, {Dst: netip.MustParsePrefix("2001:db8:112::/64"), Port: "near"},
	}}}
	public := func(kind Kind, name, down string, addrs ...string) PublicChange {
		p := &Public{Router: DeviceID(core), Owner: DeviceID(gw), Of: Ref{kind, "acme", name}, Ports: []flow.VPortID{flow.VPortID(near)}, Down: down}
		for _, a := range addrs {
			p.Addrs = append(p.Addrs, PublicAddr{Prefix: netip.MustParsePrefix(a)})
		}
		return PublicChange{DeviceID(core), p.Key(), p}
	}
	s, deps := s.With(Changes{Put: []*Object{routed}, Publics: []PublicChange{
		public(KindFloatingIP, "a", "", "203.0.113.1/32", "2001:db8:113::1/128"), public(KindFloatingIP, "b", "off", "203.0.113.2/32"), public(KindFloatingIP, "c", "", "192.0.2.77/32"),
		public(KindFloatingIP, "d", "", "203.0.113.4/32"), public(KindFloatingIP, "e", "off", "203.0.111.1/32"), public(KindChain, "f", "", "203.0.112.5/32", "203.0.112.6/32"),
		public(KindSNATGateway, "g", "", "203.0.112.8/31", "2001:db8:112:1::/64"),
	}})
	if !slices.Contains(deps, BindingDep(flow.VPortID(up))) {
		t.Errorf("who speaks for the port is not told: %v", deps)
	}
	session := s.BGPSessions(flow.VPortID(up))[0]
	said := func(s *Snapshot) (lines []string) {
		told := s.Own(DeviceID(core), nil).Tell(session)
		for _, prefix := range slices.SortedFunc(maps.Keys(told), netip.Prefix.Compare) {
			x := told[prefix]
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%v %d %s; %s", x.Prefix, x.MED, x.From, x.Why)))
		}
		return lines
	}
	want := []string{
		"10.0.0.0/24 0 redistribute[2] connected;", "10.9.0.0/16 0 redistribute[2] static;", "198.51.100.0/24 0 redistribute[2] connected;", "203.0.111.1/32 0 redistribute[3] floatingip/acme/e;",
		"203.0.112.0/24 0 redistribute[1] aggregate of 3;", "203.0.113.0/25 9 advertise[0];", "203.0.113.1/32 5 redistribute[0] floatingip/acme/a;", "203.0.113.2/32 5 redistribute[0] floatingip/acme/b; off",
		"203.0.113.4/32 5 redistribute[0] floatingip/acme/d; export[0] denies it", "2001:db8:112::/48 0 redistribute[1] aggregate; nothing in it is up",
	}
	if got := said(s); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	four, _ := s.ID(Ref{KindVPort, "isp", "four"})
	unplugged, deps := s.With(Changes{Links: []PortLink{{Port: flow.VPortID(four), Down: true}}})
	if !slices.Contains(deps, BindingDep(flow.VPortID(up))) {
		t.Errorf("who speaks is not told of a link that is down: %v", deps)
	}
	if got := said(unplugged); got[2] != want[2]+" the link of vport isp/four is down" {
		t.Errorf("told, with a link that is down: %s", got[2])
	}
	s, _ = s.With(Changes{Delete: []Ref{{KindVPort, "isp", "far"}}, Publics: []PublicChange{{DeviceID(core), PublicKey{DeviceID(gw), Ref{KindFloatingIP, "acme", "b"}}, nil}}})
	want = slices.Delete(want, 7, 8)
	for i, line := range want {
		if head, rest, _ := strings.Cut(line, ";"); rest == "" && (strings.Contains(line, "acme") || strings.Contains(line, "/31")) {
			want[i] = head + "; vport isp/near leads nowhere"
		}
	}
	want[4] = "203.0.112.0/24 0 redistribute[1] aggregate; nothing in it is up"
	want[7] = strings.Replace(want[7], "export[0] denies it", "vport isp/near leads nowhere", 1)
	if got := said(s); !slices.Equal(got, want) {
		t.Errorf("told, without the link,\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	forgotten, _ := s.With(Changes{Forget: []DeviceID{DeviceID(core)}})
	if own := forgotten.Own(DeviceID(core), nil); own != nil {
		t.Errorf("a router that is not loaded has %+v", own)
	}
}

// TestRangesAsPrefixes: a range of addresses is the fewest prefixes that have the same.
func TestRangesAsPrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1-10.0.0.1": "[10.0.0.1/32]", "10.0.0.0-10.0.0.255": "[10.0.0.0/24]", "10.0.0.3-10.0.0.9": "[10.0.0.3/32 10.0.0.4/30 10.0.0.8/31]",
		"0.0.0.0-255.255.255.255": "[0.0.0.0/0]", "255.255.255.254-255.255.255.255": "[255.255.255.254/31]",
		"2001:db8::1-2001:db8::4": "[2001:db8::1/128 2001:db8::2/127 2001:db8::4/128]",
	} {
		first, last, _ := strings.Cut(text, "-")
		if got := fmt.Sprint(prefixesOf(AddrRange{netip.MustParseAddr(first), netip.MustParseAddr(last)})); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// BenchmarkTell is one floating IP more of 10,000, of a router with 1,000 tenants: until it is in a snapshot, and until what is told is known.
func BenchmarkTell(b *testing.B) {
	const floating, tenants = 10_000, 1_000
	s, err := Load("network.yaml", []byte(peering+`families: [ipv4, ipv6], redistribute: [{sources: [floatingIPs], within: [100.64.0.0/10, "2001:db8::/32"]}]}}`))
	if err != nil {
		b.Fatal(err)
	}
	core, _ := s.ID(Ref{KindRouter, "isp", "core"})
	in, _ := s.ID(Ref{KindVPort, "isp", "in"})
	up, _ := s.ID(Ref{KindVPort, "isp", "up"})
	o := &Object{APIVersion: APIVersion, Kind: KindRouter, Metadata: Metadata{Name: "core", Tenant: "isp"}, Status: Status{ID: core}}
	spec := &RouterSpec{}
	for i := range tenants {
		spec.Routes = append(spec.Routes, RouteSpec{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 32).Masked(), Port: "in"})
		spec.Routes[i].Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>8), byte(i), 0}), 24)
	}
	o.Spec = spec
	change := func(i int) PublicChange {
		p := &Public{Router: DeviceID(core), Owner: 5, Of: Ref{KindFloatingIP, "acme", fmt.Sprint(i)}, Ports: []flow.VPortID{flow.VPortID(in)}}
		p.Addrs = []PublicAddr{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32)}}
		return PublicChange{DeviceID(core), p.Key(), p}
	}
	c := Changes{Put: []*Object{o}}
	for i := range floating {
		c.Publics = append(c.Publics, change(i))
	}
	s, _ = s.With(c)
	session := s.BGPSessions(flow.VPortID(up))[0]
	own := s.Own(DeviceID(core), nil)
	if n := len(own.Tell(session)); n != floating {
		b.Fatalf("%d are told", n)
	}
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			s.With(Changes{Publics: []PublicChange{change(floating + i)}})
		}
	})
	b.Run("told", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Own(DeviceID(core), own).Tell(session)
		}
	})
}
