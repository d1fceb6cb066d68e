package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// What is read by the hundred thousand, entries of tables, is encoded here, field by field with the numbers of p4runtime.proto: the general code takes several times as long. What an
// entry seldom has is left to that.

// appendEntity appends an entity in its wire form.
func appendEntity(b []byte, e *p4v1.Entity) ([]byte, error) {
	x, ok := e.GetEntity().(*p4v1.Entity_TableEntry)
	if !ok {
		return proto.MarshalOptions{}.MarshalAppend(b, e)
	}
	b, at := openField(b, 2)
	b, err := appendTableEntry(b, x.TableEntry)
	return closeField(b, at), err
}

// openField begins a field that is as long as what is appended until closeField.
func openField(b []byte, number protowire.Number) ([]byte, int) {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return append(b, 0), len(b) + 1
}

// closeField puts the length in, which takes one byte most often.
func closeField(b []byte, at int) []byte {
	n := len(b) - at
	if n < 0x80 {
		b[at-1] = byte(n)
		return b
	}
	size := protowire.AppendVarint(nil, uint64(n))
	b = append(b, size[1:]...)
	copy(b[at-1+len(size):], b[at:at+n])
	copy(b[at-1:], size)
	return b
}

func appendNumber(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func appendFlag(b []byte, number protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendNumber(b, number, 1)
}

func appendTableEntry(b []byte, e *p4v1.TableEntry) (_ []byte, err error) {
	b = appendNumber(b, 1, uint64(e.TableId))
	var at int
	for _, m := range e.Match {
		b, at = openField(b, 2)
		if b, err = appendFieldMatch(b, m); err != nil {
			return b, err
		}
		b = closeField(b, at)
	}
	if e.Action != nil {
		b, at = openField(b, 3)
		if b, err = appendTableAction(b, e.Action); err != nil {
			return b, err
		}
		b = closeField(b, at)
	}
	b = appendNumber(b, 4, uint64(e.Priority))
	b = appendNumber(b, 5, e.ControllerMetadata)
	if e.MeterConfig != nil {
		b, at = openField(b, 6)
		if b, err = (proto.MarshalOptions{}).MarshalAppend(b, e.MeterConfig); err != nil {
			return b, err
		}
		b = closeField(b, at)
	}
	if c := e.CounterData; c != nil {
		b, at = openField(b, 7)
		b = closeField(appendNumber(appendNumber(b, 1, uint64(c.ByteCount)), 2, uint64(c.PacketCount)), at)
	}
	b = appendFlag(b, 8, e.IsDefaultAction)
	b = appendNumber(b, 9, uint64(e.IdleTimeoutNs))
	if t := e.TimeSinceLastHit; t != nil {
		b, at = openField(b, 10)
		b = closeField(appendNumber(b, 1, uint64(t.ElapsedNs)), at)
	}
	b = appendBytes(b, 11, e.Metadata)
	return appendFlag(b, 13, e.IsConst), nil
}

func appendFieldMatch(b []byte, m *p4v1.FieldMatch) ([]byte, error) {
	var at int
	switch x := m.FieldMatchType.(type) {
	case *p4v1.FieldMatch_Exact_:
		b, at = openField(appendNumber(b, 1, uint64(m.FieldId)), 2)
		return closeField(appendBytes(b, 1, x.Exact.Value), at), nil
	case *p4v1.FieldMatch_Ternary_:
		b, at = openField(appendNumber(b, 1, uint64(m.FieldId)), 3)
		return closeField(appendBytes(appendBytes(b, 1, x.Ternary.Value), 2, x.Ternary.Mask), at), nil
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

func appendTableAction(b []byte, a *p4v1.TableAction) ([]byte, error) {
	x, ok := a.Type.(*p4v1.TableAction_Action)
	if !ok {
		return proto.MarshalOptions{}.MarshalAppend(b, a)
	}
	b, at := openField(b, 1)
	b = appendNumber(b, 1, uint64(x.Action.ActionId))
	for _, p := range x.Action.Params {
		var param int
		b, param = openField(b, 4)
		b = closeField(appendBytes(appendNumber(b, 2, uint64(p.ParamId)), 3, p.Value), param)
	}
	return closeField(b, at), nil
}
