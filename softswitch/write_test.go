package softswitch

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestWriteChecksInOrder(t *testing.T) {
	l := newLab(t)
	c := l.connect("")
	write := func(device uint64, role string, id *p4v1.Uint128) codes.Code {
		_, err := l.client.Write(context.Background(), &p4v1.WriteRequest{DeviceId: device, Role: role, ElectionId: id})
		return status.Code(err)
	}
	one := &p4v1.Uint128{Low: 1}
	if got := write(labDevice, "", one); got != codes.PermissionDenied {
		t.Errorf("without a stream: %v", got)
	}
	c.arbitrate(1)
	c.want(ok)
	for _, tc := range []struct {
		device uint64
		role   string
		id     *p4v1.Uint128
		want   codes.Code
	}{
		{0, "", one, codes.NotFound},
		{8, "", one, codes.NotFound},
		{labDevice, "x", one, codes.NotFound},
		{labDevice, "", nil, codes.PermissionDenied},
		{labDevice, "", &p4v1.Uint128{Low: 2}, codes.PermissionDenied},
		{labDevice, "", &p4v1.Uint128{High: 1, Low: 1}, codes.PermissionDenied},
		{labDevice, "", one, codes.FailedPrecondition},
	} {
		if got := write(tc.device, tc.role, tc.id); got != tc.want {
			t.Errorf("device %d, role %q, id %v: %v, want %v", tc.device, tc.role, tc.id, got, tc.want)
		}
	}
	if _, _, err := l.tryRead(entity(&p4v1.TableEntry{})); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Read before a pipeline: %v, want FailedPrecondition", err)
	}
}

