package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// firstHiddenID begins the range of member and group ids that one-shot entries use
// behind the scenes; clients cannot use or see it.
const firstHiddenID = 0xc0000000

// oneShot is a group, with its members, that belongs to one table entry.
type oneShot struct {
	group   uint32
	set     *p4v1.ActionProfileActionSet // as it reads back
	members []watchedMember
}

// watchedMember is a group member that counts only while its port is up.
type watchedMember struct {
	pipeline.GroupMember
	watched bool
	port    uint16
}

func (t *target) profile(id uint32) (*boundProfile, error) {
	if p := t.profiles[id]; p != nil {
		return p, nil
	}
	return nil, unknownID("action profile", id)
}

// writeMember carries out an update of an action profile member.
func (t *target) writeMember(kind p4v1.Update_Type, m *p4v1.ActionProfileMember) error {
	p, err := t.profile(m.GetActionProfileId())
	if err != nil {
		return err
	}
	if err := checkMemberID("member", m.GetMemberId()); err != nil {
		return err
	}
	if kind == p4v1.Update_DELETE {
		err := p.core.DeleteMember(m.GetMemberId())
		if err == nil {
			p.members--
		}
		return err
	}
	if m.GetAction() == nil {
		return invalidf("action is missing")
	}
	ref, params, err := t.decodeAction(p.actions, m.GetAction())
	if err != nil {
		return err
	}
	if len(p.oneShots) > 0 && kind == p4v1.Update_INSERT {
		return errMixed(p)
	}
	member := pipeline.Member{ID: m.GetMemberId(), Action: ref.name, Params: params}
	if kind == p4v1.Update_MODIFY {
		return p.core.ModifyMember(member)
	}
	if err := p.core.InsertMember(member); err != nil {
		return err
	}
	p.members++
	return nil
}

// errMixed refuses to program a selector in both styles (P4Runtime spec, "One Shot Action
// Selector Programming").
func errMixed(p *boundProfile) error {
	return invalidf("action profile %s: one-shots don't go with members and groups", p.name)
}

// hasMembers tells whether a client has made members or groups.
func (p *boundProfile) hasMembers() bool { return p.members > 0 || len(p.groups) > 0 }

func checkMemberID(what string, id uint32) error {
	switch {
	case id == 0:
		return unknownID(what, 0)
	case id >= firstHiddenID:
		return invalidf("%s id %d: ids from %d are reserved", what, id, uint32(firstHiddenID))
	}
	return nil
}

// writeGroup carries out an update of an action profile group.
func (t *target) writeGroup(kind p4v1.Update_Type, g *p4v1.ActionProfileGroup) error {
	p, err := t.profile(g.GetActionProfileId())
	if err != nil {
		return err
	}
	if !p.selector {
		return invalidf("action profile %s has no groups", p.name)
	}
	id := g.GetGroupId()
	if err := checkMemberID("group", id); err != nil {
		return err
	}
	if kind == p4v1.Update_DELETE {
		if err := p.core.DeleteGroup(id); err != nil {
			return err
		}
		delete(p.groups, id)
		return nil
	}
	old := p.groups[id]
	switch {
	case kind == p4v1.Update_INSERT && len(p.oneShots) > 0:
		return errMixed(p)
	case kind == p4v1.Update_INSERT && old != nil:
		return faultf(codes.AlreadyExists, "group %d already exists", id)
	case kind == p4v1.Update_MODIFY && old == nil:
		return faultf(codes.NotFound, "group %d does not exist", id)
	case old != nil && old.GetMaxSize() != g.GetMaxSize():
		return invalidf("max_size of group %d is %d and cannot change", id, old.GetMaxSize())
	}
	if err := t.checkGroup(p, g); err != nil {
		return err
	}
	for _, m := range g.GetMembers() { // also those whose port is down must exist
		if _, ok := p.core.Member(m.GetMemberId()); !ok {
			return faultf(codes.NotFound, "member %d does not exist", m.GetMemberId())
		}
	}
	members := t.groupMembers(g)
	put := p.core.InsertGroup
	if old != nil {
		put = p.core.ModifyGroup
	}
	if err := put(pipeline.Group{ID: id, Members: t.alive(members)}); err != nil {
		return err
	}
	p.groups[id] = proto.CloneOf(g)
	return nil
}

