package softswitch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func toMember(id uint32) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: id}}
}

func toGroup(id uint32) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: id}}
}

func (l *lab) member(profile string, id uint32, port byte) *p4v1.ActionProfileMember {
	return &p4v1.ActionProfileMember{ActionProfileId: l.id(profile), MemberId: id, Action: l.action("forward", []byte{port})}
}

func groupMember(id uint32, weight int32, watch byte) *p4v1.ActionProfileGroup_Member {
	m := &p4v1.ActionProfileGroup_Member{MemberId: id, Weight: weight}
	if watch != 0 {
		m.WatchKind = &p4v1.ActionProfileGroup_Member_WatchPort{WatchPort: []byte{watch}}
	}
	return m
}

func (l *lab) group(id uint32, members ...*p4v1.ActionProfileGroup_Member) *p4v1.ActionProfileGroup {
	return &p4v1.ActionProfileGroup{ActionProfileId: l.id("ecmp_selector"), GroupId: id, MaxSize: 8, Members: members}
}

func TestMembersAndGroups(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	one := func(want codes.Code, u *p4v1.Update) {
		t.Helper()
		var codesWanted []codes.Code
		if want != codes.OK {
			codesWanted = []codes.Code{want}
		}
		err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, u)
		if diff := cmp.Diff(codesWanted, codesOf(err)); diff != "" {
			t.Errorf("%v (-want +got):\n%s%v", u, diff, err)
		}
	}
	m1, m2 := l.member("ecmp_selector", 1, 2), l.member("ecmp_selector", 2, 3)
	one(codes.OK, insert(m1))
	one(codes.OK, insert(m2))
	one(codes.AlreadyExists, insert(m1))
	one(codes.NotFound, insert(l.group(5, groupMember(9, 1, 0))))
	g := l.group(5, groupMember(1, 2, 2), groupMember(2, 1, 0))
	one(codes.OK, insert(g))
	one(codes.AlreadyExists, insert(g))
	one(codes.InvalidArgument, insert(l.group(6, groupMember(1, 1, 0), groupMember(1, 1, 0))))
	one(codes.InvalidArgument, insert(l.group(6, groupMember(1, 0, 0))))
	one(codes.InvalidArgument, insert(l.group(6, groupMember(1, 1, 77))))
	one(codes.ResourceExhausted, insert(l.group(6, groupMember(1, 9, 0))))
	grown := proto.CloneOf(g)
	grown.MaxSize++
	one(codes.InvalidArgument, modify(grown))
	one(codes.NotFound, modify(l.group(6)))
	one(codes.FailedPrecondition, remove(m1))
	entry := l.entry("ecmp", toGroup(5), exact(1, 0x12, 0x34))
	one(codes.OK, insert(entry))
	one(codes.FailedPrecondition, remove(g))
	got := l.read(entity(&p4v1.ActionProfileMember{}), entity(&p4v1.ActionProfileGroup{}), entity(l.entry("ecmp", nil)))
	want := []*p4v1.Entity{entity(m1), entity(m2), entity(g), entity(entry)}
	if diff := cmp.Diff(want, got, sameSet()); diff != "" {
		t.Errorf("reads back (-want +got):\n%s", diff)
	}

	c.write(modify(l.group(5, groupMember(1, 1, 2))), modify(l.member("ecmp_selector", 1, 3)))
	in := frame(0x66, 1)
	l.inject(1, in)
	l.frames(3, 1)
	l.ends[2].SetUp(false) // the member watches port 2
	l.server.sweep()
	l.inject(1, in)
	l.ends[2].SetUp(true)
	l.server.sweep()
	one(codes.OK, remove(entry))
	one(codes.OK, remove(g))
	one(codes.OK, remove(m1))
}

func TestOneShotIsOneEntity(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	set := func(ports ...byte) *p4v1.TableAction {
		s := &p4v1.ActionProfileActionSet{}
		for _, p := range ports {
			s.ActionProfileActions = append(s.ActionProfileActions, &p4v1.ActionProfileAction{Action: l.action("forward", []byte{p}), Weight: 2,
				WatchKind: &p4v1.ActionProfileAction_WatchPort{WatchPort: []byte{p}}})
		}
		return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: s}}
	}
	e := l.entry("ecmp", set(2, 3, 4), exact(1, 0x12, 0x34))
	c.write(insert(e))
	check := func() {
		t.Helper()
		got := l.read(entity(&p4v1.ActionProfileMember{}), entity(&p4v1.ActionProfileGroup{}), entity(l.entry("ecmp", nil)))
		if diff := cmp.Diff(entities(e), got, protocmp.Transform()); diff != "" {
			t.Errorf("reads back (-want +got):\n%s", diff)
		}
	}
	check()
	if err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, insert(e)); codesOf(err)[0] != codes.AlreadyExists {
		t.Errorf("second insert: %v", err)
	}
	check()
	e = l.entry("ecmp", set(4), exact(1, 0x12, 0x34))
	c.write(modify(e))
	check()
	l.inject(1, frame(0x66, 1))
	l.frames(4, 1)
	e = l.entry("ecmp", set(3, 4), exact(1, 0x12, 0x34))
	c.write(modify(e))
	l.ends[4].SetUp(false)
	l.server.sweep()
	for range 4 {
		l.inject(1, frame(0x66, 1))
	}
	l.frames(3, 4)
	c.write(remove(e))
	// Nothing is left behind: the selector's 64 places are all free.
	for i := range 64 {
		c.write(insert(l.member("ecmp_selector", uint32(i+1), 2)))
	}
	too := l.entry("ecmp", set(2, 2, 2, 2, 2, 2, 2, 2, 2), exact(1, 1)) // 18 > max_group_size
	if err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, insert(too)); codesOf(err)[0] != codes.InvalidArgument {
		t.Errorf("too large a set: %v", explain(err))
	}
}

func TestMembersWithoutGroups(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.member("profile", 1, 2)))
	c.write(insert(l.entry("indirect", toMember(1), exact(1, 0x12, 0x34))))
	l.inject(1, frame(0x66, 1))
	l.frames(2, 1)
	if err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, remove(l.member("profile", 1, 2))); codesOf(err)[0] != codes.FailedPrecondition {
		t.Errorf("member in use: %v", err)
	}
}

// TestMemberOfSilentPortIsHeld: a member whose port is down is still of its group.
func TestMemberOfSilentPortIsHeld(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	c.write(insert(l.member("ecmp_selector", 1, 1)))
	l.ends[1].SetUp(false)
	l.server.watchPorts()
	c.write(insert(l.group(3, groupMember(1, 1, 1))))
	if got := codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, remove(l.member("ecmp_selector", 1, 1)))); len(got) != 1 || got[0] != codes.FailedPrecondition {
		t.Errorf("delete: %v, want FailedPrecondition", got)
	}
}
