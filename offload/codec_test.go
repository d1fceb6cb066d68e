package offload_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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

// FuzzParseStored: whatever is read is written as it was, and a frame can be made for it.
func FuzzParseStored(f *testing.F) {
	r := random{rand.New(rand.NewPCG(13, 14))}
	for range 20 {
		var fr packet.Frame
		if packet.Parse(r.frame(r.mac(), r.mac()), &fr) == nil {
			f.Add(offload.AppendStored(nil, []offload.Stored{{Megaflow: r.megaflow(&fr, 7)}}))
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