// checkGroup checks sizes, weights, duplicates and ports of a group.
func (t *target) checkGroup(p *boundProfile, g *p4v1.ActionProfileGroup) error {
	switch size := g.GetMaxSize(); {
	case size < 0, p.maxGroupSize > 0 && (size == 0 || size > p.maxGroupSize):
		return invalidf("max_size %d is not in 1…%d", size, p.maxGroupSize)
	}
	seen := make(map[uint32]bool, len(g.GetMembers()))
	size := int64(0)
	for _, m := range g.GetMembers() {
		if err := checkMemberID("member", m.GetMemberId()); err != nil {
			return err
		}
		if seen[m.GetMemberId()] {
			return invalidf("member %d is there twice", m.GetMemberId())
		}
		seen[m.GetMemberId()] = true
		if err := p.checkWeight(m.GetWeight()); err != nil {
			return err
		}
		if _, _, err := t.watchPort(m.GetWatchPort(), m.GetWatch()); err != nil {
			return err
		}
		size += p.share(m.GetWeight())
	}
	if limit := int64(g.GetMaxSize()); limit > 0 && size > limit {
		return faultf(codes.ResourceExhausted, "group of size %d, max_size %d", size, limit)
	}
	return nil
}

// checkWeight checks the weight of a member.
func (p *profileSchema) checkWeight(weight int32) error {
	switch {
	case p.noWeights && weight != 0:
		return invalidf("weight %d: weights are not allowed", weight)
	case !p.noWeights && weight <= 0:
		return invalidf("weight %d: want a positive one", weight)
	case p.sumOfMembers && p.maxWeight > 0 && weight > p.maxWeight:
		return invalidf("weight %d is beyond %d", weight, p.maxWeight)
	}
	return nil
}

// share is what a member counts towards the size of its group.
func (p *profileSchema) share(weight int32) int64 {
	if p.sumOfMembers {
		return 1
	}
	return int64(max(weight, 1))
}

// watchPort is the port that a member's life depends on, in either encoding.
func (t *target) watchPort(b []byte, number int32) (watched bool, n uint16, err error) {
	switch {
	case len(b) > 0:
		if n, err = t.portOf(b); err != nil {
			return false, 0, err
		}
	case number == 0:
		return false, 0, nil
	case number < 0 || number > 0xffff:
		return false, 0, invalidf("watch port %d is not a port", number)
	default:
		n = uint16(number)
	}
	if !t.server.hasPort(n) {
		return false, 0, invalidf("watch port %d does not exist", n)
	}
	return true, n, nil
}

// groupMembers converts the members of a checked group.
func (t *target) groupMembers(g *p4v1.ActionProfileGroup) []watchedMember {
	out := make([]watchedMember, len(g.GetMembers()))
	for i, m := range g.GetMembers() {
		out[i].Member, out[i].Weight = m.GetMemberId(), max(1, int(m.GetWeight()))
		out[i].watched, out[i].port, _ = t.watchPort(m.GetWatchPort(), m.GetWatch())
	}
	return out
}

// alive are the members, those whose ports are down without weight: they get no packets,
// but stay in the group.
func (t *target) alive(members []watchedMember) []pipeline.GroupMember {
	out := make([]pipeline.GroupMember, len(members))
	for i, m := range members {
		if out[i] = m.GroupMember; m.watched && !t.server.portUp(m.port) {
			out[i].Weight = 0
		}
	}
	return out
}

// indirect sets the member or group of an entry of an indirect table. For a one-shot it
// makes the hidden group and returns it.
func (t *target) indirect(b *boundTable, action *p4v1.TableAction, entry *pipeline.Entry) (*oneShot, error) {
	if b.profile == nil {
		return nil, invalidf("table %s takes actions", b.name)
	}
	p := t.profiles[b.profile.id]
	switch a := action.GetType().(type) {
	case *p4v1.TableAction_ActionProfileMemberId:
		entry.Member = a.ActionProfileMemberId
		return nil, checkMemberID("member", entry.Member)
	case *p4v1.TableAction_ActionProfileGroupId:
		if !p.selector {
			return nil, invalidf("action profile %s has no groups", p.name)
		}
		entry.Group = a.ActionProfileGroupId
		return nil, checkMemberID("group", entry.Group)
	case *p4v1.TableAction_ActionProfileActionSet:
		if !p.selector {
			return nil, invalidf("action profile %s has no groups", p.name)
		}
		x, err := t.makeOneShot(p, a.ActionProfileActionSet)
		if err != nil {
			return nil, err
		}
		entry.Group = x.group
		return x, nil
	}
	return nil, invalidf("action is empty or not known")
}

