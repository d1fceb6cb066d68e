package pipeline

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// profileDef is the immutable part of an action profile.
type profileDef struct {
	name     string
	size     int
	actions  []*action
	selector *calc // nil: no groups
}

func (d *profileDef) allow(a *action) {
	if !slices.Contains(d.actions, a) {
		d.actions = append(d.actions, a)
	}
}

// Profile is an action profile or selector.
type Profile struct {
	d       *profileDef
	mu      sync.Mutex
	members map[uint32]*member
	groups  map[uint32]*group
}

// member is shared by all entries and groups that refer to it.
type member struct {
	id   uint32
	bind atomic.Pointer[binding]
	refs int
}

// group: buckets hold each member as often as its weight.
type group struct {
	id      uint32
	buckets atomic.Pointer[[]*member]
	conf    Group
	refs    int
}

const maxBuckets = 1 << 16

// choose picks the binding of an indirect entry; nil if its group is empty.
func (p *Profile) choose(c *ctx, e *rare) *binding {
	m := e.member
	if e.group != nil {
		b := *e.group.buckets.Load()
		if len(b) == 0 {
			return nil
		}
		m = b[p.d.selector.compute(c)%uint64(len(b))]
	}
	return m.bind.Load()
}

func newProfile(d *profileDef) *Profile {
	return &Profile{d: d, members: map[uint32]*member{}, groups: map[uint32]*group{}}
}

// refer looks up what an entry refers to and holds it.
func (p *Profile) refer(id, gid uint32) (*member, *group, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if gid != 0 {
		g := p.groups[gid]
		if g == nil {
			return nil, nil, fmt.Errorf("%s: group %d %w", p.d.name, gid, ErrNotFound)
		}
		g.refs++
		return nil, g, nil
	}
	m := p.members[id]
	if m == nil {
		return nil, nil, fmt.Errorf("%s: member %d %w", p.d.name, id, ErrNotFound)
	}
	m.refs++
	return m, nil, nil
}

func (p *Profile) release(m *member, g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m != nil {
		m.refs--
	}
	if g != nil {
		g.refs--
	}
}

// Name is the fully qualified P4 name.
func (p *Profile) Name() string { return p.d.name }

// Size is the capacity in members.
func (p *Profile) Size() int { return p.d.size }

// IsSelector reports whether the profile has groups.
func (p *Profile) IsSelector() bool { return p.d.selector != nil }

// InsertMember adds a member; ids start at 1.
func (p *Profile) InsertMember(m Member) error {
	b, err := bind(p.d.name, p.d.actions, m.Action, m.Params, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.ID == 0:
		return fmt.Errorf("%s: %w: member 0", p.d.name, ErrInvalid)
	case p.members[m.ID] != nil:
		return fmt.Errorf("%s: member %d %w", p.d.name, m.ID, ErrExists)
	case p.d.size > 0 && len(p.members) >= p.d.size:
		return fmt.Errorf("%s: %w, capacity %d", p.d.name, ErrFull, p.d.size)
	}
	x := &member{id: m.ID}
	x.bind.Store(&b)
	p.members[m.ID] = x
	return nil
}

