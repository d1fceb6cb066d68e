package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEdgeMap compares it with a map, and what an edit made it from with what that was before.
func TestEdgeMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want, m := map[string]int{}, EdgeMap[int]{}
	for step := range 300 {
		before, then := m, maps.Clone(want)
		edit := edgeEdit[int]{EdgeMap: m}
		for range r.IntN(4) {
			id := fmt.Sprintf("e%d", r.IntN(100))
			if r.IntN(3) == 0 {
				edit.remove(id)
				delete(want, id)
			} else {
				edit.set(id, step)
				want[id] = step
			}
		}
		m = edit.EdgeMap
		for _, c := range []struct {
			got  EdgeMap[int]
			want map[string]int
		}{{m, want}, {before, then}} {
			if d := cmp.Diff(c.want, maps.Collect(c.got.All())); d != "" || c.got.Len() != len(c.want) || len(c.got.IDs()) != len(c.want) {
				t.Fatalf("step %d: %d of them: %s", step, c.got.Len(), d)
			}
			for id := range c.got.All() {
				if v, ok := c.got.Get(id); !ok || v != c.want[id] {
					t.Fatalf("step %d: %s is %d", step, id, v)
				}
			}
			if c.got.Has("f") || c.got.Of("f") != 0 {
				t.Fatalf("step %d: there is an edge that was never set", step)
			}
		}
	}
}
