package rpki

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is what RFC 6811 section 2 says, word by word, of the VRPs that any cache has told.
func naive(caches []map[VRP]bool, p netip.Prefix, from uint32) State {
	s := NotFound
	for _, told := range caches {
		for v := range told {
			if v.Prefix.Bits() > p.Bits() || !v.Prefix.Contains(p.Addr()) {
				continue
			}
			if v.AS == from && from != NoOrigin && p.Bits() <= int(v.MaxLen) {
				return Valid
			}
			s = Invalid
		}
	}
	return s
}

// drawVRP draws from few, so that they meet.
func drawVRP(t *rapid.T) VRP {
	p := drawPrefix(t)
	return VRP{p, uint8(rapid.IntRange(p.Bits(), p.Addr().BitLen()).Draw(t, "most")), uint32(rapid.IntRange(0, 3).Draw(t, "as"))}
}

func drawPrefix(t *rapid.T) netip.Prefix {
	n := rapid.IntRange(0, 32).Draw(t, "bits")
	a := netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b") & 3, rapid.Byte().Draw(t, "c") & 3, 0})
	if rapid.Bool().Draw(t, "v6") {
		b := a.As4()
		a = netip.AddrFrom16([16]byte{0x20, b[0], b[1], b[2]})
	}
	return netip.PrefixFrom(a, n).Masked()
}

// TestTable: whatever caches tell, anew or as changes, what a table says of routes is what RFC 6811 says of all of it; what it says changed does, and nothing else.
func TestTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var table table
		caches := []map[VRP]bool{{}, {}, {}}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			k := rapid.IntRange(0, len(caches)-1).Draw(rt, "cache")
			before := map[VRP]bool{}
			for _, told := range caches {
				for v := range told {
					before[v] = true
				}
			}
			some := rapid.SliceOfN(rapid.Custom(drawVRP), 0, 8).Draw(rt, "vrps")
			slices.SortFunc(some, VRP.compare)
			some = slices.Compact(some)
			var diff *changes
			if rapid.Bool().Draw(rt, "anew") {
				diff = table.replace(k, some)
				clear(caches[k])
				for _, v := range some {
					caches[k][v] = true
				}
			} else {
				var announced, withdrawn []VRP
				for _, v := range some {
					if caches[k][v] {
						withdrawn = append(withdrawn, v)
						delete(caches[k], v)
					} else {
						announced = append(announced, v)
						caches[k][v] = true
					}
				}
				var err error
				if diff, err = table.change(k, announced, withdrawn); err != nil {
					rt.Fatal(err)
				}
			}
			changed := map[netip.Prefix]bool{}
			after := map[VRP]bool{}
			for _, told := range caches {
				for v := range told {
					if after[v] = true; !before[v] {
						changed[v.Prefix] = true
					}
				}
			}
			for v := range before {
				if !after[v] {
					changed[v.Prefix] = true
				}
			}
			if diff.Size() != len(changed) {
				rt.Fatalf("%d prefixes changed, want %v", diff.Size(), changed)
			}
			for p := range changed {
				if !diff.Get(p) {
					rt.Fatalf("%s is not told to have changed", p)
				}
			}
			for i, told := range caches {
				if v4, v6 := table.of(i); v4+v6 != len(told) {
					rt.Fatalf("cache %d has %d and %d VRPs, want %d", i, v4, v6, len(told))
				}
			}
			for range 16 {
				p, from := drawPrefix(rt), uint32(rapid.IntRange(0, 3).Draw(rt, "from"))
				got, why := table.Validate(p, from)
				if want := naive(caches, p, from); got != want {
					rt.Fatalf("%s of AS %d is %s, want %s", p, from, got, want)
				}
				if covers := why.Prefix.IsValid() && why.Prefix.Bits() <= p.Bits() && why.Prefix.Contains(p.Addr()); covers != (got == Invalid) || covers && !after[why] {
					rt.Fatalf("%s of AS %d is %s for %v", p, from, got, why)
				}
			}
		}
	})
}

// TestTableRefuses: an update that does not fit what was told before changes nothing, and says which error of the protocol that is.
func TestTableRefuses(t *testing.T) {
	var table table
	a, b := vrp("192.0.2.0/24", 24, 1), vrp("2001:db8::/32", 48, 1)
	table.replace(0, []VRP{a})
	for _, x := range []struct {
		announced, withdrawn []VRP
		code                 uint16
	}{{nil, []VRP{b}, errUnknownWithdrawal}, {[]VRP{b, a}, nil, errDuplicate}, {nil, []VRP{a, a}, errUnknownWithdrawal}, {[]VRP{b, b}, nil, errDuplicate}} {
		_, err := table.change(0, x.announced, x.withdrawn)
		var wrong *protocolError
		if !errors.As(err, &wrong) || wrong.code != x.code {
			t.Errorf("%+v: %v", x, err)
		}
	}
	if v4, v6 := table.of(0); v4 != 1 || v6 != 0 {
		t.Errorf("%d and %d VRPs", v4, v6)
	}
	if _, err := table.change(1, []VRP{a}, nil); err != nil {
		t.Errorf("another cache tells the same: %v", err)
	}
	if diff, err := table.change(0, nil, []VRP{a}); err != nil || diff.Size() != 0 {
		t.Errorf("it is still told by another: %v, %v", diff, err)
	}
}

// BenchmarkValidate: a table of as many VRPs as there are in the Internet.
func BenchmarkValidate(b *testing.B) {
	var all []VRP
	random := rand.New(rand.NewPCG(1, 2))
	for range 600_000 {
		a := netip.AddrFrom4([4]byte{byte(random.IntN(223) + 1), byte(random.IntN(256)), byte(random.IntN(256)), 0})
		p := netip.PrefixFrom(a, 16+random.IntN(9)).Masked()
		all = append(all, VRP{p, 24, random.Uint32N(70000) + 1})
	}
	slices.SortFunc(all, VRP.compare)
	all = slices.Compact(all)
	var t table
	t.replace(0, all)
	b.Run(fmt.Sprintf("%dkVRPs", len(all)/1000), func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			v := &all[i%len(all)]
			if s, _ := t.Validate(v.Prefix, v.AS); s != Valid {
				b.Fatal(s)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			t.replace(0, all)
		}
	})
}

func vrp(prefix string, most uint8, as uint32) VRP {
	return VRP{netip.MustParsePrefix(prefix), most, as}
}
