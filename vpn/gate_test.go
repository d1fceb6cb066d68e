package vpn

import (
	"encoding/binary"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
)

// come is a transport by which packets come.
type come struct {
	conn.Bind
	packets [][]byte
}

func (b *come) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, _ []conn.Endpoint) (int, error) {
		for i, p := range b.packets {
			sizes[i] = copy(bufs[i], p)
		}
		return len(b.packets), nil
	}}, 7, nil
}

func (b *come) Send([][]byte, conn.Endpoint) error { return nil }

// message is one of WireGuard's, by its look.
func message(kind byte, length int, index uint32, at int) []byte {
	p := make([]byte, length)
	p[0] = kind
	binary.LittleEndian.PutUint32(p[at:], index)
	return p
}

// TestGateJudges: what is no message, or of a session that this end did not begin, gets no further, and is counted once; what is for a session gets through; messages of handshakes are told of, once for those that come together.
func TestGateJudges(t *testing.T) {
	const mine, other = 0x01020304, 0x01020305
	initiation, response := message(1, 148, mine, 4), message(2, 92, mine, 8)
	for name, tc := range map[string]struct {
		packets   [][]byte
		passed    int
		malformed uint64
		strange   uint64
		told      bool
	}{
		"an initiation":           {[][]byte{message(1, 148, other, 4)}, 1, 0, 0, true},
		"a response":              {[][]byte{response}, 1, 0, 0, true},
		"a cookie":                {[][]byte{message(3, 64, mine, 4)}, 1, 0, 0, true},
		"several, behind data":    {[][]byte{message(4, 148, mine, 4), initiation, initiation}, 3, 0, 0, true},
		"data":                    {[][]byte{message(4, 148, mine, 4), message(4, 32, mine, 4)}, 2, 0, 0, false},
		"of no session":           {[][]byte{message(4, 148, other, 4), message(2, 92, other, 8), message(3, 64, other, 4)}, 0, 0, 3, false},
		"of another length":       {[][]byte{message(1, 147, mine, 4), message(2, 148, mine, 8), message(3, 65, mine, 4), message(4, 31, mine, 4), {}, {4}}, 0, 6, 0, false},
		"of another type":         {[][]byte{message(5, 148, mine, 4), message(0, 92, mine, 4), make([]byte, 1400)}, 0, 3, 0, false},
		"with the spare bits set": {[][]byte{{4, 0, 0, 1, 4, 3, 2, 1, 31: 0}}, 0, 1, 0, false},
	} {
		n := new(counts)
		g := &gate{Bind: &come{packets: tc.packets}, counts: n, greeted: make(chan struct{}, 1)}
		if err := g.Send([][]byte{initiation, message(4, 32, other, 4)}, nil); err != nil {
			t.Fatal(err)
		}
		receive, port, err := g.Open(7)
		if err != nil || port != 7 || len(receive) != 1 {
			t.Fatal(receive, port, err)
		}
		bufs, sizes := make([][]byte, 8), make([]int, 8)
		for i := range bufs {
			bufs[i] = make([]byte, 2000)
		}
		const times = 2
		for range times {
			got, err := receive[0](bufs, sizes, make([]conn.Endpoint, 8))
			passed := 0
			for i := range got {
				if sizes[i] > 0 {
					passed++
				}
			}
			if got != len(tc.packets) || passed != tc.passed || err != nil {
				t.Errorf("%s: %d packets, %d passed, %v", name, got, passed, err)
			}
		}
		if d := n.read(); d != (Drops{Malformed: times * tc.malformed, UnknownSession: times * tc.strange}) {
			t.Errorf("%s: %+v", name, d)
		}
		if got := len(g.greeted) == 1; got != tc.told {
			t.Errorf("%s: told %v, want %v", name, got, tc.told)
		}
	}
}
