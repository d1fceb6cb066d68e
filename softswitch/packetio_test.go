package softswitch

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
)

func packetOut(payload []byte, metadata ...*p4v1.PacketMetadata) *p4v1.StreamMessageRequest {
	return &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: &p4v1.PacketOut{Payload: payload, Metadata: metadata}}}
}

func meta(id uint32, value ...byte) *p4v1.PacketMetadata {
	return &p4v1.PacketMetadata{MetadataId: id, Value: value}
}

func TestForwardCountAndCopy(t *testing.T) {
	c := newLab(t).primary()
	e := c.macEntry(9, 2)
	c.write(insert(e))
	in := frame(9, 1, 1, 2, 3)
	c.inject(1, in)
	if got := c.frames(2, 1)[0]; !bytes.Equal(got, in) {
		t.Errorf("port 2 sent %x, want %x", got, in)
	}
	e.CounterData = &p4v1.CounterData{}
	got := c.read(entity(e))
	want := &p4v1.CounterData{PacketCount: 1, ByteCount: int64(len(in))}
	if diff := cmp.Diff(want, got[0].GetTableEntry().GetCounterData(), protocmp.Transform()); diff != "" {
		t.Errorf("direct counter (-want +got):\n%s", diff)
	}
	for _, p := range c.server.PortStatus() {
		switch {
		case p.Number == 1 && (p.RxPackets != 1 || p.RxBytes != uint64(len(in))),
			p.Number == 2 && (p.TxPackets != 1 || p.TxBytes != uint64(len(in))):
			t.Errorf("port %d: %+v", p.Number, p.Stats)
		}
	}
}

func TestPacketInCarriesMetadata(t *testing.T) {
	c := newLab(t).primary()
	c.write(insert(c.entry("mac", direct(c.action("punt", []byte{0x55}, []byte{0x0a, 0xbc})), exact(1, 9))))
	payload := frame(9, 1, 7)
	c.inject(3, payload)
	got := c.recv().GetPacket()
	want := &p4v1.PacketIn{Payload: payload, Metadata: []*p4v1.PacketMetadata{
		meta(1, 3), meta(2, 0x55), meta(3, 0x0a, 0xbc), meta(4, 0)}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("packet-in (-want +got):\n%s", diff)
	}
}

func TestPacketOutLeavesByItsPort(t *testing.T) {
	c := newLab(t).primary()
	payload := frame(1, 2, 3)
	c.send(packetOut(payload, meta(2, 0), meta(1, 0, 4))) // any order, padded
	if got := c.frames(4, 1)[0]; !bytes.Equal(got, payload) {
		t.Errorf("port 4 sent %x, want %x", got, payload)
	}
}

func TestMalformedPacketOutIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name     string
		metadata []*p4v1.PacketMetadata
	}{
		{"missing", []*p4v1.PacketMetadata{meta(1, 2)}},
		{"unknown", []*p4v1.PacketMetadata{meta(1, 2), meta(2, 0), meta(7, 0)}},
		{"twice", []*p4v1.PacketMetadata{meta(1, 2), meta(2, 0), meta(1, 2)}},
		{"too wide", []*p4v1.PacketMetadata{meta(1, 2, 0), meta(2, 0)}},
		{"empty", []*p4v1.PacketMetadata{meta(1), meta(2, 0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newLab(t).primary()
			request := packetOut(frame(1, 2), tc.metadata...)
			c.send(request)
			got := c.recv().GetError()
			if codes.Code(got.GetCanonicalCode()) != codes.InvalidArgument {
				t.Errorf("stream error = %v, want InvalidArgument", got)
			}
			if diff := cmp.Diff(request.GetPacket(), got.GetPacketOut().GetPacketOut(), protocmp.Transform()); diff != "" {
				t.Errorf("error names another packet (-want +got):\n%s", diff)
			}
			if n := c.server.Stats().PacketOutRefused; n != 1 {
				t.Errorf("PacketOutRefused = %d, want 1", n)
			}
		})
	}
}

func TestBackupsGetAndSendNoPackets(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	b := l.connect("")
	b.arbitrate(0)
	b.want(backup)
	b.send(packetOut(frame(1, 2), meta(1, 2), meta(2, 0)))
	if got := b.recv().GetError(); codes.Code(got.GetCanonicalCode()) != codes.PermissionDenied {
		t.Errorf("stream error = %v, want PermissionDenied", got)
	}
	c.write(insert(c.entry("mac", direct(c.action("punt", []byte{1}, []byte{2})), exact(1, 9))))
	c.inject(1, frame(9, 1))
	if c.recv().GetPacket() == nil {
		t.Error("the primary got no packet-in")
	}
	b.arbitrate(0)
	b.want(backup) // and no packet before it
}

