package softswitch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// objects is a model of what a target holds beside plain table entries: members and groups
// of a selector, the entries that refer to them, multicast groups, clone sessions, meters.
type objects struct {
	*lab
	*chooser
	t      *testing.T
	target *target
	holds  map[string]*p4v1.Entity
	met    map[codes.Code]int
	clean  bool // the target is as at the beginning
}

const (
	objectMembers = 5
	objectGroups  = 3
	objectCells   = 8 // of port_meter
)

func memberKey(id uint32) string { return fmt.Sprint("member ", id) }
func groupKey(id uint32) string  { return fmt.Sprint("group ", id) }

// referred counts what refers to a member or a group.
func (m *objects) referred(member, group uint32) (n int) {
	for _, e := range m.holds {
		for _, x := range e.GetActionProfileGroup().GetMembers() {
			if member != 0 && x.GetMemberId() == member {
				n++
			}
		}
		a := e.GetTableEntry().GetAction()
		if member != 0 && a.GetActionProfileMemberId() == member || group != 0 && a.GetActionProfileGroupId() == group {
			n++
		}
	}
	return n
}

// attempt is an update with what becomes of it if the object is there, or not there, as the
// update wants it.
type attempt struct {
	key    string
	entity *p4v1.Entity
	put    codes.Code // of an INSERT or MODIFY
	drop   codes.Code // of a DELETE
}

func (m *objects) memberAttempt() attempt {
	id := uint32(1 + m.upTo(objectMembers))
	a := attempt{key: memberKey(id), entity: entity(m.member("ecmp_selector", id, 1+m.next()&3))}
	switch m.upTo(8) {
	case 0:
		a.entity.GetActionProfileMember().Action = nil
		a.put = codes.InvalidArgument
	case 1:
		a.entity.GetActionProfileMember().Action = m.action("punt", []byte{1}, []byte{1})
		a.put = codes.InvalidArgument
	}
	if m.referred(id, 0) > 0 {
		a.drop = codes.FailedPrecondition
	}
	return a
}

func (m *objects) groupAttempt() attempt {
	id := uint32(1 + m.upTo(objectGroups))
	g := m.lab.group(id)
	a := attempt{key: groupKey(id), entity: entity(g)}
	total, seen, absent := int32(0), map[uint32]bool{}, false
	for range m.upTo(4) {
		x := groupMember(uint32(1+m.upTo(objectMembers)), int32(m.upTo(5)), byte(m.upTo(5)))
		g.Members = append(g.Members, x)
		if seen[x.MemberId] || x.Weight == 0 {
			a.put = codes.InvalidArgument
		}
		seen[x.MemberId] = true
		total += x.Weight
		absent = absent || m.holds[memberKey(x.MemberId)] == nil
	}
	switch {
	case a.put != codes.OK:
	case total > g.MaxSize:
		a.put = codes.ResourceExhausted
	case absent:
		a.put = codes.NotFound
	}
	if m.referred(0, id) > 0 {
		a.drop = codes.FailedPrecondition
	}
	return a
}

func (m *objects) entryAttempt() attempt {
	key := byte(1 + m.upTo(4))
	id := uint32(1 + m.upTo(objectMembers))
	a := attempt{key: fmt.Sprint("entry ", key)}
	action := &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: id}}
	target := memberKey(id)
	if m.upTo(2) == 0 {
		id = uint32(1 + m.upTo(objectGroups))
		action, target = toGroup(id), groupKey(id)
	}
	if m.holds[target] == nil {
		a.put = codes.NotFound
	}
	a.entity = entity(m.lab.entry("ecmp", action, exact(1, key)))
	return a
}

// someReplicas are replicas, and whether a target must refuse them.
func (m *objects) someReplicas() (list []*p4v1.Replica, bad bool) {
	seen := map[[2]uint32]bool{}
	for range m.upTo(4) {
		port, instance := byte(1+m.upTo(5)), uint32(m.upTo(3))
		bad = bad || port == 5 || seen[[2]uint32{uint32(port), instance}]
		seen[[2]uint32{uint32(port), instance}] = true
		list = append(list, replica(port, instance))
	}
	return list, bad
}

func (m *objects) multicastAttempt() attempt {
	id := uint32(1 + m.upTo(3))
	list, bad := m.someReplicas()
	a := attempt{key: fmt.Sprint("multicast ", id), entity: entity(&p4v1.MulticastGroupEntry{MulticastGroupId: id, Replicas: list})}
	if bad {
		a.put = codes.InvalidArgument
	}
	return a
}

