package topology_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// TestShare: who wants little gets that, the others the same each; what nobody wants is for all alike.
func TestShare(t *testing.T) {
	type wants = map[string]topology.BitRate
	for _, x := range []struct {
		told wants
		want wants // shares of 64M
	}{
		{wants{}, wants{"a": 64e6}},                                                                 // nobody uses it: the first packets go
		{wants{"b": 64e6}, wants{"a": 1e6, "b": 64e6}},                                              // a does not use it
		{wants{"a": 64e6, "b": 64e6}, wants{"a": 32e6, "b": 32e6}},                                  //
		{wants{"a": 99e6, "b": 70e6}, wants{"a": 32e6, "b": 32e6}},                                  // who asks for more than there is gets no more by that
		{wants{"a": 10e6, "b": 64e6}, wants{"a": 10e6, "b": 54e6}},                                  //
		{wants{"a": 10e6, "b": 64e6, "c": 64e6}, wants{"a": 10e6, "b": 27e6, "c": 27e6}},            //
		{wants{"a": 10e6, "b": 25e6, "c": 64e6}, wants{"a": 10e6, "b": 25e6, "c": 29e6}},            //
		{wants{"a": 10e6, "b": 30e6}, wants{"a": 22e6, "b": 42e6}},                                  // all are content
		{wants{"a": 1, "b": 1, "c": 1}, wants{"a": 21333333, "b": 21333333, "c": 21333333}},         // rounded down
		{wants{"a": 64e6, "b": 64e6, "c": 64e6}, wants{"a": 21333333, "b": 21333333, "d": 1e6}},     //
		{wants{"a": 5e6, "b": 5e6, "c": 64e6, "d": 64e6}, wants{"a": 5e6, "c": 27e6, "d": 27e6}},    //
		{wants{"a": 16e6, "b": 16e6, "c": 16e6, "d": 16e6}, wants{"a": 16e6, "c": 16e6, "d": 16e6}}, //
	} {
		for edge, want := range x.want {
			if got := topology.BitRate(64e6).Share(x.told, edge); got != want {
				t.Errorf("%v: %s has %d, want %d", x.told, edge, got, want)
			}
		}
	}
}

// TestSharesAreFair: whatever edges want, they have no more than the rate together and nothing is left unused, and nobody who is not content has less than another.
func TestSharesAreFair(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		rate := topology.BitRate(64e3 + r.Int64N(1e10))
		told := map[string]topology.BitRate{}
		for i := range 1 + r.IntN(9) {
			told[fmt.Sprint(i)] = topology.BitRate(1 + r.Int64N(int64(rate)*3/2))
		}
		var sum, most topology.BitRate
		for edge := range maps.Keys(told) {
			s := rate.Share(told, edge)
			sum += s
			most = max(most, s)
		}
		if sum > rate || sum+topology.BitRate(len(told)) < rate {
			t.Fatalf("%v: %d of %d", told, sum, rate)
		}
		for edge, wants := range told {
			if s := rate.Share(told, edge); s < wants && s+1 < most {
				t.Fatalf("%v: %s has %d of %d, and another %d", told, edge, s, rate, most)
			}
		}
	}
}

// TestIfAll: what one would get if he wanted all is what he gets when he does.
func TestIfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		rate := topology.BitRate(1 + r.Int64N(1000))
		wants := make([]topology.BitRate, 1+r.IntN(6))
		for i := range wants {
			wants[i] = topology.BitRate(1 + r.Int64N(int64(rate)*3/2))
		}
		d := rate.Divide(wants)
		for i, w := range wants {
			all := slices.Clone(wants)
			all[i] = rate
			e := rate.Divide(all)
			if got, want := d.IfAll(w), e.Of(rate); got != want {
				t.Fatalf("%d of %v: who wants %d would get %d, want %d", rate, wants, w, got, want)
			}
		}
	}
}
