package packet

import "testing"

// TestSegment: bytes, SYN and FIN take sequence numbers; padding behind the IP packet takes none.
func TestSegment(t *testing.T) {
	frame := tcp6(t)
	var f Frame
	if err := Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	want, ok := f.Segment()
	if !ok || want.Len != uint32(len(frame)-f.L4-TCPLen)+1 {
		t.Fatalf("%+v, %v", want, ok)
	}
	if err := Parse(append(append([]byte(nil), frame...), 1, 2, 3), &f); err != nil {
		t.Fatal(err)
	}
	if s, ok := f.Segment(); !ok || s != want {
		t.Errorf("padded: %+v, %v", s, ok)
	}
	f.TCPFlags = TCPFin | TCPSyn
	if s, _ := f.Segment(); s.Len != want.Len+1 {
		t.Errorf("with FIN: %+v", s)
	}
	f.Frag = FragFirst
	if _, ok := f.Segment(); ok {
		t.Error("a fragment has a length")
	}
	f.Frag = FragNone
	f.Data[f.L4+12] = 4 << 4
	if _, ok := f.Segment(); ok {
		t.Error("a header of 16 bytes is read")
	}
}
