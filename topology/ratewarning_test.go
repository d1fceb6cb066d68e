package topology

import (
	"strings"
	"testing"
)

// TestRateWarnings: of more than four links that packets may pass one after the other, over devices between them too, all are warned of but the four with the least rates; nothing else is, and only of what is put.
func TestRateWarnings(t *testing.T) {
	chain := func(rates ...string) string { // d0 - d1 - d2 …, by links of these rates, given at the near end
		var b strings.Builder
		name := func(i int) string { return string(rune('a' + i)) }
		for i := range len(rates) + 1 {
			b.WriteString("{apiVersion: weft/v1, kind: Bridge, metadata: {name: d" + name(i) + ", tenant: acme}, spec: {}}\n---\n")
		}
		for i, rate := range rates {
			if rate != "" {
				rate = ", rate: " + rate
			}
			b.WriteString("{apiVersion: weft/v1, kind: VPort, metadata: {name: near-" + name(i) + ", tenant: acme}, spec: {device: bridge/d" + name(i) + ", peer: far-" + name(i) + rate + "}}\n---\n")
			b.WriteString("{apiVersion: weft/v1, kind: VPort, metadata: {name: far-" + name(i) + ", tenant: acme}, spec: {device: bridge/d" + name(i+1) + ", peer: near-" + name(i) + "}}\n---\n")
		}
		return b.String() + "{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/da, rate: 1M}}\n"
	}
	for _, x := range []struct {
		rates []string
		want  string
	}{
		{[]string{"50M"}, ""},
		{[]string{"50M", ""}, ""},
		{[]string{"50M", "40M", "30M", "20M"}, ""},
		{[]string{"50M", "10M", "", "10M", "10M", "20M"}, `near-a: spec.rate: "50M" is not taken from by packets that also pass 4 links with no more, of which there are 4 that may be on one way`},
		{[]string{"50M", "50M", "50M", "50M", "50M"}, "near-a near-b near-c near-d near-e"},
		{[]string{"", "10M", "20M", "30M", "40M", "60M", "50M"}, "near-f near-g"},
	} {
		objects, err := Decode("net.yaml", []byte(chain(x.rates...)))
		if err != nil {
			t.Fatal(err)
		}
		set, err := new(Set).Apply(objects, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := set.RateWarnings(set.All())
		if len(got) != strings.Count(x.want, "near-") {
			t.Errorf("%v: %v, want %s", x.rates, got, x.want)
			continue
		}
		for i, w := range got {
			if name := strings.Fields(x.want)[min(i, len(got)-1)]; !strings.Contains(w.Error(), strings.TrimSuffix(name, ":")+":") || len(got) == 1 && !strings.Contains(w.Error(), x.want) {
				t.Errorf("%v: %v, want %s", x.rates, w, x.want)
			}
		}
		for _, o := range set.All() {
			if o.Metadata.Name == "vm" && len(set.RateWarnings([]*Object{o})) != 0 {
				t.Error("a warning of a host's rate")
			}
		}
	}
}
