package softswitch

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// requests are Write requests of all kinds of entities.
func requests(l *controller) []*p4v1.WriteRequest {
	var updates []*p4v1.Update
	for _, e := range samples(l) {
		updates = append(updates, insert(e), modify(e), remove(e))
	}
	counted := l.macEntry(3, 1)
	counted.CounterData, counted.Metadata, counted.ControllerMetadata = &p4v1.CounterData{ByteCount: 1 << 40}, []byte{1, 2}, 1<<63
	counted.IdleTimeoutNs = -1
	updates = append(updates, insert(counted), &p4v1.Update{}, &p4v1.Update{Entity: &p4v1.Entity{}},
		insert(&p4v1.TableEntry{IsDefaultAction: true, IsConst: true, Priority: -3, Action: &p4v1.TableAction{}}),
		insert(&p4v1.TableEntry{Match: []*p4v1.FieldMatch{{}, {FieldId: 1 << 31}, exact(2), ternary(1, []byte{1}, []byte{3}), lpm(3, -1, 0), within(4, []byte{1}, []byte{2}), optional(5, 9)}}),
		insert(l.entry("ecmp", toGroup(3), exact(1, 5))), insert(l.member("ecmp_selector", 1, 2)), insert(l.group(3, groupMember(1, 1, 0))),
		insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 5, Replicas: []*p4v1.Replica{replica(2, 1, 3)}}),
		insert(&p4v1.MeterEntry{MeterId: 1, Config: &p4v1.MeterConfig{Cir: -1}}))
	out := []*p4v1.WriteRequest{{}, {DeviceId: 1 << 63, Role: "é", ElectionId: &p4v1.Uint128{High: 1}, Atomicity: p4v1.WriteRequest_DATAPLANE_ATOMIC, RoleId: 3}}
	for _, u := range updates {
		out = append(out, &p4v1.WriteRequest{DeviceId: labDevice, ElectionId: &p4v1.Uint128{Low: 1}, Updates: []*p4v1.Update{u}})
	}
	return append(out, &p4v1.WriteRequest{Updates: slices.Repeat(updates, 10)})
}

// sameDecoding compares with the library, errors too.
func sameDecoding(t *testing.T, raw []byte) {
	t.Helper()
	var got, want p4v1.WriteRequest
	gotErr, wantErr := unmarshalWrite(slices.Clone(raw), &got), proto.Unmarshal(raw, &want)
	if (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%x: error %v, want %v", raw, gotErr, wantErr)
	}
	if wantErr == nil && !proto.Equal(&got, &want) {
		t.Fatalf("%x (-want +got):\n%s", raw, cmp.Diff(&want, &got, protocmp.Transform()))
	}
}

func TestDecodesAsTheLibrary(t *testing.T) {
	fast := 0
	for _, req := range requests(newLab(t).primary()) {
		raw, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		sameDecoding(t, raw)
		if new(writeDecoder).request(raw, &p4v1.WriteRequest{}) {
			fast++
		}
		for i := range raw { // cut, and with a byte changed
			sameDecoding(t, raw[:i])
			for _, bit := range []byte{1, 8, 0x80} {
				other := slices.Clone(raw)
				other[i] ^= bit
				sameDecoding(t, other)
			}
			if i == 400 {
				break
			}
		}
		// Messages that come twice are merged, fields that are not known kept.
		sameDecoding(t, append(slices.Clone(raw), raw...))
		sameDecoding(t, protowire.AppendVarint(protowire.AppendTag(raw, 99, protowire.VarintType), 1))
	}
	if fast < 20 {
		t.Errorf("only %d requests are decoded without the library", fast)
	}
}

// sameStream is sameDecoding of a message of the stream.
func sameStream(t *testing.T, raw []byte) {
	t.Helper()
	var got, want p4v1.StreamMessageRequest
	gotErr, wantErr := unmarshalStream(slices.Clone(raw), &got), proto.Unmarshal(raw, &want)
	if (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%x: error %v, want %v", raw, gotErr, wantErr)
	}
	if wantErr == nil && !proto.Equal(&got, &want) {
		t.Fatalf("%x (-want +got):\n%s", raw, cmp.Diff(&want, &got, protocmp.Transform()))
	}
}

func TestDecodesPacketsAsTheLibrary(t *testing.T) {
	packet := func(payload int, metadata ...[]byte) *p4v1.StreamMessageRequest {
		p := &p4v1.PacketOut{Payload: make([]byte, payload)}
		for i, v := range metadata {
			p.Metadata = append(p.Metadata, &p4v1.PacketMetadata{MetadataId: uint32(i), Value: v})
		}
		return &p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Packet{Packet: p}}
	}
	whole := packet(60, []byte{1}, []byte{0, 2}, nil, []byte{3})
	for _, m := range []*p4v1.StreamMessageRequest{
		{}, packet(0), whole, packet(20_000, []byte{1}), packet(1, slices.Repeat([][]byte{{7}}, 8)...), packet(1, slices.Repeat([][]byte{{7}}, 9)...),
		{Update: &p4v1.StreamMessageRequest_Arbitration{Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: 3}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		sameStream(t, raw)
		for i := range raw[:min(len(raw), 200)] {
			sameStream(t, raw[:i])
			for _, bit := range []byte{1, 8, 0x80} {
				other := slices.Clone(raw)
				other[i] ^= bit
				sameStream(t, other)
			}
		}
		sameStream(t, append(slices.Clone(raw), raw...))
		sameStream(t, protowire.AppendVarint(protowire.AppendTag(raw, 99, protowire.VarintType), 1))
	}
	raw, err := proto.Marshal(whole)
	if err != nil || !decodePacketOut(raw, &p4v1.StreamMessageRequest{}) {
		t.Errorf("a packet is not decoded without the library: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, req := range requests(newLab(f).primary()) {
		raw, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		if len(raw) < 2000 {
			f.Add(raw)
		}
	}
	f.Fuzz(sameDecoding)
}
