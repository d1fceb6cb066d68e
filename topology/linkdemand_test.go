package topology

import (
	"maps"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestLinkDemands: what edges want of a link is a change of that alone, once, and is forgotten with its device; an older snapshot stays as it was.
func TestLinkDemands(t *testing.T) {
	s, err := Load("net.yaml", []byte(linkYAML("rate: 50M, ", "")))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := s.ID(Ref{KindVPort, "acme", "b"})
	port := flow.VPortID(n)
	two, deps := s.With(Changes{Demands: []LinkDemand{{port, "e1", 3e6}, {port, "e2", 5e6}}})
	if got := two.LinkDemands(port); !maps.Equal(got, map[string]BitRate{"e1": 3e6, "e2": 5e6}) || len(s.LinkDemands(port)) != 0 || !slices.Equal(deps, []Dep{DemandDep(port)}) {
		t.Errorf("%v, before %v, changed %v", got, s.LinkDemands(port), deps)
	}
	if _, deps := two.With(Changes{Demands: []LinkDemand{{port, "e2", 5e6}}}); len(deps) != 0 {
		t.Errorf("told again: changed %v", deps)
	}
	one, _ := two.With(Changes{Demands: []LinkDemand{{port, "e1", 0}}})
	if got := one.LinkDemands(port); !maps.Equal(got, map[string]BitRate{"e2": 5e6}) || len(two.LinkDemands(port)) != 2 {
		t.Errorf("%v, before %v", got, two.LinkDemands(port))
	}
	if gone, _ := one.With(Changes{Forget: []DeviceID{s.VPort(port).Device}}); len(gone.LinkDemands(port)) != 0 {
		t.Error("they outlive the device")
	}
}
