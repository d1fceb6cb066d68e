package vpn

import (
	"testing"

	"golang.zx2c4.com/wireguard/conn"
)

// told is a transport by which packets come.
type told struct {
	conn.Bind
	packets [][]byte
}

func (b *told) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, _ []conn.Endpoint) (int, error) {
		for i, p := range b.packets {
			sizes[i] = copy(bufs[i], p)
		}
		return len(b.packets), nil
	}}, 7, nil
}

// TestHandshakesAreNoticed: messages of handshakes are told of, once for those that come together, and nothing else is.
func TestHandshakesAreNoticed(t *testing.T) {
	message := func(kind byte, length int) []byte {
		p := make([]byte, length)
		p[0] = kind
		return p
	}
	for name, tc := range map[string]struct {
		packets [][]byte
		want    bool
	}{
		"initiation":           {[][]byte{message(1, 148)}, true},
		"response":             {[][]byte{message(2, 92)}, true},
		"several, behind data": {[][]byte{message(4, 148), message(1, 148), message(1, 148)}, true},
		"data":                 {[][]byte{message(4, 148), message(4, 92)}, false},
		"cookie":               {[][]byte{message(3, 64)}, false},
		"of another length":    {[][]byte{message(1, 147), message(2, 148), {}}, false},
	} {
		n := &noticing{&told{packets: tc.packets}, make(chan struct{}, 1)}
		receive, port, err := n.Open(7)
		if err != nil || port != 7 || len(receive) != 1 {
			t.Fatal(receive, port, err)
		}
		bufs, sizes := make([][]byte, 8), make([]int, 8)
		for i := range bufs {
			bufs[i] = make([]byte, 200)
		}
		for range 2 {
			if got, err := receive[0](bufs, sizes, make([]conn.Endpoint, 8)); got != len(tc.packets) || err != nil {
				t.Errorf("%s: %d packets, %v", name, got, err)
			}
		}
		if got := len(n.greeted) == 1; got != tc.want {
			t.Errorf("%s: told %v, want %v", name, got, tc.want)
		}
	}
}
