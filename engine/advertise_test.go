package engine

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// TestPause: hosts hear three advertisements within the lifetime of a router, but no more than one in three seconds (RFC 4861 section 6.2.1).
func TestPause(t *testing.T) {
	for lifetime, want := range map[uint16][2]time.Duration{
		0: {200 * time.Second, 600 * time.Second}, 9000: {200 * time.Second, 600 * time.Second}, 90: {10 * time.Second, 30 * time.Second}, 12: {3 * time.Second, 4 * time.Second}, 1: {3 * time.Second, 3 * time.Second},
	} {
		p := topology.VPort{Advertise: topology.AdvertiseSpec{Mode: "slaac", Lifetime: lifetime}}
		for range 1000 {
			if got := pause(&p); got < want[0] || got > want[1] {
				t.Fatalf("lifetime %d: %v, want %v", lifetime, got, want)
			}
		}
	}
}
