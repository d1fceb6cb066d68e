package pipeline

import (
	"runtime"
	"testing"
)

// TestEntryMemory: an exact entry of 122 bits with counters and timeout costs
// at most 400 bytes.
func TestEntryMemory(t *testing.T) {
	const n = 50000
	h := run(t, overlay(), Options{})
	tbl := h.tbl(t, "flow")
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	for i := range n {
		if err := tbl.Insert(Entry{Match: exact(be(2, 9), be(4, 1), be(4, uint64(i)), be(1, 17), be(2, 4000), be(2, 53), be(1, 2)),
			Action: "forward", Params: [][]byte{be(3, 500), be(2, 5), be(1, 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	per := (heap() - before) / n
	t.Logf("%d bytes per entry", per)
	if per > 400 {
		t.Errorf("%d bytes per entry, want at most 400", per)
	}
	runtime.KeepAlive(h)
}
