package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFIFO: a queue holds what a plain list would, in order, and its memory does not grow with what has passed.
func TestFIFO(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q fifo[int]
	var want []int
	for i := range 100_000 {
		switch n := len(want); {
		case n < 20 && r.IntN(3) > 0 || n == 0:
			q.push(i)
			want = append(want, i)
		case r.IntN(10) == 0:
			x := want[r.IntN(n)]
			q.remove(x)
			want = slices.DeleteFunc(want, func(y int) bool { return y == x })
		case r.IntN(10) == 0:
			if x := q.last(); x != want[n-1] {
				t.Fatalf("the last is %d, want %d", x, want[n-1])
			}
			want = want[:n-1]
		default:
			if x := q.pop(); x != want[0] {
				t.Fatalf("the first is %d, want %d", x, want[0])
			}
			want = want[1:]
		}
		if q.len() != len(want) || !slices.Equal(q.all(), want) {
			t.Fatalf("%v, want %v", q.all(), want)
		}
	}
	if cap(q.items) > 100 {
		t.Errorf("there is room for %d", cap(q.items))
	}
}
