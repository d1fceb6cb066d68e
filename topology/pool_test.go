package topology

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// pooled is a router whose chain gives two virtual addresses to a pool.
const pooled = `
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {ingress: in}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, addresses: [10.1.0.254/24, "fd01::fe/64", 10.1.0.80/32]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan}}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: web, tenant: acme}
spec:
  members:
  - {address: 10.1.0.1, port: 8080, weight: 3}
  - {address: 10.1.0.2, drainUntil: 2026-03-01T18:00:00Z}
  - {address: "fd01::1", port: 8080}
  method: leastConnections
  sticky: {timeout: 60}
  monitor: {type: http, port: 8080, source: gw-lan}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: in, tenant: acme}
spec:
  rules:
  - {name: web, match: {dst: [10.1.0.80, "2001:db8::80"]}, action: dnat, nat: {pool: web}}
`

func poolOf(t *testing.T, s *Snapshot) *Pool {
	t.Helper()
	id, ok := s.ID(Ref{KindPool, "acme", "web"})
	if !ok || s.Pool(DeviceID(id)) == nil {
		t.Fatal("no pool")
	}
	return s.Pool(DeviceID(id))
}

func TestPool(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(pooled))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		b, _ := json.Marshal(o)
		again, err := Decode("x.json", b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if c, _ := json.Marshal(again[0]); string(c) != string(b) {
			t.Errorf("%s became %s", b, c)
		}
	}
	s, err := Load("net.yaml", []byte(pooled))
	if err != nil {
		t.Fatal(err)
	}
	p := poolOf(t, s)
	port, _ := s.ID(Ref{KindVPort, "acme", "gw-lan"})
	want := Monitor{Type: "http", Port: 8080, Path: "/", Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Source: flow.VPortID(port)}
	if *p.Monitor != want || p.Method != MethodLeast || p.Method.String() != "leastConnections" || p.Sticky != time.Minute {
		t.Errorf("pool %+v, monitor %+v", p, p.Monitor)
	}
	var names []string
	for _, m := range p.Members {
		names = append(names, m.String())
	}
	if !slices.Equal(names, []string{"10.1.0.1:8080", "10.1.0.2", "[fd01::1]:8080"}) || p.Members[0].Weight != 3 || p.Members[1].Weight != 1 || p.Members[1].Open() || !p.Members[2].Open() {
		t.Errorf("members %v: %+v", names, p.Members)
	}
	until := time.Date(2026, 3, 1, 18, 0, 0, 0, time.UTC)
	if p.Members[1].Ended(until.Add(-1)) || !p.Members[1].Ended(until) || p.Members[0].Ended(until) {
		t.Error("whose connections end when")
	}
	at := func(a string, port uint16) *Member {
		ip := netip.MustParseAddr(a)
		return p.Member(flow.AddrOf(ip), port, ip.Is6())
	}
	if at("10.1.0.1", 8080) != &p.Members[0] || at("10.1.0.1", 80) != nil || at("10.1.0.2", 80) != &p.Members[1] || at("fd01::1", 8080) != &p.Members[2] {
		t.Error("who is whose member")
	}
	chain, _ := s.ID(Ref{KindChain, "acme", "in"})
	c := s.Chain(DeviceID(chain))
	if c.Destinations == nil || c.Rules[0].Pool != p.ID || !slices.Contains(c.Used, p.ID) || len(c.Missing) != 0 || !s.Has(p.ID) {
		t.Errorf("chain %+v", c)
	}
	if got := s.Probed(want.Source); !slices.Equal(got, []DeviceID{p.ID}) {
		t.Errorf("pools probed from the port: %v", got)
	}
}

// TestHealth: what a monitor says is a change of the pool, whatever comes first, and outlives a change of its object.
func TestHealth(t *testing.T) {
	s, err := Load("net.yaml", []byte(pooled))
	if err != nil {
		t.Fatal(err)
	}
	p := poolOf(t, s)
	first := p.Members[0].MemberKey
	down, deps := s.With(Changes{Health: []MemberHealth{{Pool: p.ID, Member: first, Down: true}}, Watchers: []PoolWatcher{{p.ID, "e1"}}})
	if q := poolOf(t, down); !q.Members[0].Down || q.Members[0].Open() || q.Members[2].Down || q.Watcher != "e1" {
		t.Errorf("pool %+v", q)
	}
	if !slices.Equal(deps, []Dep{DeviceDep(p.ID)}) || poolOf(t, s).Members[0].Down {
		t.Errorf("changed %v, and before %+v", deps, p)
	}
	spec := *p.spec
	spec.Method = "source"
	spec.Members = slices.Clone(spec.Members)
	o := &Object{APIVersion: APIVersion, Kind: KindPool, Metadata: Metadata{Name: "web", Tenant: "acme"}, Spec: &spec, Status: Status{ID: uint32(p.ID), Uses: p.uses}}
	edited, deps := down.With(Changes{Put: []*Object{o}})
	if q := poolOf(t, edited); q.Method != MethodSource || !q.Members[0].Down || q.Watcher != "e1" || !slices.Equal(deps, []Dep{DeviceDep(p.ID)}) {
		t.Errorf("edited %+v, changed %v", q, deps)
	}
	spec.Monitor = nil
	o.Status.Uses = nil
	if _, deps = down.With(Changes{Put: []*Object{o}}); !slices.Contains(deps, VPortDep(p.Monitor.Source)) {
		t.Errorf("a port that probes no more: changed %v", deps)
	}
	up, _ := edited.With(Changes{Health: []MemberHealth{{Pool: p.ID, Member: first}}, Watchers: []PoolWatcher{{Pool: p.ID}}})
	if q := poolOf(t, up); q.Members[0].Down || q.Watcher != "" {
		t.Errorf("up %+v", q)
	}
	gone, deps := edited.With(Changes{Forget: []DeviceID{p.ID}})
	chain, _ := gone.ID(Ref{KindChain, "acme", "in"})
	if c := gone.Chain(DeviceID(chain)); gone.Pool(p.ID) != nil || !slices.Equal(c.Missing, []DeviceID{p.ID}) || !slices.Contains(deps, DeviceDep(c.ID)) || gone.Probed(p.Monitor.Source) != nil {
		t.Errorf("forgotten: chain %+v, changed %v", c, deps)
	}
	o.Spec, o.Status.Uses = p.spec, p.uses
	back, _ := gone.With(Changes{Put: []*Object{o}})
	if q := poolOf(t, back); q.Members[0].Down || q.Watcher != "" || len(back.Chain(DeviceID(chain)).Missing) != 0 {
		t.Errorf("what was known of a forgotten pool is known still: %+v", q)
	}
}