func (m *objects) cloneAttempt() attempt {
	id := uint32(1 + m.upTo(3))
	list, bad := m.someReplicas()
	c := &p4v1.CloneSessionEntry{SessionId: id, Replicas: list, ClassOfService: uint32(m.upTo(9)), PacketLengthBytes: int32(m.upTo(200)) - 5}
	a := attempt{key: fmt.Sprint("clone ", id), entity: entity(c)}
	if bad || c.ClassOfService > 7 || c.PacketLengthBytes < 0 {
		a.put = codes.InvalidArgument
	}
	return a
}

// step makes an update, predicts its fate and carries it out; or a port goes up or down,
// of which nothing that reads back depends.
func (m *objects) step() {
	kind := p4v1.Update_Type(1 + m.upTo(3))
	var a attempt
	switch m.upTo(8) {
	case 0:
		m.ends[uint16(1+m.upTo(4))].SetUp(m.upTo(2) == 0)
		m.server.watchPorts()
		m.target.portsChanged()
		return
	case 1, 2:
		a = m.memberAttempt()
	case 3:
		a = m.groupAttempt()
	case 4:
		a = m.entryAttempt()
	case 5:
		a = m.multicastAttempt()
	case 6:
		a = m.cloneAttempt()
	default:
		m.meter(kind)
		return
	}
	there := m.holds[a.key] != nil
	want := a.put
	switch {
	case kind == p4v1.Update_INSERT && there:
		want = codes.AlreadyExists
	case kind != p4v1.Update_INSERT && !there:
		want = codes.NotFound
	case kind == p4v1.Update_DELETE:
		want = a.drop
	}
	if a.put == codes.InvalidArgument && want != a.put && kind != p4v1.Update_DELETE {
		return // wrong in two ways: either answer is right
	}
	if !m.write(kind, a.entity, want) {
		return
	}
	if kind == p4v1.Update_DELETE {
		delete(m.holds, a.key)
	} else {
		m.holds[a.key] = proto.CloneOf(a.entity)
	}
}

// meter sets or resets a cell, or all.
func (m *objects) meter(kind p4v1.Update_Type) {
	e := &p4v1.MeterEntry{MeterId: m.id("port_meter"), Index: &p4v1.Index{Index: int64(m.upTo(objectCells+2)) - 1}}
	if m.upTo(3) > 0 {
		e.Config = &p4v1.MeterConfig{Cir: int64(m.next()), Cburst: 1 + int64(m.next()), Pir: int64(m.next()), Pburst: 1 + int64(m.next())}
	}
	want := codes.OK
	switch at := e.Index.Index; {
	case kind != p4v1.Update_MODIFY, e.Config.GetPir() < e.Config.GetCir():
		want = codes.InvalidArgument
	case at < 0:
		want = codes.InvalidArgument
	case at >= objectCells:
		want = codes.OutOfRange
	}
	if want != codes.OutOfRange && m.upTo(4) == 0 {
		if e.Index = nil; kind == p4v1.Update_MODIFY && e.Config.GetPir() >= e.Config.GetCir() {
			want = codes.OK
		}
	}
	if !m.write(kind, entity(e), want) {
		return
	}
	for i := range int64(objectCells) {
		if e.Index == nil || e.Index.Index == i {
			m.holds[fmt.Sprint("meter ", i)] = entity(&p4v1.MeterEntry{MeterId: e.MeterId, Index: &p4v1.Index{Index: i}, Config: e.Config})
		}
	}
}

// write carries out an update and tells whether it succeeded.
func (m *objects) write(kind p4v1.Update_Type, e *p4v1.Entity, want codes.Code) bool {
	got := codes.OK
	err := m.target.write(nil, &p4v1.Update{Type: kind, Entity: e})
	if err != nil {
		got = faultOf(err).code
	}
	if got != want {
		m.t.Fatalf("%v: %v (%v), want %v: %v", kind, got, err, want, e)
	}
	m.met[got]++
	return got == codes.OK
}

