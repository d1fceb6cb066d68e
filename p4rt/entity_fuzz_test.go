package p4rt

import (
	"os"
	"testing"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
)

// probeSchema has an object of every kind.
func probeSchema(t testing.TB) *Schema {
	t.Helper()
	b, err := os.ReadFile("../softswitch/testdata/probe.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(b, info); err != nil {
		t.Fatal(err)
	}
	s, err := NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzEntity decodes arbitrary entities of every kind: no panic, and one that is valid is the same
// after being sent and read.
func FuzzEntity(f *testing.F) {
	s := probeSchema(f)
	sel := s.profiles.all[0]
	if !sel.Selector {
		sel = s.profiles.all[1]
	}
	ecmp, err := s.Table("ecmp")
	if err != nil {
		f.Fatal(err)
	}
	forward, err := sel.Action("forward")
	if err != nil {
		f.Fatal(err)
	}
	shot, group := ecmp.NewEntry(), ecmp.NewEntry()
	shot.OneShot = []Weighted{{Action: forward, Params: []Value{U64(2)}, Weight: 2, Watch: WatchPort(3)}}
	group.Group = 4
	for _, e := range []Entity{
		shot, group,
		&MulticastGroup{ID: 1, Replicas: []Replica{{Port: 1}, {Port: 2, Instance: 3}}, Backups: map[Replica][]Replica{{Port: 1}: {{Port: 2}}}, Cookie: 5},
		&CloneSession{ID: 1, Replicas: []Replica{{Port: 300}}, Class: 2, Truncate: 3},
		&ActionMember{Profile: sel, ID: 1, Action: forward, Params: []Value{U64(1)}},
		&ActionGroup{Profile: sel, ID: 1, MaxSize: 4, Members: []GroupMember{{ID: 1, Weight: 1, Watch: WatchPort(1)}}},
		&MeterCell{Array: s.meters.all[0], Index: 1, Config: &MeterConfig{1, 2, 3, 4, 0}},
		&CounterCell{Array: s.counters.all[0], Index: 1, Packets: 2, Bytes: 3},
		&RegisterCell{Array: s.registers.all[0], Index: 1, Value: U64(5)},
		&ValueSetMembers{Set: s.valueSets.all[0], Members: [][]Match{{{Value: U64(3), Mask: Ones(16)}}}},
		&DigestConfig{Digest: s.digests.all[0], MaxTimeout: time.Second, MaxList: 2, AckTimeout: time.Minute},
	} {
		number, _, n := protowire.ConsumeTag(e.appendWire(nil, Insert))
		body, _ := protowire.ConsumeBytes(e.appendWire(nil, Insert)[n:])
		f.Add(int(number), body)
		f.Add(int(number), body[:len(body)-1])
	}
	f.Fuzz(func(t *testing.T, kind int, b []byte) {
		d := decoder{schema: s}
		e, err := d.entity(kind, b)
		if err != nil || e == nil {
			return
		}
		op := Insert
		switch e.(type) {
		case *MeterCell, *CounterCell, *RegisterCell, *ValueSetMembers:
			op = Modify
		}
		if e.validate(op) != nil {
			return
		}
		wire := e.appendWire(nil, op)
		number, _, n := protowire.ConsumeTag(wire)
		body, m := protowire.ConsumeBytes(wire[max(n, 0):])
		if n < 0 || m < 0 || n+m != len(wire) {
			t.Fatalf("%s: %d bytes of wire form, %d and %d understood", e, len(wire), n, m)
		}
		again, err := d.entity(int(number), body)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if again.Key() != e.Key() || !e.same(again) {
			t.Fatalf("%s, then %s", e, again)
		}
	})
}
