package flow

import "testing"

// operations are those on packet paths; none may allocate.
func operations(t testing.TB) map[string]func() {
	m := map[string]func(){}
	for family, in := range map[string][]byte{"v4": udp(a4, b4), "v6": udp(a6, b6)} {
		f := frame(t, in)
		k := KeyOf(f, 7)
		mask := ExactMask(k.EtherType)
		match := MatchOf(k, mask)
		r := Rewrite{SetMACs: true, SrcMAC: macR, DstMAC: macB, TTLDec: 1}
		nat := Rewrite{Translate: true, Src: k.Dst, Dst: k.Src, SrcPort: 7, DstPort: 8}
		g := Guards{MinTTL: 1, MaxLen: 1500}
		var sink Key
		var n int
		m["KeyOf/"+family] = func() { sink = KeyOf(f, 7) }
		m["And/"+family] = func() { sink = k.And(mask) }
		m["Contains/"+family] = func() { _ = match.Contains(sink) }
		m["Hash/"+family] = func() { n += int(Hash(f)) }
		m["Apply/"+family] = func() { r.Apply(f.Data, f) }
		m["Translate/"+family] = func() { nat.Apply(f.Data, f) }
		m["Check/"+family] = func() { n += int(g.Check(f)) }
	}
	return m
}

func TestNoAllocations(t *testing.T) {
	for name, f := range operations(t) {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkFlow(b *testing.B) {
	for name, f := range operations(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
