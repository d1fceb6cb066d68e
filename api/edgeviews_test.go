package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/agent"
)

// TestRoutePage: pages of routes of several sessions are, one behind the other, all of them, and none is asked for more than it needs.
func TestRoutePage(t *testing.T) {
	sessions := [][]agent.SessionRoute{3: nil}
	var all []string
	for i, n := range []int{3, 0, 1, 4} {
		for k := range n {
			name := fmt.Sprintf("%d/%d", i, k)
			all = append(all, name)
			sessions[i] = append(sessions[i], agent.SessionRoute{Session: name})
		}
	}
	for limit := 1; limit <= len(all)+1; limit++ {
		var got []string
		for from := 0; from < len(all); from += limit {
			p, asked := routePage{skip: from, limit: limit}, 0
			for _, s := range sessions {
				for i := 0; i < len(s) && !p.full(); i++ {
					asked++
					p.take(s[i])
				}
			}
			if want := min(from+limit+1, len(all)); asked != want || len(p.rows) > limit+1 {
				t.Errorf("%d of each page, from %d: %d routes read, %d kept; want %d read", limit, from, asked, len(p.rows), want)
			}
			for _, r := range p.rows[:min(limit, len(p.rows))] {
				got = append(got, r.Session)
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("%d of each page: %v, want %v", limit, got, all)
		}
	}
}
