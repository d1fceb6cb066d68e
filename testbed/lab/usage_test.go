package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestUsage (O4): what is stored of vports' usage is exactly what hosts have sent and received, by the counts of their own interfaces: whether entries matched it or the agent decided it, floods
// and answers of the network among it, across evictions of a small cache, flows that expire, a change of a filter, and a move of a vport; and what passed the link to a router
// is what went through it.
func TestUsage(t *testing.T) {
	odd := make([]string, 300)
	for i := range odd {
		odd[i] = strconv.Itoa(int(pickyPort(i)))
	}
	rules := func(rest string) string {
		return `{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: red}, spec: {default: accept, rules: [{match: {protocols: [udp], srcPorts: [` + strings.Join(odd, ", ") + `]}, action: accept}` + rest + `]}}`
	}
	text := "leg move\nbind red1 e2\nping red1 red2\n" + redNetwork(map[string]string{"lan": "filters: {ingress: rules}"}, rules("")) + redHosts("e1", "e2", "e2")
	file, err := scenario.Parse("usage.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, lab.Config{Scenario: file, MaxFlows: 64, VPortShare: 100, IdleTimeout: 3 * time.Second})
	store, err := l.Store("e1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(1, 2))
	turn := 0
	udp := func(from, to byte, mac packet.MAC) []byte {
		v6 := turn%2 == 0
		at := func(host byte) netip.Addr {
			switch net := host / 3; { // host 3 is in the far network
			case v6:
				return netip.AddrFrom16([16]byte{0: 0xfd, 1: net, 15: host})
			default:
				return netip.AddrFrom4([4]byte{10, net, 0, host})
			}
		}
		return packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 0, 0, 0, 0, from}, DstMAC: mac, Src: at(from), Dst: at(to), SrcPort: pickyPort(turn % len(odd)), DstPort: 9, TTL: 64, Payload: make([]byte, random.IntN(900))})
	}
	var routed uint64
	some := func(n int) {
		t.Helper()
		for range n {
			turn++
			tap := l.Host("red2").Tap(64)
			var last []byte
			for range 4 { // and then no more of these flows: what passes an entry between its last reading and its deletion is not known
				last = udp(1, 2, packet.MAC{2, 0, 0, 0, 0, 2})
				inject(t, l.Host("red1"), last, udp(1, 3, packet.MAC{2, 0, 0, 0, 1, 1}))
				routed++
			}
			// No more at once than queues take: what they drop is nobody's usage.
			if _, err := tap.Wait(ctx, func(frame []byte) bool { return bytes.Equal(frame, last) }); err != nil {
				t.Fatalf("turn %d: the last frame does not arrive: %v", turn, err)
			}
			tap.Close()
		}
		inject(t, l.Host("red1"), udp(1, 2, packet.Broadcast()), udp(1, 2, packet.Broadcast()), udp(1, 2, packet.Broadcast()))
	}
	exact := func(when string) {
		t.Helper()
		within(t, "usage after "+when, func() (string, bool) {
			got, err := usageByName(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			right, told := true, ""
			for i := 1; i <= 3; i++ {
				n, u := l.Host(fmt.Sprintf("red%d", i)).Counters(), got[fmt.Sprintf("red/vm%d", i)]
				right = right && u.In == state.Tally{Packets: n.FramesSent, Bytes: n.BytesSent} && u.Out.Packets == n.FramesReceived
				told += fmt.Sprintf("vm%d: %+v, and it has sent %d frames of %d bytes and received %d; ", i, u, n.FramesSent, n.BytesSent, n.FramesReceived)
			}
			if u := got["red/gw-lan"]; u.Crossed.Packets < routed {
				right, told = false, told+fmt.Sprintf("link to the router: %+v, %d were routed", u.Crossed, routed)
			}
			return told, right
		})
	}
	some(300)
	exact("traffic")
	if n, err := l.Counter(t.Context(), "e1", "evicted_limit"); err != nil || n == 0 {
		t.Errorf("%d flows were evicted, %v", n, err)
	}
	if err := l.Apply(t.Context(), scenario.Apply{File: "rules.yaml", Data: []byte(rules(", {match: {protocols: [tcp], dstPorts: [7]}, action: drop}"))}); err != nil {
		t.Fatal(err)
	}
	some(100)
	exact("a change") // and nothing is on its way to the VM when it moves: it would be nobody's
	runScenario(t, file, l)
	some(100)
	exact("a change and a move")
}

// usageByName sums what edges have stored.
func usageByName(ctx context.Context, store *state.Store) (map[string]state.UsageTotals, error) {
	all, err := store.Usage(ctx, "")
	if err != nil {
		return nil, err
	}
	sums := map[string]state.UsageTotals{}
	for _, u := range all {
		sum := sums[u.Tenant+"/"+u.Name]
		sum.Add(u.UsageTotals)
		sums[u.Tenant+"/"+u.Name] = sum
	}
	return sums, nil
}