func TestPacketInWithoutPrimaryIsCounted(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(c.entry("mac", direct(c.action("punt", []byte{1}, []byte{2})), exact(1, 9))),
		insert(c.macEntry(8, 2)))
	b := l.connect("")
	b.arbitrate(0)
	b.want(backup)
	c.cancel()
	b.want(vacant)
	l.inject(1, frame(9, 1), frame(8, 1))
	l.frames(2, 1) // both are through
	if n := l.server.Stats().PacketInsDropped; n != 1 {
		t.Errorf("PacketInsDropped = %d, want 1", n)
	}
}

func TestMulticastAndClone(t *testing.T) {
	c := newLab(t).primary()
	c.write(insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 5, Replicas: []*p4v1.Replica{replica(2, 1), replica(3, 1), replica(4, 9)}}),
		insert(&p4v1.CloneSessionEntry{SessionId: 6, Replicas: []*p4v1.Replica{{PortKind: &p4v1.Replica_Port{Port: []byte{1, 0xfe}}, Instance: 3}}}))
	c.write(insert(c.entry("mac", direct(c.action("flood", []byte{5})), exact(1, 9))),
		insert(c.entry("mac", direct(c.action("mirror", []byte{2}, []byte{6})), exact(1, 8))))
	in := frame(9, 1, 0xaa)
	c.inject(1, in)
	for _, n := range []uint16{2, 3, 4} {
		if got := c.frames(n, 1)[0]; !bytes.Equal(got, in) {
			t.Errorf("port %d sent %x, want %x", n, got, in)
		}
	}
	in = frame(8, 1, 0xbb)
	c.inject(1, in)
	if got := c.frames(2, 1)[0]; !bytes.Equal(got, in) {
		t.Errorf("port 2 sent %x, want %x", got, in)
	}
	got := c.recv().GetPacket()
	if !bytes.Equal(got.GetPayload(), in) || !bytes.Equal(got.GetMetadata()[3].GetValue(), []byte{3}) {
		t.Errorf("clone to the CPU: %v", got)
	}
}

func TestBackupReplicasFollowLinks(t *testing.T) {
	c := newLab(t).primary()
	group := &p4v1.MulticastGroupEntry{MulticastGroupId: 5, Replicas: []*p4v1.Replica{replica(2, 1, 3, 4)}, Metadata: []byte("x")}
	c.write(insert(group))
	c.write(insert(c.entry("mac", direct(c.action("flood", []byte{5})), exact(1, 9))))
	for _, tc := range []struct {
		down []uint16
		want uint16
	}{{nil, 2}, {[]uint16{2}, 3}, {[]uint16{2, 3}, 4}, {[]uint16{3}, 2}} {
		for n := uint16(2); n <= 4; n++ {
			c.ends[n].SetUp(true)
		}
		for _, n := range tc.down {
			c.ends[n].SetUp(false)
		}
		c.server.sweep()
		in := frame(9, 1, byte(tc.want))
		c.inject(1, in)
		if got := c.frames(tc.want, 1)[0]; !bytes.Equal(got, in) {
			t.Errorf("down %v: port %d sent %x, want %x", tc.down, tc.want, got, in)
		}
	}
	got := c.read(entity(&p4v1.MulticastGroupEntry{}))
	if diff := cmp.Diff([]*p4v1.Entity{entity(group)}, got, protocmp.Transform()); diff != "" {
		t.Errorf("group reads back (-want +got):\n%s", diff)
	}
}

func TestHeaderFieldsPackAndUnpack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		h := &headerSchema{}
		bits := 0
		var metadata []*p4v1.PacketMetadata
		for id := uint32(1); id <= 6; id++ {
			width := 1 + random.IntN(70)
			if id == 6 {
				width = 8 - bits%8
			}
			h.fields = append(h.fields, headerField{id: id, offset: bits, width: width})
			bits += width
			value := make([]byte, (width+7)/8)
			for i := range value {
				value[i] = byte(random.Uint32())
			}
			value[0] &= ones(width)[0]
			metadata = append(metadata, meta(id, canonical(value)...))
		}
		h.size = bits / 8
		header, err := h.encode(nil, metadata)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(metadata, h.decode(header), protocmp.Transform()); diff != "" {
			t.Fatalf("%v (-want +got):\n%s", h.fields, diff)
		}
	}
}