func TestPoolErrors(t *testing.T) {
	for _, x := range []struct{ old, new, want string }{
		{"method: least", "method: most", `spec.method: "mostConnections" is no method; use hash, source, roundRobin or leastConnections`},
		{"timeout: 60", "timeout: 0", `spec.sticky.timeout: "0" is out of range; use 1 to 604800 seconds`},
		{"address: 10.1.0.2,", "address: 224.0.0.1,", `spec.members[1].address: "224.0.0.1" is not the address of one host`},
		{"address: 10.1.0.2,", "address: 10.1.0.1,", `spec.members[1]: "10.1.0.1" is member 10.1.0.1:8080 already; list each server once`},
		{"drainUntil: 2026-03-01T18:00:00Z", "drainUntil: soon", `spec.members[1].drainUntil: "soon" is not a time such as 2026-03-01T18:00:00Z or 2026-03-01T19:00:00+01:00`},
		{"type: http, port: 8080", "type: http", `spec.monitor.port: is missing, and member 10.1.0.2 has none; give the port to probe`},
		{"type: http", "type: icmp", `spec.monitor.port: "8080" does not go with icmp`},
		{"type: http", "type: ftp", `spec.monitor.type: "ftp" is no monitor; use icmp, tcp or http`},
		{"type: http", "path: health, type: http", `spec.monitor.path: "health" is no path to ask for by http`},
		{"type: http", "interval: 1, type: http", `spec.monitor.interval: "1" is out of range; use 2 to 3600 seconds`},
		{"type: http", "interval: 3, timeout: 4, type: http", `spec.monitor.timeout: "4" is longer than the interval`},
		{"type: http", "fall: 11, type: http", `spec.monitor.fall: "11" is out of range; use 1 to 10`},
		{"source: gw-lan", "source: gw-wan", `spec.monitor.source: "gw-wan" is no vport; define vport acme/gw-wan`},
		{"source: gw-lan", "source: vm", `spec.monitor.source: "vm" is a port of bridge acme/lan; name a port of a router`},
		{"source: gw-lan", `source: ""`, `spec.monitor.source: is missing; name the router port`},
		{`addresses: [10.1.0.254/24, "fd01::fe/64", 10.1.0.80/32]`, `addresses: [10.1.0.254/24, 10.1.0.80/32]`, `spec.monitor.source: "gw-lan" has no address to probe fd01::1 from`},
		{", 10.1.0.80/32", "", `router acme/gw: spec.filters.ingress: "in" has 10.1.0.80, which rule web gives to a pool, but no port has that address of 10.1.0.0/24: nobody would answer for it; give it to a port of router acme/gw as 10.1.0.80/32 too`},
		{"nat: {pool: web}", "nat: {pool: app}", `spec.rules[0].nat.pool: "app" is no pool; define pool acme/app`},
		{"nat: {pool: web}", "nat: {pool: web, addresses: [10.1.0.1]}", `spec.rules[0].nat.addresses: "10.1.0.1" does not go with pool`},
		{"nat: {pool: web}", `nat: {pool: web, ports: "80"}`, `spec.rules[0].nat.ports: "80" does not go with pool`},
		{"action: dnat", "action: snat", `spec.rules[0].nat.pool: "web" does not go with snat; use action dnat`},
		{`match: {dst: [10.1.0.80, "2001:db8::80"]}, `, "", `spec.rules[0].match.dst: is missing: all that passes would go to the pool; give the virtual address`},
	} {
		if !strings.Contains(pooled, x.old) {
			t.Fatalf("no %q", x.old)
		}
		_, err := Load("net.yaml", []byte(strings.Replace(pooled, x.old, x.new, 1)))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s:\n got %v\nwant %s", x.new, err, x.want)
		}
	}
	set := set(t, pooled)
	if _, err := set.Apply(nil, []Ref{{KindPool, "acme", "web"}}); err == nil || !strings.Contains(err.Error(), "is used by chain in") {
		t.Errorf("a pool that a rule names is deleted: %v", err)
	}
}

func set(t *testing.T, yaml string) *Set {
	t.Helper()
	objects, err := Decode("net.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
