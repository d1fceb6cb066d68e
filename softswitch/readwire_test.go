package softswitch

import (
	"bytes"
	"math/rand/v2"
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// randomEntry draws an entry of a table as a reader may get it.
func randomEntry(r *rand.Rand) *p4v1.TableEntry {
	value := func(most int) []byte {
		b := make([]byte, r.IntN(most+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	number := func() uint64 { return r.Uint64() >> r.IntN(64) }
	action := func() *p4v1.Action {
		a := &p4v1.Action{ActionId: uint32(number())}
		for range r.IntN(12) {
			a.Params = append(a.Params, &p4v1.Action_Param{ParamId: uint32(number()), Value: value(16)})
		}
		return a
	}
	e := &p4v1.TableEntry{
		TableId: uint32(number()), Priority: int32(number()), ControllerMetadata: number(), Metadata: value(1 << r.IntN(16)), IsDefaultAction: r.IntN(2) == 0, IsConst: r.IntN(2) == 0,
		IdleTimeoutNs: int64(number()),
	}
	for range r.IntN(10) {
		m := &p4v1.FieldMatch{FieldId: uint32(number())}
		switch r.IntN(5) {
		case 0:
			m.FieldMatchType = &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: value(20)}}
		case 1:
			m.FieldMatchType = &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: value(20), Mask: value(20)}}
		case 2:
			m.FieldMatchType = &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: value(20), PrefixLen: r.Int32N(129)}}
		case 3:
			m.FieldMatchType = &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: value(20), High: value(20)}}
		case 4:
			m.FieldMatchType = &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: value(20)}}
		}
		e.Match = append(e.Match, m)
	}
	switch r.IntN(5) {
	case 0:
		e.Action = &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: uint32(number())}}
	case 1:
		set := &p4v1.ActionProfileActionSet{ActionProfileActions: []*p4v1.ActionProfileAction{{Action: action(), Weight: 3}}}
		e.Action = &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: set}}
	case 2, 3:
		e.Action = &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: action()}}
	}
	if r.IntN(2) == 0 {
		e.CounterData = &p4v1.CounterData{ByteCount: int64(number()), PacketCount: int64(number())}
	}
	if r.IntN(2) == 0 {
		e.MeterConfig = &p4v1.MeterConfig{Cir: int64(number()), Pburst: int64(number())}
	}
	if r.IntN(2) == 0 {
		e.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{ElapsedNs: int64(number())}
	}
	return e
}

// TestReadWire: entities are in pages as the general code encodes them, in order.
func TestReadWire(t *testing.T) {
	const entities = 2000
	r := rand.New(rand.NewPCG(1, 2))
	p, want := pages{limit: pageSize}, &p4v1.ReadResponse{}
	for range entities {
		e := &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: randomEntry(r)}}
		if r.IntN(10) == 0 {
			e = &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{CounterId: r.Uint32(), Data: &p4v1.CounterData{ByteCount: 7}}}}
		}
		want.Entities = append(want.Entities, e)
		if err := p.add(e); err != nil {
			t.Fatal(err)
		}
	}
	got := &p4v1.ReadResponse{}
	if err := proto.Unmarshal(bytes.Join(p.list, nil), got); err != nil {
		t.Fatal(err)
	}
	if len(got.Entities) != entities {
		t.Fatalf("%d entities", len(got.Entities))
	}
	for i, e := range got.Entities {
		if !proto.Equal(e, want.Entities[i]) {
			t.Fatalf("%v\nis read as\n%v", want.Entities[i], e)
		}
	}
	for i, page := range p.list {
		if len(page) > pageSize {
			t.Errorf("page %d has %d bytes, want %d at most", i, len(page), pageSize)
		}
		if next := i + 1; next < len(p.list) && len(page)+len(p.list[next]) <= pageSize {
			t.Errorf("pages %d and %d have %d bytes together", i, next, len(page)+len(p.list[next]))
		}
	}
}