// TestOneUpdate is the table of what single updates are answered.
func TestOneUpdate(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.macEntry(1, 2)))
	mac := func(change func(e *p4v1.TableEntry)) *p4v1.TableEntry {
		e := l.macEntry(7, 2)
		change(e)
		return e
	}
	acl := func(priority int32, match ...*p4v1.FieldMatch) *p4v1.TableEntry {
		e := l.entry("acl", direct(l.action("drop")), match...)
		e.Priority = priority
		return e
	}
	def := func(table string, action *p4v1.TableAction) *p4v1.TableEntry {
		e := l.entry(table, action)
		e.IsDefaultAction = true
		return e
	}
	drop := direct(l.action("drop"))
	allow := direct(l.action("allow"))
	forward := func(params ...*p4v1.Action_Param) *p4v1.TableAction {
		return direct(&p4v1.Action{ActionId: l.action("forward").GetActionId(), Params: params})
	}
	param := func(id uint32, value ...byte) *p4v1.Action_Param {
		return &p4v1.Action_Param{ParamId: id, Value: value}
	}
	const invalid = codes.InvalidArgument
	for i, tc := range []struct {
		update *p4v1.Update
		want   codes.Code
	}{
		{&p4v1.Update{Entity: entity(l.macEntry(7, 2))}, invalid},
		{&p4v1.Update{Type: p4v1.Update_INSERT}, invalid},
		{&p4v1.Update{Type: p4v1.Update_INSERT, Entity: &p4v1.Entity{}}, invalid},
		{insert(l.macEntry(1, 2)), codes.AlreadyExists},
		{modify(l.macEntry(7, 2)), codes.NotFound},
		{remove(l.macEntry(7, 2)), codes.NotFound},
		{insert(&p4v1.TableEntry{}), invalid},
		{insert(&p4v1.TableEntry{TableId: 99}), invalid},
		// keys
		{insert(l.entry("mac", drop)), invalid},
		{insert(l.entry("mac", drop, exact(1, 7), exact(1, 7))), invalid},
		{insert(l.entry("mac", drop, exact(2, 7))), invalid},
		{insert(l.entry("mac", drop, exact(1))), invalid},
		{insert(l.entry("mac", drop, exact(1, 1, 0, 0, 0, 0, 0, 0))), invalid},
		{insert(l.entry("mac", drop, ternary(1, []byte{7}, []byte{7}))), invalid},
		{insert(l.entry("mac", drop, &p4v1.FieldMatch{FieldId: 1})), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Priority = 1 })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.IsConst = true })), invalid},
		{insert(l.entry("route", drop, lpm(1, 0, 10, 0, 0, 0))), invalid},
		{insert(l.entry("route", drop, lpm(1, 33, 10, 0, 0, 0))), invalid},
		{insert(l.entry("route", drop, lpm(1, 8, 10, 0, 0, 1))), invalid},
		{insert(acl(0)), invalid},
		{insert(acl(-1)), invalid},
		{insert(acl(1, ternary(1, []byte{7}, []byte{3}))), invalid},
		{insert(acl(1, ternary(1, []byte{0}, []byte{0}))), invalid},
		{insert(acl(1, ternary(1, []byte{1}, nil))), invalid},
		{insert(acl(1, within(2, []byte{3}, []byte{2}))), invalid},
		{insert(acl(1, within(2, []byte{0}, []byte{1, 0xff}))), invalid},
		{insert(acl(1, within(2, []byte{0}, []byte{2, 0}))), invalid},
		{insert(acl(1, optional(3, 1, 0, 0))), invalid},
		{insert(l.entry("keyless", allow)), invalid},
		// actions
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = nil })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = &p4v1.TableAction{} })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = direct(&p4v1.Action{}) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = direct(l.action("learn")) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = forward() })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = forward(param(2, 1)) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = forward(param(1, 1), param(1, 1)) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = forward(param(1)) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.Action = forward(param(1, 2, 0)) })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) {
			e.Action = &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: 1}}
		})), invalid},
		{insert(l.entry("smac", direct(l.action("learn")), exact(1, 7))), codes.PermissionDenied},
		// direct resources and timeouts
		{insert(mac(func(e *p4v1.TableEntry) { e.IdleTimeoutNs = -1 })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{} })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.MeterConfig = &p4v1.MeterConfig{} })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.CounterData = &p4v1.CounterData{PacketCount: -1} })), invalid},
		{insert(mac(func(e *p4v1.TableEntry) { e.MeterCounterData = &p4v1.MeterCounterData{} })), codes.Unimplemented},
		{modify(&p4v1.DirectCounterEntry{TableEntry: l.macEntry(7, 0), Data: &p4v1.CounterData{}}), codes.NotFound},
		{insert(&p4v1.DirectCounterEntry{TableEntry: l.macEntry(1, 0)}), invalid},
		{modify(&p4v1.CounterEntry{CounterId: l.id("port_counter"), Index: &p4v1.Index{Index: 16}}), codes.OutOfRange},
		{modify(&p4v1.CounterEntry{CounterId: l.id("port_counter"), Index: &p4v1.Index{Index: -1}}), invalid},
		{insert(&p4v1.CounterEntry{CounterId: l.id("port_counter")}), invalid},
		{modify(&p4v1.CounterEntry{}), invalid},
		{modify(&p4v1.MeterEntry{MeterId: l.id("port_meter"), Config: &p4v1.MeterConfig{Cir: 2, Pir: 1}}), invalid},
		{modify(&p4v1.MeterEntry{MeterId: l.id("port_meter"), Config: &p4v1.MeterConfig{Cir: -2}}), invalid},
		// default and constant entries
		{insert(def("mac", drop)), invalid},
		{remove(def("mac", drop)), invalid},
		{modify(def("route", drop)), codes.PermissionDenied},
		{modify(def("ecmp", drop)), codes.PermissionDenied},
		{modify(def("mac", allow)), codes.PermissionDenied}, // table only
		{modify(func() *p4v1.TableEntry { e := def("mac", drop); e.Priority = 1; return e }()), invalid},
		{modify(func() *p4v1.TableEntry { e := def("mac", drop); e.IdleTimeoutNs = 1; return e }()), invalid},
		{insert(l.entry("fixed", drop, exact(1, 7))), codes.PermissionDenied},
		{remove(l.entry("fixed", nil, exact(1, 0x88, 0xcc))), codes.PermissionDenied},
		// profiles
		{insert(l.entry("indirect", drop, exact(1, 7))), invalid},
		{insert(l.entry("indirect", &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: 9}}, exact(1, 7))), codes.NotFound},
		{insert(l.entry("indirect", &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: 9}}, exact(1, 7))), invalid},
		{insert(l.entry("ecmp", &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: 9}}, exact(1, 7))), codes.NotFound},
		{insert(&p4v1.ActionProfileMember{ActionProfileId: l.id("profile"), Action: l.action("drop")}), invalid},
		{remove(&p4v1.ActionProfileMember{ActionProfileId: l.id("profile"), MemberId: 4}), codes.NotFound},
		{insert(&p4v1.ActionProfileGroup{ActionProfileId: l.id("profile"), GroupId: 1}), invalid},
		// replication
		{insert(&p4v1.MulticastGroupEntry{}), invalid},
		{insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(99, 1)}}), invalid},
		{insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1), replica(2, 1)}}), invalid},
		{insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1, 2)}}), invalid},
		{insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1<<16)}}), invalid},
		{remove(&p4v1.MulticastGroupEntry{MulticastGroupId: 1}), codes.NotFound},
		{insert(&p4v1.CloneSessionEntry{}), invalid},
		{modify(&p4v1.CloneSessionEntry{SessionId: 1}), codes.NotFound},
		// others
		{insert(&p4v1.DigestEntry{DigestId: 5}), invalid},
		{modify(&p4v1.DigestEntry{DigestId: l.id("learn_t")}), codes.NotFound},
		{modify(&p4v1.ValueSetEntry{ValueSetId: 1}), invalid},
		{modify(&p4v1.RegisterEntry{RegisterId: l.id("last"), Data: &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: []byte{0x10, 0, 0}}}}), invalid},
		{&p4v1.Update{Type: p4v1.Update_INSERT, Entity: &p4v1.Entity{Entity: &p4v1.Entity_ExternEntry{ExternEntry: &p4v1.ExternEntry{}}}}, codes.Unimplemented},
	} {
		before := l.read(everything()...)
		err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, tc.update)
		if diff := cmp.Diff([]codes.Code{tc.want}, codesOf(err)); diff != "" {
			t.Errorf("%d: %v: (-want +got):\n%s%v", i, tc.update, diff, explain(err))
		}
		if diff := cmp.Diff(before, l.read(everything()...), protocmp.Transform()); diff != "" {
			t.Errorf("%d: %v: a failed update left a trace:\n%s", i, tc.update, diff)
		}
	}
}

