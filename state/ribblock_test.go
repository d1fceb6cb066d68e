package state

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// randomRIB returns routes to distinct prefixes of a family by a number of ways, sorted.
func randomRIB(rng *rand.Rand, v6 bool, n, ways int) []RIBRoute {
	return drawRIB(rng, v6, n, ways, false)
}

// randomSets returns routes of a family by a number of ways, sorted, some of them to one destination.
func randomSets(rng *rand.Rand, v6 bool, n, ways int) []RIBRoute {
	return drawRIB(rng, v6, n, ways, true)
}

func drawRIB(rng *rand.Rand, v6 bool, n, ways int, several bool) []RIBRoute {
	all := map[netip.Prefix]RIBRoute{}
	var others []RIBRoute
	for range n {
		var raw [16]byte
		for i := range raw {
			raw[i] = byte(rng.IntN(4)) << rng.IntN(7)
		}
		a, most := netip.AddrFrom4([4]byte(raw[:4])), 32
		via := netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + rng.IntN(ways))})
		if v6 {
			raw[0], most = 0x20, 128
			a, via = netip.AddrFrom16(raw), netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(1 + rng.IntN(ways))})
		}
		p, _ := a.Prefix(rng.IntN(most + 1))
		if rng.IntN(8) == 0 { // another way, or another metric of the one
			others = append(others, RIBRoute{Dst: p, Via: via.Next().Next(), Metric: uint64(rng.IntN(3))})
		}
		all[p] = RIBRoute{Dst: p, Via: via, Metric: rng.Uint64() >> (8 * rng.IntN(9) % 64), Stale: rng.IntN(8) == 0}
	}
	routes := make([]RIBRoute, 0, len(all))
	for _, r := range all {
		routes = append(routes, r)
	}
	if !several {
		others = nil
	}
	routes = append(routes, others...)
	slices.SortStableFunc(routes, compareRIB)
	return slices.CompactFunc(routes, func(a, b RIBRoute) bool { return a.Dst == b.Dst && a.Via == b.Via })
}

func TestRIBBlock(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		want := randomSets(rng, i%2 == 1, 1+i, 1+i%40)
		got, err := decodeRIB(nil, appendRIB(nil, want))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("round %d: %v\n%v\n%v", i, err, got, want)
		}
	}
	// What tables are full of takes a few bytes each.
	var common []RIBRoute
	for i := range 256 {
		common = append(common, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i), 0, 0}), 24), Via: addr("10.0.0.1"), Metric: 3})
	}
	if n := len(appendRIB(nil, common)); n > 5*len(common) {
		t.Errorf("%d bytes for %d routes", n, len(common))
	}
}

// FuzzRIBBlock: what is accepted is what would be written, and nothing else breaks the reader.
func FuzzRIBBlock(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 8 {
		f.Add(appendRIB(nil, randomSets(rng, i%2 == 1, 1<<i, 1+i*7)))
	}
	f.Add(appendRIB(nil, nil))
	f.Add([]byte{ribVersion, 6, 0, 0})
	f.Add([]byte{2, 4, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		routes, err := decodeRIB(nil, b)
		if err != nil {
			return
		}
		for i := range routes {
			if r := &routes[i]; r.Dst != r.Dst.Masked() || r.Via.Is4() != r.Dst.Addr().Is4() {
				t.Errorf("accepted %+v", r)
			}
		}
		if again := appendRIB(nil, routes); !bytes.Equal(again, b) {
			t.Errorf("% x\nis written as\n% x", b, again)
		}
	})
}
