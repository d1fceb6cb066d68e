package lab_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/proxy"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// awayNetwork is a VM behind a router that hides it: TCP to port 22 waits for the database, all else begins without it.
const awayNetwork = `
-- network.yaml --
apiVersion: weft/v1
kind: Chain
metadata: {name: hide, tenant: acme}
spec:
  rules:
  - {match: {outPorts: [gw-up]}, action: snat, nat: {addresses: [198.51.100.80-198.51.100.81, "2001:db8:51::80"]}, whenAway: local}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: guard, tenant: acme}
spec:
  rules:
  - {match: {states: [established, related]}, action: accept}
  - {match: {states: [new], inPorts: [gw-lan], protocols: [tcp], dstPorts: [22]}, action: accept, whenAway: hold}
  - {match: {states: [new], inPorts: [gw-lan]}, action: accept, whenAway: local}
  default: drop
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {ingress: guard, egress: hide}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, mac: "02:00:00:00:00:fe", addresses: [10.1.0.254/24, "fd01::fe/64"]}}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: gw-up, tenant: acme}
spec: {device: router/gw, mac: "02:00:00:00:00:fd", addresses: [198.51.100.1/24, 198.51.100.80/32, 198.51.100.81/32, "2001:db8:51::1/64", "2001:db8:51::80/128"]}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.1.0.1/24, "fd01::1/64"]}}
-- hosts --
vm1 vport=acme/vm1 edge=e1 gw=10.1.0.254,fd01::fe
out vport=acme/gw-up edge=e1 mac=02:00:00:00:00:09 ip=198.51.100.9/24,2001:db8:51::9/64 gw=198.51.100.1,2001:db8:51::1
`

const awayBefore = `
leg before 'with the database: the edge has ports of its own from then on'
tcp vm1 out:80 bytes=50KB
tcp vm1 out:22 bytes=50KB
udp vm1 out:53 count=2
ping vm1 out
`

const awayMeanwhile = `
leg away 'without it'
tcp vm1 out:80 bytes=2MB within=20s
udp vm1 out:53 count=5 within=20s
ping vm1 out count=3 within=20s
tcp vm1 out:8080 bytes=200KB within=20s

leg holds 'but not what is to wait'
! tcp vm1 out:22 within=2s
`

// TestAwayEndToEnd: while etcd does not answer, connections of rules that say so carry their bytes, both ways, and others do not begin. When it answers again, it has what began,
// with its states, each translation once; and all is as before.
func TestAwayEndToEnd(t *testing.T) {
	parse := func(legs string) *scenario.Scenario {
		s, err := scenario.Parse("away.txtar", []byte(strings.TrimPrefix(legs, "\n")+awayNetwork[1:]))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var g *proxy.Proxy
	t.Cleanup(func() {
		if g != nil {
			g.Close()
		}
	})
	before := parse(awayBefore)
	long := conntrack.Timeouts{TCPOpening: time.Hour, TCPEstablished: time.Hour, TCPClosed: time.Hour, Single: time.Hour, Both: time.Hour}
	l := start(t, lab.Config{Scenario: before, Timeouts: long, AwayAfter: time.Second, Way: func(_, endpoint string) (at string, err error) {
		if g, err = proxy.To(endpoint); err != nil {
			return "", err
		}
		return g.URL(), nil
	}})
	t.Cleanup(func() { g.SetSilent(false) })
	count := func(name string) uint64 {
		t.Helper()
		n, err := l.Counter(t.Context(), "e1", name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	runScenario(t, before, l)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	until(ctx, t, func() string { return "the edge has no blocks" }, func() bool { return count("blocks") > 0 })
	runScenario(t, before, l) // whatever was leased meanwhile is of both families by now
	until(ctx, t, func() string { return "the edge has few blocks" }, func() bool { return count("blocks") > 1 })
	aways := count("aways")
	g.SetSilent(true)
	runScenario(t, parse(awayMeanwhile), l)
	until(ctx, t, func() string { return "what waits is not dropped" }, func() bool { return count("away_drops") > 0 })
	if n := count("unstored"); n < 8 || count("aways") != aways+1 {
		t.Errorf("%d connections are not stored, the database was away %d times, before that %d", n, count("aways"), aways)
	}
	g.SetSilent(false)
	until(ctx, t, func() string { return fmt.Sprintf("%d connections are not stored", count("unstored")) }, func() bool { return count("unstored") == 0 })
	if n := count("local_ended"); n != 0 {
		t.Errorf("%d connections ended", n)
	}
	store, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: l.Endpoints()}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	answers := map[conntrack.Key]conntrack.Key{}
	var ends []string
	until(ctx, t, func() string {
		return fmt.Sprintf("connections to port 8080 are stored as %v, want two that ended", ends)
	}, func() bool {
		clear(answers)
		ends = ends[:0]
		err := store.Connections(ctx, func(c state.StoredConn) error {
			if other, ok := answers[c.Return()]; ok {
				t.Errorf("%v and %v have one translation", c.Forward, other)
			}
			answers[c.Return()] = c.Forward
			if c.Forward.DstPort == 8080 {
				ends = append(ends, c.State.String())
			}
			return nil
		})
		return err == nil && len(ends) == 2 && !slices.ContainsFunc(ends, func(s string) bool { return s != "closed" && s != "closing" && s != "reset" })
	})
	runScenario(t, before, l)
}
