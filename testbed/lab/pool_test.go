package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// TestOneTranslation (N1, N4): connections whose first packets come in at two edges at once, by two uplinks of one router, get one member each, though each
// edge would have given them another: members are chosen in turn, and the edges are not at the same turn.
func TestOneTranslation(t *testing.T) {
	const flows = 24
	file := parseFile(t, "testdata/lb-pool.txtar")
	var steps, frames strings.Builder
	for _, family := range []int{4, 6} {
		src, dst, ask := "203.0.113.200", "203.0.113.81", "203.0.113.81"
		if family == 6 {
			src, dst, ask = "2001:db8:113::c8", "2001:db8:113::81", "[2001:db8:113::81]"
		}
		fmt.Fprintf(&steps, "leg both%d family=%[1]d\nudp c1 vm1:53 count=1\nudp c1 vm2:53 count=1\nudp c1 vm3:53 count=1\nudp c1 %s:5353 count=2\n", family, ask)
		for i, port := range []string{"99", "98"} {
			fmt.Fprintf(&steps, "raw c%d first%d-%d\n", i+1, family, i+1)
			fmt.Fprintf(&frames, "-- first%d-%d --\n", family, i+1)
			for n := range flows {
				fmt.Fprintf(&frames, "%x\n\n", packet.AppendUDP(nil, &packet.UDP{
					SrcMAC: packet.MustParseMAC("02:00:00:00:" + port + ":01"), DstMAC: packet.MustParseMAC("02:00:00:00:" + port + ":fe"),
					Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: uint16(7000 + n), DstPort: 5353, Payload: []byte("who serves?"),
				}))
			}
		}
	}
	var network bytes.Buffer
	network.WriteString(steps.String() + frames.String() + "-- network.yaml --\n")
	network.Write(file.Network)
	network.WriteString("-- hosts --\n" + poolHosts)
	s, err := scenario.Parse("both.txtar", network.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := start(t, lab.Config{Scenario: s, Pcap: dir})
	runScenario(t, s, l)
	served := map[string]map[string]int{} // by client address and port: packets by member
	for _, vm := range []string{"e1-vm1", "e2-vm2", "e2-vm3"} {
		for _, p := range packets(t, filepath.Join(dir, "access-"+vm+".pcap")) {
			udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			if !ok || udp.DstPort != 53 || udp.SrcPort < 7000 || udp.SrcPort >= 7000+flows || !fromOutside(p) {
				continue
			}
			client := fmt.Sprint(p.NetworkLayer().NetworkFlow().Src(), udp.SrcPort)
			if served[client] == nil {
				served[client] = map[string]int{}
			}
			served[client][vm]++
		}
	}
	members := map[string]int{}
	for client, by := range served {
		total := 0
		for vm, n := range by {
			total += n
			members[vm]++
		}
		if len(by) != 1 || total != 2 {
			t.Errorf("packets of %s by member: %v, want both at one", client, by)
		}
	}
	if len(served) != 2*flows || len(members) != 3 {
		t.Errorf("%d connections came through, want %d; by member %v", len(served), 2*flows, members)
	}

	t.Logf("by member %v", members)
}

func fromOutside(p gopacket.Packet) bool {
	src := p.NetworkLayer().NetworkFlow().Src().String()
	return src == "203.0.113.200" || src == "2001:db8:113::c8"
}

// poolHosts are those of testdata/lb-pool.txtar.
const poolHosts = `
vm1 vport=acme/vm1 edge=e1 gw=10.1.0.254,fd01::fe
vm2 vport=acme/vm2 edge=e2 gw=10.1.0.254,fd01::fe
vm3 vport=acme/vm3 edge=e2 gw=10.1.0.254,fd01::fe
c1 vport=isp/up1 edge=e1 mac=02:00:00:00:99:01 ip=198.51.100.2/24,2001:db8:51::2/64 gw=198.51.100.1,2001:db8:51::1
c2 vport=isp/up2 edge=e3 mac=02:00:00:00:98:01 ip=198.51.101.2/24,2001:db8:52::2/64 gw=198.51.101.1,2001:db8:52::1
`

// TestMonitors (N4): one edge probes the members, all see what it finds out, and when it dies another goes on within two intervals.
func TestMonitors(t *testing.T) {
	file := parseFile(t, "testdata/lb-monitor.txtar")
	begin := func(steps string) *scenario.Scenario {
		s, err := scenario.Parse("monitor.txtar", []byte(steps+"-- network.yaml --\n"+string(file.Network)+"-- hosts --\n"+poolHosts))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	serve := begin("leg serve\ntcp vm2 vm1:80 bytes=1KB\nhttp vm2 vm1:8080 bytes=1KB\n")
	l := start(t, lab.Config{Scenario: serve})
	store, err := l.Store("e2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	health := func(name string) state.PoolHealth {
		t.Helper()
		pool, _, err := store.Get(ctx, topology.Ref{Kind: topology.KindPool, Tenant: "acme", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		h, err := store.Health(ctx, topology.DeviceID(pool.Status.ID))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	is := func(name string, n int, down func(m topology.MemberKey) bool) {
		t.Helper()
		until(ctx, t, func() string { return fmt.Sprintf("pool %s: %+v", name, health(name)) }, func() bool {
			h := health(name)
			for m, x := range h.Members {
				if x.Down != down(m) {
					return false
				}
			}
			return len(h.Members) == n && h.Watcher != ""
		})
	}
	nobody := func(topology.MemberKey) bool { return false }
	is("any", 6, nobody)
	is("web", 4, func(topology.MemberKey) bool { return true }) // nobody serves yet
	runScenario(t, serve, l)
	is("web", 4, func(m topology.MemberKey) bool { return m.Addr[15] == 2 })
	is("site", 4, func(m topology.MemberKey) bool { return m.Addr[15] == 3 })
	why := func() string { return health("web").Members[topology.MemberAt(netip.MustParseAddr("fd01::2"), 80)].Why }
	until(ctx, t, func() string { return "why: " + why() }, func() bool { return why() == "port 80 refuses connections" })
	apply := func(file string) {
		t.Helper()
		runScenario(t, begin("leg apply\napply change.yaml\nping vm2 vm1\n-- change.yaml --\n"+file), l)
	}
	const vm3 = `{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:03", addresses: [10.1.0.3/24, "fd01::3/64"], adminDown: %v}}` + "\n"
	// The edge that runs the monitor dies: nobody renews its claim.
	before := health("any").Watcher
	pool, _, err := store.Get(ctx, topology.Ref{Kind: topology.KindPool, Tenant: "acme", Name: "any"})
	if err != nil {
		t.Fatal(err)
	}
	claim, err := store.Client().Grant(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("/weft/dev/%d/monitor", pool.Status.ID)
	put, err := store.Client().Put(ctx, key, "dead", clientv3.WithLease(claim.ID))
	if err != nil {
		t.Fatal(err)
	}
	unclaimed := make(chan time.Duration, 1) // from the end of the claim to the next one
	go func() { unclaimed <- untilPut(store.Client().Watch(ctx, key, clientv3.WithRev(put.Header.Revision+1))) }()
	apply(fmt.Sprintf(vm3, true))
	until(ctx, t, func() string { return fmt.Sprintf("nobody runs the monitor: %+v", health("any")) }, func() bool { w := health("any").Watcher; return w != "dead" && w != "" })
	if took := <-unclaimed; took > 2*time.Second {
		t.Errorf("the monitor went on %v after the claim, of one interval, had ended: more than another interval", took)
	} else {
		t.Logf("the monitor went on after %v, at %s, before at %s", took, health("any").Watcher, before)
	}
	is("any", 6, func(m topology.MemberKey) bool { return m.Addr[15] == 3 })
	apply(fmt.Sprintf(vm3, false))
	is("any", 6, nobody)
	// Connections to a member that is down end, and no others.
	runScenario(t, begin("leg many\nudp c1 vm1:53 count=1\nudp c1 vm2:53 count=1\nudp c1 vm3:53 count=1\nudp c1 203.0.113.80:53 count=30\nudp c1 [2001:db8:113::80]:53 count=30\n"), l)
	if n := len(connections(t, store)); n < 60 {
		t.Fatalf("%d connections", n)
	}
	apply(fmt.Sprintf(vm3, true))
	is("any", 6, func(m topology.MemberKey) bool { return m.Addr[15] == 3 })
	until(ctx, t, func() string { return fmt.Sprintf("connections by member %v", byMember(t, store)) }, func() bool {
		by := byMember(t, store)
		return by[3] == 0 && by[1] > 5 && by[2] > 5
	})
}

// untilPut returns how long after a key went it was there again, by a watch that sees both.
func untilPut(watch clientv3.WatchChan) time.Duration {
	var gone time.Time
	for seen := range watch {
		for _, e := range seen.Events {
			if e.IsCreate() && !gone.IsZero() {
				return time.Since(gone)
			}
			gone = time.Now()
		}
	}
	return time.Hour // the test is over
}

// byMember counts the connections that the database has by the last byte of the member's address.
func byMember(t *testing.T, s *state.Store) map[byte]int {
	t.Helper()
	by := map[byte]int{}
	err := s.Connections(t.Context(), func(c state.StoredConn) error {
		for _, step := range c.Steps() {
			if step.Pool != 0 {
				by[step.Addr[15]]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return by
}