// makeOneShot makes the hidden members and group of an action set.
func (t *target) makeOneShot(p *boundProfile, set *p4v1.ActionProfileActionSet) (*oneShot, error) {
	if set.GetActionSelectionMode() != p4v1.ActionProfileActionSet_DEFAULT_MODE_DETERMINED_BY_ACTION_SELECTOR {
		return nil, faultf(codes.Unimplemented, "this target has no selection mode per group")
	}
	if err := p.checkSetSize(set); err != nil {
		return nil, err
	}
	if p.hasMembers() {
		return nil, errMixed(p)
	}
	x := &oneShot{set: proto.CloneOf(set)}
	for _, a := range set.GetActionProfileActions() {
		if err := t.addHidden(p, x, a); err != nil {
			t.freeOneShot(p, x)
			return nil, err
		}
	}
	x.group = p.hiddenID()
	if err := p.core.InsertGroup(pipeline.Group{ID: x.group, Members: t.alive(x.members)}); err != nil {
		x.group = 0
		t.freeOneShot(p, x)
		return nil, err
	}
	p.oneShots[x.group] = x
	return x, nil
}

// checkSetSize checks the size of an action set by the semantics that hold for it.
func (p *boundProfile) checkSetSize(set *p4v1.ActionProfileActionSet) error {
	rules := *p.profileSchema
	switch set.GetSizeSemantics() {
	case p4v1.ActionProfileActionSet_SUM_OF_WEIGHTS:
		rules.sumOfMembers = false
	case p4v1.ActionProfileActionSet_SUM_OF_MEMBERS:
		rules.sumOfMembers = true
	}
	if rules.sumOfMembers != p.sumOfMembers {
		return faultf(codes.Unimplemented, "this target has no size semantics per group")
	}
	size := int64(0)
	for _, a := range set.GetActionProfileActions() {
		if err := rules.checkWeight(a.GetWeight()); err != nil {
			return err
		}
		size += rules.share(a.GetWeight())
	}
	if p.maxGroupSize > 0 && size > int64(p.maxGroupSize) {
		return invalidf("action set of size %d, largest %d", size, p.maxGroupSize)
	}
	return nil
}

// addHidden makes one hidden member.
func (t *target) addHidden(p *boundProfile, x *oneShot, a *p4v1.ActionProfileAction) error {
	ref, params, err := t.decodeAction(p.actions, a.GetAction())
	if err != nil {
		return err
	}
	m := watchedMember{GroupMember: pipeline.GroupMember{Weight: max(1, int(a.GetWeight()))}}
	if m.watched, m.port, err = t.watchPort(a.GetWatchPort(), a.GetWatch()); err != nil {
		return err
	}
	m.Member = p.hiddenID()
	if err := p.core.InsertMember(pipeline.Member{ID: m.Member, Action: ref.name, Params: params}); err != nil {
		return err
	}
	x.members = append(x.members, m)
	return nil
}

// hiddenID finds an id that is free for a hidden member and group alike.
func (p *boundProfile) hiddenID() uint32 {
	for {
		id := p.nextID
		if p.nextID++; p.nextID < firstHiddenID {
			p.nextID = firstHiddenID
		}
		if _, used := p.core.Member(id); used {
			continue
		}
		if p.oneShots[id] == nil {
			return id
		}
	}
}

// oneShotOf is the one-shot of an entry that is there, or nil.
func (t *target) oneShotOf(b *boundTable, match []pipeline.FieldMatch, priority int32) *oneShot {
	if b.profile == nil || len(t.profiles[b.profile.id].oneShots) == 0 {
		return nil
	}
	e, ok := b.core.Read(match, priority)
	if !ok {
		return nil
	}
	return t.profiles[b.profile.id].oneShots[e.Group]
}

// dropOneShot frees a one-shot that no entry refers to any more.
func (t *target) dropOneShot(b *boundTable, x *oneShot) {
	if x != nil {
		t.freeOneShot(t.profiles[b.profile.id], x)
	}
}

func (t *target) freeOneShot(p *boundProfile, x *oneShot) {
	if x.group != 0 {
		if err := p.core.DeleteGroup(x.group); err != nil {
			t.server.log.Error("one-shot group stays", "profile", p.name, "err", err)
		}
		delete(p.oneShots, x.group)
	}
	for _, m := range x.members {
		if err := p.core.DeleteMember(m.Member); err != nil {
			t.server.log.Error("one-shot member stays", "profile", p.name, "err", err)
		}
	}
}

// groupsChanged recomputes which members of groups are alive.
func (p *boundProfile) groupsChanged(t *target) {
	modify := func(id uint32, members []watchedMember) {
		if err := p.core.ModifyGroup(pipeline.Group{ID: id, Members: t.alive(members)}); err != nil {
			t.server.log.Error("group does not follow its ports", "profile", p.name, "group", id, "err", err)
		}
	}
	for id, g := range p.groups {
		modify(id, t.groupMembers(g))
	}
	for id, x := range p.oneShots {
		modify(id, x.members)
	}
}
