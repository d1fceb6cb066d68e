package lab_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// refusing is a bridge that lets nobody send to UDP port 9.
const refusing = `
-- network.yaml --
{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: red}, spec: {default: accept, rules: [{match: {protocols: [udp], dstPorts: [9]}, action: drop}]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {filters: {ingress: rules}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24, "fd00::2/64"]}}
-- hosts --
red1 vport=red/vm1 edge=e1 mac=02:00:00:00:00:01 ip=10.0.0.1/24,fd00::1/64
red2 vport=red/vm2 edge=e1 mac=02:00:00:00:00:02 ip=10.0.0.2/24,fd00::2/64
`

// TestDropsAreCounted: what is dropped is counted for the vport whose packets they were, by reason: what the agent decided, what its entries dropped then,
// also when they have gone idle, and, without the vport, what the target can't read.
func TestDropsAreCounted(t *testing.T) {
	for _, served := range []bool{false, true} {
		t.Run(fmt.Sprintf("served=%v", served), func(t *testing.T) {
			file, err := scenario.Parse("refusing.txtar", []byte(refusing))
			if err != nil {
				t.Fatal(err)
			}
			l := start(t, lab.Config{Scenario: file, IdleTimeout: time.Second, Reachable: served})
			const each = 5
			send := func(from byte, src, dst string) {
				u := packet.UDP{SrcMAC: packet.MAC{2, 0, 0, 0, 0, from}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 3 - from}, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: 4000, DstPort: 9, Payload: []byte("x")}
				inject(t, l.Host(fmt.Sprintf("red%d", from)), slices.Repeat([][]byte{packet.AppendUDP(nil, &u)}, each)...)
			}
			send(1, "10.0.0.1", "10.0.0.2")
			send(1, "fd00::1", "fd00::2")
			send(2, "10.0.0.2", "10.0.0.1")
			inject(t, l.Host("red2"), []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0}) // its header is cut off
			want := map[lab.Drop]bool{{VPort: "red/vm1", Reason: "filtered", Packets: 2 * each}: true, {VPort: "red/vm2", Reason: "filtered", Packets: each}: true, {VPort: "red/vm2", Reason: "parser error", Packets: 1}: true}
			drops := func() map[lab.Drop]bool {
				list, err := l.Drops(t.Context(), "e1")
				if err != nil {
					t.Fatal(err)
				}
				got := map[lab.Drop]bool{}
				for _, d := range list {
					got[d] = true
				}
				return got
			}
			within(t, "drops", func() (string, bool) {
				got := drops()
				return fmt.Sprintf("%v, want %v", got, want), maps.Equal(got, want)
			})
			if served {
				return // its entries live longer
			}
			within(t, "idle flows", func() (string, bool) {
				flows, err := l.Flows(t.Context(), "e1")
				return fmt.Sprintf("%v, %v", flows, err), err == nil && len(flows) == 0
			})
			if got := drops(); !maps.Equal(got, want) {
				t.Errorf("behind the flows: %v, want %v", got, want)
			}
		})
	}
}

func inject(t *testing.T, m scenario.Machine, frames ...[]byte) {
	t.Helper()
	if err := m.InjectAll(t.Context(), slices.Values(frames)); err != nil {
		t.Fatal(err)
	}
}

// within asks until what it is told is right.
func within(t *testing.T, what string, ask func() (string, bool)) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); ; {
		told, ok := ask()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: %s", what, told)
		}
	}
}
