package examples_test

import (
	"testing"

	"github.com/weft-sdn/weft/examples"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// TestDemo: the demo is a valid scenario of a valid network, with at least eight legs that are each for IPv4 and IPv6.
func TestDemo(t *testing.T) {
	s, err := scenario.Parse(examples.DemoFile, examples.Demo())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Load(scenario.NetworkFile, s.Network); err != nil {
		t.Fatal(err)
	}
	both := 0
	for _, leg := range s.Legs {
		if leg.Name != "" && leg.Family == scenario.Both {
			both++
		}
	}
	if both < 8 {
		t.Errorf("%d legs for both families, want at least 8", both)
	}
}
