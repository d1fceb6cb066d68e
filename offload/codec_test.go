package offload_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
)

// TestMegaflowsAreStored: what is stored is read back; what another version wrote, or what is cut off, is refused.
func TestMegaflowsAreStored(t *testing.T) {
	r := random{rand.New(rand.NewPCG(11, 12))}
	for range 300 {
		var all []offload.Stored
		for len(all) < 1+r.IntN(5) {
			var f packet.Frame
			if packet.Parse(r.frame(r.mac(), r.mac()), &f) != nil {
				continue
			}
			m := r.megaflow(&f, 7)
			m.Idle = time.Duration(r.IntN(1e6)) * time.Millisecond
			m.Links = r.links()
			all = append(all, offload.Stored{Megaflow: m, Lane: offload.Lane(r.IntN(5))})
		}
		b := offload.AppendStored(nil, all)
		got, err := offload.ParseStored(b)
		if err != nil || !slices.Equal(got, all) {
			t.Fatalf("%+v, %v, want %+v", got, err, all)
		}
		if _, err := offload.ParseStored(append([]byte{b[0] + 1}, b[1:]...)); err == nil {
			t.Fatal("another version is read")
		}
		if got, err := offload.ParseStored(b[:len(b)-1]); err == nil {
			t.Fatalf("what is cut off gives %+v", got)
		}
	}
}

// links are some that have a rate, or none.
func (r random) links() (s flow.LinkSet) {
	for range r.IntN(flow.MaxLinks + 1) {
		s.Add(flow.VPortID(1 + r.IntN(flow.MaxID)))
	}
	return s
}

// TestStoredLinks: one link is stored as it was when there was no more than one; several that are not in order, or too many, are refused.
func TestStoredLinks(t *testing.T) {
	m := offload.Stored{Megaflow: offload.Megaflow{Key: flow.Key{Ingress: 7, EtherType: 0x88b5}, Mask: flow.Mask{Ingress: flow.MaxID, EtherType: 0xffff}, Act: offload.Forward, Dest: 9}}
	m.Links = flow.LinkSetOf(300)
	one := offload.AppendStored(nil, []offload.Stored{m})
	if !bytes.HasSuffix(one, []byte{0, 0, 1, 44}) {
		t.Errorf("one link is stored as % x", one[len(one)-4:])
	}
	stem := one[:len(one)-4]
	for _, x := range []struct {
		links []byte
		want  flow.LinkSet
		ok    bool
	}{
		{[]byte{0, 0, 1, 44}, flow.LinkSetOf(300), true},
		{[]byte{0x80, 0, 1, 44, 0, 0, 1, 45}, flow.LinkSetOf(300, 301), true},
		{[]byte{0x80, 0, 1, 44, 0, 0, 1, 44}, flow.LinkSet{}, false},
		{[]byte{0x80, 0, 1, 45, 0, 0, 1, 44}, flow.LinkSet{}, false},
		{[]byte{0x80, 0, 0, 0, 0, 0, 1, 44}, flow.LinkSet{}, false},
		{[]byte{0x80, 0, 0, 1}, flow.LinkSet{}, false},
		{[]byte{1, 0, 0, 1}, flow.LinkSet{}, false},
		{[]byte{0x80, 0, 0, 1, 0x80, 0, 0, 2, 0x80, 0, 0, 3, 0, 0, 0, 4}, flow.LinkSetOf(1, 2, 3, 4), true},
		{[]byte{0x80, 0, 0, 1, 0x80, 0, 0, 2, 0x80, 0, 0, 3, 0x80, 0, 0, 4, 0, 0, 0, 5}, flow.LinkSet{}, false},
	} {
		got, err := offload.ParseStored(append(bytes.Clone(stem), x.links...))
		if (err == nil) != x.ok || x.ok && (len(got) != 1 || got[0].Links != x.want) {
			t.Errorf("% x: %+v, %v", x.links, got, err)
		}
	}
}

// FuzzParseStored: whatever is read is written as it was, and a frame can be made for it.
func FuzzParseStored(f *testing.F) {
	r := random{rand.New(rand.NewPCG(13, 14))}
	for range 20 {
		var fr packet.Frame
		if packet.Parse(r.frame(r.mac(), r.mac()), &fr) == nil {
			m := r.megaflow(&fr, 7)
			m.Links = r.links()
			f.Add(offload.AppendStored(nil, []offload.Stored{{Megaflow: m}}))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := offload.ParseStored(b)
		for i := range all {
			all[i].Key.AppendFrame(nil)
		}
		if err == nil && !bytes.Equal(offload.AppendStored(nil, all), b) {
			t.Fatalf("% x is %+v, and that % x", b, all, offload.AppendStored(nil, all))
		}
	})
}
