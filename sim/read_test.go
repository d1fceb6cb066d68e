package sim

import (
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestNotIP: what is read of any other EtherType tells it from IPv4 and IPv6, and is the same for most of them.
func TestNotIP(t *testing.T) {
	flows := map[[2]uint16]int{}
	for et := range 1 << 16 {
		et := uint16(et)
		if et == packet.EtherTypeIPv4 || et == packet.EtherTypeIPv6 {
			continue
		}
		mask := notIP(et)
		if mask&et == mask&packet.EtherTypeIPv4 || mask&et == mask&packet.EtherTypeIPv6 {
			t.Fatalf("%#04x: %#04x does not tell it from IP", et, mask)
		}
		flows[[2]uint16{mask, mask & et}]++
	}
	if len(flows) > 24 {
		t.Errorf("%d flows for all: %v", len(flows), flows)
	}
}