// everything reads all state.
func everything() []*p4v1.Entity {
	return []*p4v1.Entity{
		entity(&p4v1.TableEntry{CounterData: &p4v1.CounterData{}, MeterConfig: &p4v1.MeterConfig{}}),
		entity(&p4v1.TableEntry{IsDefaultAction: true}),
		entity(&p4v1.ActionProfileMember{}), entity(&p4v1.ActionProfileGroup{}),
		entity(&p4v1.CounterEntry{}), entity(&p4v1.MeterEntry{}), entity(&p4v1.RegisterEntry{}), entity(&p4v1.ValueSetEntry{}),
		entity(&p4v1.MulticastGroupEntry{}), entity(&p4v1.CloneSessionEntry{}), entity(&p4v1.DigestEntry{}),
	}
}

func TestBatchReportsEachUpdateInOrder(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR,
		insert(l.macEntry(1, 1)), insert(l.macEntry(1, 1)), remove(l.macEntry(2, 1)), insert(&p4v1.TableEntry{}), insert(l.macEntry(3, 1)))
	want := []codes.Code{codes.OK, codes.AlreadyExists, codes.NotFound, codes.InvalidArgument, codes.OK}
	if diff := cmp.Diff(want, codesOf(err)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if status.Code(err) != codes.Unknown {
		t.Errorf("overall code %v, want Unknown", status.Code(err))
	}
	if n := len(l.read(entity(l.entry("mac", nil)))); n != 2 {
		t.Errorf("%d entries, want 2: a failure must not stop the batch", n)
	}
}

func TestAtomicBatches(t *testing.T) {
	for _, mode := range []p4v1.WriteRequest_Atomicity{p4v1.WriteRequest_ROLLBACK_ON_ERROR, p4v1.WriteRequest_DATAPLANE_ATOMIC} {
		t.Run(mode.String(), func(t *testing.T) {
			l := newLab(t)
			c := l.primary()
			first := l.macEntry(1, 1)
			first.CounterData = &p4v1.CounterData{PacketCount: 5, ByteCount: 6}
			first.Metadata = []byte("first")
			second := l.macEntry(2, 1)
			group := &p4v1.MulticastGroupEntry{MulticastGroupId: 3, Replicas: []*p4v1.Replica{replica(1, 1)}}
			c.write(insert(first), insert(second), insert(group))
			def := l.entry("mac", direct(l.action("flood", []byte{3})))
			def.IsDefaultAction = true
			changed := proto.CloneOf(first)
			changed.Metadata, changed.CounterData = nil, &p4v1.CounterData{}
			batch := []*p4v1.Update{
				insert(l.macEntry(3, 1)), modify(changed), remove(second), modify(def),
				modify(&p4v1.MulticastGroupEntry{MulticastGroupId: 3, Replicas: []*p4v1.Replica{replica(2, 1)}}),
				modify(&p4v1.CounterEntry{CounterId: l.id("port_counter"), Data: &p4v1.CounterData{PacketCount: 9}}),
			}
			before := l.read(everything()...)
			err := c.tryWrite(mode, append(batch, remove(l.macEntry(9, 1)))...)
			want := []codes.Code{codes.Aborted, codes.Aborted, codes.Aborted, codes.Aborted, codes.Aborted, codes.Aborted, codes.NotFound}
			if diff := cmp.Diff(want, codesOf(err)); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, l.read(everything()...), sameSet()); diff != "" {
				t.Errorf("state after rollback (-want +got):\n%s", diff)
			}
			if err := c.tryWrite(mode, batch...); err != nil {
				t.Errorf("good batch: %v", explain(err))
			}
		})
	}
}

