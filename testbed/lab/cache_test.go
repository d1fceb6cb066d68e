package lab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// picky is a bridge whose filter tells UDP source ports apart: each is a flow of its own.
func picky(t *testing.T, ports int) *scenario.Scenario {
	t.Helper()
	odd := make([]string, ports)
	for i := range odd {
		odd[i] = fmt.Sprint(pickyPort(i))
	}
	text := strings.Replace(refusing, "{match: {protocols: [udp], dstPorts: [9]}, action: drop}", "{match: {protocols: [udp], srcPorts: ["+strings.Join(odd, ", ")+"]}, action: accept}", 1)
	file, err := scenario.Parse("picky.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func pickyPort(i int) uint16 { return uint16(1001 + 2*i) }

// TestSmallTable (E5): an edge that may have few flow entries evicts those that were matched longest ago, and no more than it must; a flow with traffic keeps its entry, what has none is
// forwarded all the same, and a flood of one host leaves the other its entries.
func TestSmallTable(t *testing.T) {
	const flows, limit, busy = 300, 64, 8
	l := start(t, lab.Config{Scenario: picky(t, flows), MaxFlows: limit, VPortShare: 75})
	udp := func(from byte, i int) []byte {
		src, dst := netip.AddrFrom4([4]byte{10, 0, 0, from}), netip.AddrFrom4([4]byte{10, 0, 0, 3 - from})
		return packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 0, 0, 0, 0, from}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 3 - from}, Src: src, Dst: dst, SrcPort: pickyPort(i), DstPort: 9, Payload: []byte("x")})
	}
	counter := func(of, name string) uint64 {
		t.Helper()
		n, err := l.Counter(t.Context(), of, name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	send := func(from byte, flows ...int) {
		t.Helper()
		to := l.Host(fmt.Sprintf("red%d", 3-from))
		want := to.Counters().UDPUnknown + uint64(len(flows))
		var frames [][]byte
		for _, i := range flows {
			frames = append(frames, udp(from, i))
		}
		inject(t, l.Host(fmt.Sprintf("red%d", from)), frames...)
		within(t, "packets", func() (string, bool) {
			n := to.Counters().UDPUnknown
			return fmt.Sprintf("%d packets of flows %v of host %d did not arrive", want-n, flows, from), n == want
		})
	}
	send(2, 0, 1, 2, 3, 4, 5, 6, 7) // those of the neighbour
	within(t, "entries", func() (string, bool) {
		n := counter("e1", "installed")
		return fmt.Sprintf("%d entries of the neighbour, want %d", n, busy), n >= busy
	})
	for i := busy; i < flows; i++ {
		send(1, i, i, 0, 1, 2, 3)
	}
	if n := counter("e1", "flows"); n > limit {
		t.Errorf("%d flows, and the edge may have %d", n, limit)
	}
	evicted := counter("e1", "evicted_share") + counter("e1", "evicted_limit")
	if evicted < flows-2*limit {
		t.Errorf("%d flows evicted of %d", evicted, flows)
	}
	list, err := l.Flows(t.Context(), "e1")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(list)
	for i := range busy { // the neighbour's, and half of them busy ones of the other's, too
		if n := strings.Count(text, fmt.Sprintf("sport=%d", pickyPort(i))); n < 1 {
			t.Errorf("flow %d has no entry any more: %s", i, text)
		}
	}
}
