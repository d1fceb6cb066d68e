package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/topology"
)

// said lists steps as "action object".
func said(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, string(s.Action)+" "+s.Ref.String())
	}
	return out
}

// TestPlanAndPerform: a plan changes nothing and says what the change then does.
func TestPlanAndPerform(t *testing.T) {
	s := embeddedStore(t)
	first := apply(t, s, network)
	put := decode(t, vportYAML("vm1", "bridge/web")+"---\n"+vportYAML("vm2", "bridge/web")+"---\n"+vportYAML("vm3", "bridge/web"))
	gone := ref(topology.KindBinding, "vm1")
	want := []string{"deleted binding acme/vm1", "configured vport acme/vm1", "unchanged vport acme/vm2", "created vport acme/vm3"}

	plan, err := s.Plan(t.Context(), put, []topology.Ref{gone})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, said(plan)); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	if plan[0].After != nil || plan[0].Before == nil || plan[3].Before != nil || plan[1].Before.Status.ID == 0 {
		t.Errorf("before and after: %+v", plan)
	}
	if _, rev, err := s.Get(t.Context(), gone); err != nil || rev != first {
		t.Errorf("after the plan the binding is at revision %d, %v; want %d", rev, err, first)
	}

	rev, did, err := s.Perform(t.Context(), put, []topology.Ref{gone})
	if err != nil || rev <= first {
		t.Fatalf("revision %d, %v", rev, err)
	}
	if d := cmp.Diff(want, said(did)); d != "" {
		t.Errorf("performed (-want +got):\n%s", d)
	}
	again, did, err := s.Perform(t.Context(), put, nil)
	if err != nil || again != rev {
		t.Errorf("again: revision %d, %v; want %d", again, err, rev)
	}
	if d := cmp.Diff([]string{"unchanged vport acme/vm1", "unchanged vport acme/vm2", "unchanged vport acme/vm3"}, said(did)); d != "" {
		t.Errorf("again (-want +got):\n%s", d)
	}
}

// TestPlanRefusesWhatPerformRefuses: both validate against what is stored.
func TestPlanRefusesWhatPerformRefuses(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	for name, tc := range map[string]struct {
		put  []*topology.Object
		del  []topology.Ref
		says string
	}{
		"in use":     {nil, []topology.Ref{ref(topology.KindBridge, "web")}, "bridge acme/web: is used by vports vm1, vm2, web-up; delete them in the same command"},
		"not there":  {nil, []topology.Ref{ref(topology.KindVPort, "vm9")}, "vport acme/vm9: does not exist"},
		"no device":  {decode(t, vportYAML("vm3", "bridge/net")), nil, `test.yaml:4: vport acme/vm3: spec.device: "bridge/net" is no device`},
		"said twice": {append(decode(t, vportYAML("vm3", "bridge/web")), decode(t, vportYAML("vm3", "bridge/web"))...), nil, "is defined twice"},
	} {
		_, err1 := s.Plan(t.Context(), tc.put, tc.del)
		_, _, err2 := s.Perform(t.Context(), tc.put, tc.del)
		for _, err := range []error{err1, err2} {
			if list := (topology.Errors)(nil); !errors.As(err, &list) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v; want %q", name, err, tc.says)
			}
		}
	}
}
