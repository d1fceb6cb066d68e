package p4rt

import (
	"context"
	"errors"
	"testing"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// packetReceiver is a receiver without a link, and a packet for it.
func packetReceiver(t testing.TB, f func(*PacketIn)) (*receiver, []byte) {
	t.Helper()
	s, err := NewSession(Config{
		Schema:   miniSchema(t),
		Dial:     func(context.Context) (Conn, error) { return nil, errors.New("never") },
		PacketIn: f,
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&p4.StreamMessageResponse{Update: &p4.StreamMessageResponse_Packet{Packet: &p4.PacketIn{
		Payload: make([]byte, 200),
		Metadata: []*p4.PacketMetadata{
			{MetadataId: 1, Value: []byte{1, 2}}, {MetadataId: 2, Value: []byte{3}}, {MetadataId: 3, Value: []byte{4}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{l: &link{s: s}}
	r.packet.values = make([]Value, len(s.cfg.Schema.packetIn.Fields))
	return r, b
}

func TestPacketInNoAlloc(t *testing.T) {
	var meta uint64
	r, b := packetReceiver(t, func(p *PacketIn) { meta = p.Meta(0) })
	if n := testing.AllocsPerRun(100, func() { r.message(b) }); n != 0 || meta != 0x102 {
		t.Errorf("%v allocations, metadata %#x", n, meta)
	}
}

func BenchmarkPacketInDecode(b *testing.B) {
	r, p := packetReceiver(b, func(*PacketIn) {})
	b.ReportAllocs()
	for b.Loop() {
		r.message(p)
	}
}

// FuzzStreamMessage: nothing that a target sends may panic.
func FuzzStreamMessage(f *testing.F) {
	r, b := packetReceiver(f, func(*PacketIn) {})
	r.dec.schema = r.l.s.cfg.Schema
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(nil) // arbitration events go nowhere
	r.l.ctx, r.l.fail = ctx, cancel
	f.Add(b)
	f.Add([]byte{0x0a, 0})
	f.Add([]byte{0x22, 4, 0x0a, 2, 8, 1})
	f.Add([]byte{0x32, 2, 8, 3})
	f.Fuzz(func(_ *testing.T, b []byte) { r.message(b) })
}