func TestTableFullIsResourceExhausted(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	var updates []*p4v1.Update
	var want []codes.Code
	for i := range 17 {
		updates = append(updates, insert(&p4v1.ActionProfileMember{ActionProfileId: l.id("profile"), MemberId: uint32(i + 1), Action: l.action("forward", []byte{1})}))
		want = append(want, codes.OK)
	}
	want[16] = codes.ResourceExhausted
	if diff := cmp.Diff(want, codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, updates...))); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	updates, want = nil, nil
	for i := range 65 {
		e := l.entry("smac", direct(l.action("allow")), exact(1, byte(i)))
		updates = append(updates, insert(e))
		want = append(want, codes.OK)
	}
	want[64] = codes.ResourceExhausted
	if diff := cmp.Diff(want, codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, updates...))); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestModifyKeepsWhatIsUnset(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	e := l.macEntry(1, 2)
	e.CounterData = &p4v1.CounterData{PacketCount: 4, ByteCount: 5}
	e.ControllerMetadata, e.Metadata, e.IdleTimeoutNs = 77, []byte("cookie"), 1e9
	c.write(insert(e))
	read := func() *p4v1.TableEntry {
		t.Helper()
		got := l.read(entity(&p4v1.TableEntry{TableId: e.TableId, Match: e.Match, CounterData: &p4v1.CounterData{}}))
		if len(got) != 1 {
			t.Fatalf("%d entries, want 1", len(got))
		}
		return got[0].GetTableEntry()
	}
	if diff := cmp.Diff(e, read(), protocmp.Transform()); diff != "" {
		t.Errorf("inserted (-want +got):\n%s", diff)
	}
	// Unset counter_data leaves the counter, unset action leaves the entry.
	next := l.macEntry(1, 3)
	c.write(modify(next))
	next.CounterData = e.CounterData
	if diff := cmp.Diff(next, read(), protocmp.Transform()); diff != "" {
		t.Errorf("modified (-want +got):\n%s", diff)
	}
	counter := l.macEntry(1, 3)
	counter.Action, counter.CounterData = nil, &p4v1.CounterData{PacketCount: 1}
	c.write(modify(counter))
	next.CounterData = counter.CounterData
	if diff := cmp.Diff(next, read(), protocmp.Transform()); diff != "" {
		t.Errorf("counter only (-want +got):\n%s", diff)
	}
	// DELETE looks at the key only.
	junk := l.macEntry(1, 3)
	junk.Action, junk.IdleTimeoutNs, junk.MeterConfig = direct(&p4v1.Action{ActionId: 5}), -3, &p4v1.MeterConfig{}
	c.write(remove(junk))
}

func TestDefaultEntry(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	def := l.entry("mac", direct(l.action("forward", []byte{3})))
	def.IsDefaultAction, def.Metadata = true, []byte("d")
	original := l.read(entity(&p4v1.TableEntry{TableId: def.TableId, IsDefaultAction: true}))
	c.write(modify(def))
	got := l.read(entity(&p4v1.TableEntry{TableId: def.TableId, IsDefaultAction: true}))
	if diff := cmp.Diff([]*p4v1.Entity{entity(def)}, got, protocmp.Transform()); diff != "" {
		t.Errorf("default entry (-want +got):\n%s", diff)
	}
	in := frame(200, 1)
	l.inject(1, in)
	l.frames(3, 1)
	reset := l.entry("mac", nil)
	reset.IsDefaultAction = true
	c.write(modify(reset))
	got = l.read(entity(&p4v1.TableEntry{TableId: def.TableId, IsDefaultAction: true}))
	if diff := cmp.Diff(original, got, protocmp.Transform()); diff != "" {
		t.Errorf("reset default entry (-want +got):\n%s", diff)
	}
}
