package p4rt

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func miniInfo(t testing.TB) *p4config.P4Info {
	t.Helper()
	b, err := os.ReadFile("testdata/mini.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(b, info); err != nil {
		t.Fatal(err)
	}
	return info
}

func miniSchema(t testing.TB) *Schema {
	t.Helper()
	s, err := NewSchema(miniInfo(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// protoOf builds the generated form the plain way.
func protoOf(e *Entry, op Op) *p4.TableEntry {
	canon := func(v Value) []byte { return v.AppendCanonical(nil) }
	out := &p4.TableEntry{TableId: e.Table.ID, Priority: e.Priority}
	for i, m := range e.Match {
		f := e.Table.Keys[i]
		fm := &p4.FieldMatch{FieldId: f.ID}
		switch f.Kind {
		case MatchExact:
			fm.FieldMatchType = &p4.FieldMatch_Exact_{Exact: &p4.FieldMatch_Exact{Value: canon(m.Value)}}
		case MatchTernary:
			if m.Mask.IsZero() {
				continue
			}
			fm.FieldMatchType = &p4.FieldMatch_Ternary_{Ternary: &p4.FieldMatch_Ternary{Value: canon(m.Value.And(m.Mask)), Mask: canon(m.Mask)}}
		case MatchLPM:
			if m.Mask.IsZero() {
				continue
			}
			fm.FieldMatchType = &p4.FieldMatch_Lpm{Lpm: &p4.FieldMatch_LPM{Value: canon(m.Value.And(m.Mask)), PrefixLen: int32(m.Mask.PrefixLen(f.Width))}}
		case MatchRange:
			if m.Value.IsZero() && m.Mask == Ones(f.Width) {
				continue
			}
			fm.FieldMatchType = &p4.FieldMatch_Range_{Range: &p4.FieldMatch_Range{Low: canon(m.Value), High: canon(m.Mask)}}
		case MatchOptional:
			if m.Mask.IsZero() {
				continue
			}
			fm.FieldMatchType = &p4.FieldMatch_Optional_{Optional: &p4.FieldMatch_Optional{Value: canon(m.Value)}}
		}
		out.Match = append(out.Match, fm)
	}
	if op == Delete {
		return out
	}
	if e.Action != nil {
		a := &p4.Action{ActionId: e.Action.ID}
		for i, v := range e.Params {
			a.Params = append(a.Params, &p4.Action_Param{ParamId: e.Action.Params[i].ID, Value: canon(v)})
		}
		out.Action = &p4.TableAction{Type: &p4.TableAction_Action{Action: a}}
	}
	out.IdleTimeoutNs = int64(e.IdleTimeout)
	if e.Cookie != 0 {
		out.Metadata = canon(U64(e.Cookie))
	}
	return out
}

// reader draws values from fuzz input.
type reader struct{ b []byte }

func (r *reader) u64() uint64 {
	var x [8]byte
	n := copy(x[:], r.b)
	r.b = r.b[n:]
	return binary.BigEndian.Uint64(x[:])
}

func (r *reader) value(width int) Value { return Value{r.u64(), r.u64()}.And(Ones(width)) }

// entry draws a valid entry.
func (r *reader) entry(s *Schema) *Entry {
	t := s.tables[r.u64()%uint64(len(s.tables))]
	e := t.NewEntry()
	for i, f := range t.Keys {
		switch f.Kind {
		case MatchExact:
			e.Set(i, r.value(f.Width))
		case MatchTernary:
			e.Match[i] = Match{r.value(f.Width), r.value(f.Width)} // masked-out bits set
		case MatchLPM:
			e.SetPrefix(i, r.value(f.Width), int(r.u64()%uint64(f.Width+1)))
		case MatchRange:
			a, b := r.value(f.Width), r.value(f.Width)
			if a.Compare(b) > 0 {
				a, b = b, a
			}
			e.SetRange(i, a, b)
		case MatchOptional:
			if r.u64()%2 == 1 {
				e.Set(i, r.value(f.Width))
			}
		}
	}
	if t.NeedsPriority {
		e.Priority = int32(r.u64()%(1<<31-1)) + 1
	}
	for _, name := range []string{"forward", "set_macs", "drop"} {
		if a, err := t.Action(name); err == nil {
			e.Action = a
		}
	}
	for _, p := range e.Action.Params {
		e.Params = append(e.Params, r.value(p.Width))
	}
	if t.SupportsIdle {
		e.IdleTimeout = time.Duration(r.u64() >> 1)
	}
	e.Cookie = r.u64()
	return e
}

// FuzzEntryWire: what we encode is what the generated code reads, and reads back the same.
func FuzzEntryWire(f *testing.F) {
	s := miniSchema(f)
	for i := range 8 {
		seed := make([]byte, 0, 256)
		for j := range 32 {
			seed = binary.BigEndian.AppendUint64(seed, uint64(i)+uint64(j)*0x9e3779b97f4a7c15*uint64(i&1))
		}
		f.Add(seed, byte(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, o byte) {
		e, op := (&reader{b}).entry(s), Op(o%3)+1
		if err := e.validate(op); err != nil {
			t.Fatal(err)
		}
		want := &p4.WriteRequest{Updates: []*p4.Update{{
			Type:   p4.Update_Type(op),
			Entity: &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: protoOf(e, op)}},
		}}}
		got := &p4.WriteRequest{}
		if err := proto.Unmarshal(appendUpdate(nil, Update{op, e}), got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
		if op == Delete {
			return
		}
		wire, err := proto.Marshal(want.Updates[0].Entity.GetTableEntry())
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := (&decoder{schema: s}).entry(wire)
		if err != nil {
			t.Fatal(err)
		}
		if back.Key() != e.Key() || !back.SameEffect(e) {
			t.Fatalf("%s came back as %s", e, back)
		}
	})
}

// FuzzDecodeEntry: whatever is decoded without error is a valid entry and stable.
func FuzzDecodeEntry(f *testing.F) {
	s := miniSchema(f)
	for i := range s.tables {
		r := reader{append(binary.BigEndian.AppendUint64(nil, uint64(i)), []byte("some bytes that are not all zero, for the values of the fields")...)}
		b, err := proto.Marshal(protoOf(r.entry(s), Insert))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{schema: s}
		e, _, err := d.entry(b)
		if err != nil {
			return
		}
		again, _, err := d.entry(e.body(Insert))
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if again.Key() != e.Key() || !again.SameEffect(e) {
			t.Fatalf("%s, then %s", e, again)
		}
	})
}

// body is the encoded TableEntry without the Entity around it.
func (e *Entry) body(op Op) []byte {
	f := fields{rest: e.appendWire(nil, op)}
	f.next()
	return f.b
}

func TestDecodePadded(t *testing.T) {
	s := miniSchema(t)
	tb, err := s.Table("route")
	if err != nil {
		t.Fatal(err)
	}
	pe := &p4.TableEntry{TableId: tb.ID, Match: []*p4.FieldMatch{
		{FieldId: 2, FieldMatchType: &p4.FieldMatch_Lpm{Lpm: &p4.FieldMatch_LPM{Value: append([]byte{0x20, 1}, make([]byte, 14)...), PrefixLen: 16}}},
		{FieldId: 1, FieldMatchType: &p4.FieldMatch_Exact_{Exact: &p4.FieldMatch_Exact{Value: []byte{0, 0, 0, 5}}}},
	}}
	b, err := proto.Marshal(pe)
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := (&decoder{schema: s}).entry(b)
	if err != nil {
		t.Fatal(err)
	}
	want := tb.NewEntry()
	want.Set(0, U64(5))
	want.SetPrefix(1, Value{Hi: 0x2001 << 48}, 16)
	if e.Key() != want.Key() {
		t.Errorf("got %s, want %s", e, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	s := miniSchema(t)
	exact := func(id uint32, v ...byte) *p4.FieldMatch {
		return &p4.FieldMatch{FieldId: id, FieldMatchType: &p4.FieldMatch_Exact_{Exact: &p4.FieldMatch_Exact{Value: v}}}
	}
	const route, rewrite = 0x02000003, 0x02000004
	for _, tc := range []struct {
		name string
		in   *p4.TableEntry
		err  error
		says string
	}{
		{"table", &p4.TableEntry{TableId: 99}, ErrNoSuchTable, "99"},
		{"field", &p4.TableEntry{TableId: route, Match: []*p4.FieldMatch{exact(7, 1)}}, ErrNoSuchField, "route"},
		{"missing field", &p4.TableEntry{TableId: route}, ErrMissing, "vrf"},
		{"wide value", &p4.TableEntry{TableId: route, Match: []*p4.FieldMatch{exact(1, 4, 0)}}, ErrOverflow, "vrf"},
		{"empty value", &p4.TableEntry{TableId: route, Match: []*p4.FieldMatch{exact(1)}}, ErrMalformed, "vrf"},
		{"wrong kind", &p4.TableEntry{TableId: route, Match: []*p4.FieldMatch{exact(2, 1)}}, ErrMalformed, "dst"},
		{"twice", &p4.TableEntry{TableId: route, Match: []*p4.FieldMatch{exact(1, 1), exact(1, 1)}}, ErrMalformed, "twice"},
		{"action", &p4.TableEntry{TableId: rewrite, Match: []*p4.FieldMatch{exact(1, 1)},
			Action: &p4.TableAction{Type: &p4.TableAction_Action{Action: &p4.Action{ActionId: 0x01000001}}}}, ErrNoSuchAction, "rewrite"},
		{"parameter", &p4.TableEntry{TableId: rewrite, Match: []*p4.FieldMatch{exact(1, 1)},
			Action: &p4.TableAction{Type: &p4.TableAction_Action{Action: &p4.Action{ActionId: 0x01000003}}}}, ErrMissing, "dst"},
		{"profile", &p4.TableEntry{TableId: rewrite, Match: []*p4.FieldMatch{exact(1, 1)},
			Action: &p4.TableAction{Type: &p4.TableAction_ActionProfileGroupId{ActionProfileGroupId: 1}}}, ErrUnsupported, "rewrite"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := proto.Marshal(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = (&decoder{schema: s}).entry(b)
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v; want %v that says %q", err, tc.err, tc.says)
			}
		})
	}
}

func TestGroupAndCloneWire(t *testing.T) {
	g := &MulticastGroup{ID: 7, Replicas: []Replica{{Port: 0, Instance: 1}, {Port: 300, Instance: 0}}}
	for i := range 60 { // long enough for a two-byte length
		g.Replicas = append(g.Replicas, Replica{Port: uint32(i), Instance: 1000})
	}
	c := &CloneSession{ID: 3, Replicas: []Replica{{Port: 5, Instance: 9}}, Class: 2, Truncate: 128}
	m := &p4.WriteRequest{}
	b := appendUpdate(appendUpdate(nil, Update{Insert, g}), Update{Modify, c})
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	pg := m.Updates[0].GetEntity().GetPacketReplicationEngineEntry().GetMulticastGroupEntry()
	pc := m.Updates[1].GetEntity().GetPacketReplicationEngineEntry().GetCloneSessionEntry()
	gb, err := proto.Marshal(pg)
	if err != nil {
		t.Fatal(err)
	}
	cb, err := proto.Marshal(pc)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodeGroup(gb, false); err != nil || !cmp.Equal(back, g) {
		t.Errorf("group: %v %v", err, cmp.Diff(g, back))
	}
	if back, err := decodeClone(cb, false); err != nil || !cmp.Equal(back, c) {
		t.Errorf("clone: %v %v", err, cmp.Diff(c, back))
	}
	if pc.GetPacketLengthBytes() != 128 || pc.GetClassOfService() != 2 || len(pg.GetReplicas()) != 62 {
		t.Errorf("generated code reads %v, %d replicas", pc, len(pg.GetReplicas()))
	}
}

// TestAskEntriesWire: an encoded question for entries is what the generated code would ask.
func TestAskEntriesWire(t *testing.T) {
	schema := miniSchema(t)
	for _, o := range []ReadOptions{{}, {Counters: true}, {Counters: true, LastHit: true}} {
		s := &Session{pool: new(bufPool), cfg: Config{DeviceID: 3, Role: "a role"}}
		want := &p4.ReadRequest{DeviceId: 3, Role: "a role"}
		var entries []*Entry
		for i := range 50 {
			r := reader{binary.BigEndian.AppendUint64(nil, uint64(i))}
			e := r.entry(schema)
			entries = append(entries, e)
			key := protoOf(e, Delete)
			o.ask(key, e.Table)
			want.Entities = append(want.Entities, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: key}})
		}
		got := new(p4.ReadRequest)
		if err := proto.Unmarshal(s.askEntries(entries, &o).out.ReadOnlyData(), got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Errorf("%+v: -want +got:\n%s", o, d)
		}
	}
}

func TestPacketOutWire(t *testing.T) {
	h := miniSchema(t).packetOut.Fields
	for _, n := range []int{0, 1, 60, 127, 128, 1500, 20000} {
		payload := []byte(strings.Repeat("x", n))
		m := &p4.StreamMessageRequest{}
		if err := proto.Unmarshal(appendPacketOut(nil, payload, h, []Value{U64(1), U64(300)}), m); err != nil {
			t.Fatal(n, err)
		}
		want := &p4.PacketOut{Payload: payload, Metadata: []*p4.PacketMetadata{
			{MetadataId: 1, Value: []byte{1}}, {MetadataId: 2, Value: []byte{1, 44}}}}
		if d := cmp.Diff(want, m.GetPacket(), protocmp.Transform()); d != "" {
			t.Errorf("%d bytes: -want +got:\n%s", n, d)
		}
	}
}

func BenchmarkEncodeUpdate(b *testing.B) {
	s := miniSchema(b)
	r := reader{[]byte("\x00\x00\x00\x00\x00\x00\x00\x00 a flow entry like those of the data path, six exact fields")}
	e := r.entry(s)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendUpdate(buf[:0], Update{Insert, e})
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	s := miniSchema(b)
	r := reader{[]byte("\x00\x00\x00\x00\x00\x00\x00\x00 a flow entry like those of the data path, six exact fields")}
	wire := r.entry(s).body(Insert)
	d := decoder{schema: s}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.entry(wire); err != nil {
			b.Fatal(err)
		}
	}
}
