package state

import (
	"testing"

	"github.com/weft-sdn/weft/conntrack"
)

// TestFindEither: many connections are found in one call, by the key of either direction, and those that are not there are not.
func TestFindEither(t *testing.T) {
	s := embeddedStore(t)
	const n = 2*maxFound + 3
	var keys []conntrack.Key
	want := map[int]conntrack.Conn{}
	for i := range uint16(n) {
		c := conntrack.Conn{Forward: testConn(1000+i, i%2 == 1).Forward, RetZone: 9}
		if i%3 != 0 {
			if _, created, err := s.CreateConn(t.Context(), c, nil, nil, nil); !created || err != nil {
				t.Fatal(created, err)
			}
			want[len(keys)], want[len(keys)+1] = c, c
		}
		keys = append(keys, c.Forward, c.Return())
	}
	if err := s.FindEither(t.Context(), keys, func(i int, c StoredConn) {
		if w, there := want[i]; !there || c.Conn != w || c.Revision == 0 {
			t.Errorf("key %d: found %+v, want %v %+v", i, c, there, w)
		}
		delete(want, i)
	}); err != nil || len(want) > 0 {
		t.Errorf("%v; not found: %d", err, len(want))
	}
}