// keyOfObject names an entity that was read.
func keyOfObject(e *p4v1.Entity) string {
	switch {
	case e.GetActionProfileMember() != nil:
		return memberKey(e.GetActionProfileMember().GetMemberId())
	case e.GetActionProfileGroup() != nil:
		return groupKey(e.GetActionProfileGroup().GetGroupId())
	case e.GetTableEntry() != nil:
		return fmt.Sprint("entry ", e.GetTableEntry().GetMatch()[0].GetExact().GetValue()[0])
	case e.GetMeterEntry() != nil:
		return fmt.Sprint("meter ", e.GetMeterEntry().GetIndex().GetIndex())
	}
	p := e.GetPacketReplicationEngineEntry()
	if g := p.GetMulticastGroupEntry(); g != nil {
		return fmt.Sprint("multicast ", g.GetMulticastGroupId())
	}
	return fmt.Sprint("clone ", p.GetCloneSessionEntry().GetSessionId())
}

// check compares what reads back with the model.
func (m *objects) check() {
	seen := map[string]bool{}
	for _, query := range []*p4v1.Entity{entity(&p4v1.ActionProfileMember{}), entity(&p4v1.ActionProfileGroup{}), entity(m.lab.entry("ecmp", nil)),
		entity(&p4v1.MulticastGroupEntry{}), entity(&p4v1.CloneSessionEntry{}), entity(&p4v1.MeterEntry{MeterId: m.id("port_meter")})} {
		err := m.target.read(nil, query, func(e *p4v1.Entity) error {
			key := keyOfObject(e)
			want := m.holds[key]
			if want == nil && e.GetMeterEntry() != nil && e.GetMeterEntry().Config == nil {
				return nil // it was never set
			}
			if seen[key] = true; want == nil || !proto.Equal(want, e) {
				m.t.Fatalf("%s reads back (-want +got):\n%s", key, cmp.Diff(want, e, protocmp.Transform()))
			}
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	for key, e := range m.holds {
		if !seen[key] {
			m.t.Fatalf("%s does not read back: %v", key, e)
		}
	}
}

// clear takes everything away, what refers to others first, and checks that nothing is left.
func (m *objects) clear() {
	for _, of := range []func(e *p4v1.Entity) bool{
		func(e *p4v1.Entity) bool {
			return e.GetTableEntry() != nil || e.GetPacketReplicationEngineEntry() != nil
		},
		func(e *p4v1.Entity) bool { return e.GetActionProfileGroup() != nil },
		func(e *p4v1.Entity) bool { return e.GetActionProfileMember() != nil },
	} {
		for key, e := range m.holds {
			if of(e) {
				m.write(p4v1.Update_DELETE, e, codes.OK)
				delete(m.holds, key)
			}
		}
	}
	m.write(p4v1.Update_MODIFY, entity(&p4v1.MeterEntry{MeterId: m.id("port_meter")}), codes.OK)
	for i := range objectCells {
		delete(m.holds, fmt.Sprint("meter ", i))
	}
	for _, end := range m.ends {
		end.SetUp(true)
	}
	m.server.watchPorts()
	m.check()
}

func newObjects(t testing.TB) *objects {
	l := newLab(t)
	l.primary()
	return &objects{lab: l, met: map[codes.Code]int{}}
}

// run runs a script from nothing to nothing.
func (m *objects) run(t *testing.T, script []byte) {
	m.t, m.chooser = t, &chooser{script[:min(len(script), 4096)]}
	if !m.clean {
		var err error
		if m.target, err = m.server.newTarget(probeConfig(t)); err != nil {
			t.Fatal(err)
		}
		m.holds = map[string]*p4v1.Entity{}
	}
	m.clean = false
	for len(m.script) > 0 {
		m.step()
	}
	m.check()
	m.clear()
	m.clean = true
}

func scripts(n int) (out [][]byte) {
	for seed := range n {
		script := make([]byte, 600)
		x := uint32(seed) + 1
		for i := range script {
			x = x*1664525 + 1013904223
			script[i] = byte(x >> 24)
		}
		out = append(out, script)
	}
	return out
}

// FuzzObjects is FuzzModel for members, groups, replication and meters, also while ports go
// up and down.
func FuzzObjects(f *testing.F) {
	m := newObjects(f)
	for _, s := range scripts(40) {
		f.Add(s)
	}
	f.Fuzz(m.run)
}

// TestObjectsMeetEverything: the seeds of FuzzObjects lead to every answer.
func TestObjectsMeetEverything(t *testing.T) {
	m := newObjects(t)
	for _, s := range scripts(40) {
		m.run(t, s)
	}
	for _, c := range []codes.Code{codes.OK, codes.AlreadyExists, codes.NotFound, codes.InvalidArgument, codes.FailedPrecondition, codes.ResourceExhausted, codes.OutOfRange} {
		if m.met[c] == 0 {
			t.Errorf("nothing was %v", c)
		}
	}
}