// ModifyMember replaces a member's action for all that refer to it.
func (p *Profile) ModifyMember(m Member) error {
	b, err := bind(p.d.name, p.d.actions, m.Action, m.Params, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.members[m.ID]
	if x == nil {
		return fmt.Errorf("%s: member %d %w", p.d.name, m.ID, ErrNotFound)
	}
	x.bind.Store(&b)
	return nil
}

// DeleteMember removes a member that nothing refers to.
func (p *Profile) DeleteMember(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.members[id]
	switch {
	case x == nil:
		return fmt.Errorf("%s: member %d %w", p.d.name, id, ErrNotFound)
	case x.refs > 0:
		return fmt.Errorf("%s: member %d %w", p.d.name, id, ErrInUse)
	}
	delete(p.members, id)
	return nil
}

func (x *member) state() Member {
	b := x.bind.Load()
	return Member{ID: x.id, Action: b.act.name, Params: unbind(b.act, b.params, new(stateBuffer))}
}

// Member returns one member.
func (p *Profile) Member(id uint32) (Member, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.members[id]; x != nil {
		return x.state(), true
	}
	return Member{}, false
}

// Members yields all members by id.
func (p *Profile) Members() iter.Seq[Member] {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Member, 0, len(p.members))
	for _, x := range p.members {
		out = append(out, x.state())
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Values(out)
}

// bucketsLocked checks a group and expands its weights.
func (p *Profile) bucketsLocked(g *Group) ([]*member, error) {
	if p.d.selector == nil || g.ID == 0 {
		return nil, fmt.Errorf("%s: %w: group %d", p.d.name, ErrInvalid, g.ID)
	}
	limit := maxBuckets
	if g.MaxSize > 0 {
		limit = min(limit, g.MaxSize)
	}
	var out []*member
	for _, gm := range g.Members {
		m := p.members[gm.Member]
		switch {
		case m == nil:
			return nil, fmt.Errorf("%s: group %d: member %d %w", p.d.name, g.ID, gm.Member, ErrNotFound)
		case gm.Weight < 0:
			return nil, fmt.Errorf("%s: group %d: %w: weight %d", p.d.name, g.ID, ErrInvalid, gm.Weight)
		case gm.Weight > limit-len(out):
			return nil, fmt.Errorf("%s: group %d: %w, size %d", p.d.name, g.ID, ErrFull, limit)
		}
		for range gm.Weight {
			out = append(out, m)
		}
	}
	return out, nil
}

func (p *Profile) holdLocked(g *Group, n int) {
	for _, gm := range g.Members {
		p.members[gm.Member].refs += n
	}
}

// InsertGroup adds a group; ids start at 1.
func (p *Profile) InsertGroup(g Group) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups[g.ID] != nil {
		return fmt.Errorf("%s: group %d %w", p.d.name, g.ID, ErrExists)
	}
	b, err := p.bucketsLocked(&g)
	if err != nil {
		return err
	}
	x := &group{id: g.ID, conf: g}
	x.conf.Members = slices.Clone(g.Members)
	x.buckets.Store(&b)
	p.holdLocked(&x.conf, 1)
	p.groups[g.ID] = x
	return nil
}

// ModifyGroup replaces a group's members at once.
func (p *Profile) ModifyGroup(g Group) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.groups[g.ID]
	if x == nil {
		return fmt.Errorf("%s: group %d %w", p.d.name, g.ID, ErrNotFound)
	}
	if g.MaxSize == 0 {
		g.MaxSize = x.conf.MaxSize
	}
	b, err := p.bucketsLocked(&g)
	if err != nil {
		return err
	}
	p.holdLocked(&x.conf, -1)
	x.conf = g
	x.conf.Members = slices.Clone(g.Members)
	p.holdLocked(&x.conf, 1)
	x.buckets.Store(&b)
	return nil
}

// DeleteGroup removes a group that no entry refers to.
func (p *Profile) DeleteGroup(id uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.groups[id]
	switch {
	case x == nil:
		return fmt.Errorf("%s: group %d %w", p.d.name, id, ErrNotFound)
	case x.refs > 0:
		return fmt.Errorf("%s: group %d %w", p.d.name, id, ErrInUse)
	}
	p.holdLocked(&x.conf, -1)
	delete(p.groups, id)
	return nil
}

func (x *group) state() Group {
	g := x.conf
	g.Members = slices.Clone(g.Members)
	return g
}

// Group returns one group.
func (p *Profile) Group(id uint32) (Group, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.groups[id]; x != nil {
		return x.state(), true
	}
	return Group{}, false
}

// Groups yields all groups by id.
func (p *Profile) Groups() iter.Seq[Group] {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Group, 0, len(p.groups))
	for _, id := range slices.Sorted(maps.Keys(p.groups)) {
		out = append(out, p.groups[id].state())
	}
	return slices.Values(out)
}
