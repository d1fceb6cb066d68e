package p4rt

import (
	"fmt"
	"slices"
	"strings"
)

// Watch is the port that a member's life depends on: while it is down the member is not chosen
// (Spec 9.2.2). It is made by [WatchPort] or [WatchName]; "" depends on none.
type Watch string

// WatchPort watches a port by number.
func WatchPort(number uint32) Watch { return Watch(U64(uint64(number)).AppendCanonical(nil)) }

// WatchName watches a port by name, on targets that translate ports to strings.
func WatchName(name string) Watch { return Watch(name) }

// watchOf reads watch_port in canonical or padded form; names don't begin with a zero byte.
func watchOf(b []byte) Watch {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return Watch(b)
}

// Weighted is one action of a one-shot: a group and its members in one entry (Spec 9.2.3).
type Weighted struct {
	Action *Action
	Params []Value
	Weight int32 // relative; > 0 unless the profile has NoWeights
	Watch  Watch
}

func (w *Weighted) same(o *Weighted) bool {
	return w.Action == o.Action && w.Weight == o.Weight && w.Watch == o.Watch && slices.Equal(w.Params, o.Params)
}

// sameOneShot compares as multisets: the order of repeated fields is the target's (Spec 8.2).
func sameOneShot(a, b []Weighted) bool {
	if len(a) != len(b) {
		return false
	}
	used := make([]bool, len(b))
	for i := range a {
		found := false
		for j := range b {
			k := (i + j) % len(b) // usually at the same place
			if !used[k] && a[i].same(&b[k]) {
				used[k], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func (p *ActionProfile) checkWeight(weight int32) error {
	switch {
	case p.NoWeights && weight != 0:
		return fmt.Errorf("action profile %s: %w: weight %d: weights are not allowed", p.Alias, ErrOverflow, weight)
	case !p.NoWeights && weight <= 0:
		return fmt.Errorf("action profile %s: %w: weight %d: want a positive one", p.Alias, ErrOverflow, weight)
	case p.SumOfMembers && p.MaxWeight > 0 && weight > p.MaxWeight:
		return fmt.Errorf("action profile %s: %w: weight %d is beyond %d", p.Alias, ErrOverflow, weight, p.MaxWeight)
	}
	return nil
}

func (p *ActionProfile) checkOneShot(set []Weighted) error {
	size := int64(0)
	for i := range set {
		if err := checkAction(p.actions, set[i].Action, set[i].Params); err != nil {
			return err
		}
		if err := p.checkWeight(set[i].Weight); err != nil {
			return err
		}
		size += p.share(set[i].Weight)
	}
	if p.MaxGroupSize > 0 && size > int64(p.MaxGroupSize) {
		return fmt.Errorf("action profile %s: %w: one-shot of size %d, largest %d", p.Alias, ErrOverflow, size, p.MaxGroupSize)
	}
	return nil
}

// share is what a member counts towards the size of its group.
func (p *ActionProfile) share(weight int32) int64 {
	if p.SumOfMembers {
		return 1
	}
	return int64(max(weight, 1))
}

// ActionMember is a member of an action profile: an action under an id.
type ActionMember struct {
	Profile *ActionProfile
	ID      uint32
	Action  *Action
	Params  []Value
}

// Key is the identity of the member.
func (m *ActionMember) Key() Key { return Key{Kind: KindMember, ID: m.Profile.ID, Index: int64(m.ID)} }

func (m *ActionMember) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "member %d of %s: ", m.ID, m.Profile)
	showAction(&b, m.Action, m.Params)
	return b.String()
}

func (m *ActionMember) validate(op Op) error {
	switch {
	case m.Profile == nil:
		return fmt.Errorf("member: %w", ErrNoSuchProfile)
	case m.ID == 0:
		return fmt.Errorf("member of %s: %w: id 0", m.Profile, ErrOverflow)
	case op == Delete:
		return nil
	}
	if err := checkAction(m.Profile.actions, m.Action, m.Params); err != nil {
		return fmt.Errorf("member %d of %s: %w", m.ID, m.Profile, err)
	}
	return nil
}

func (m *ActionMember) same(o Entity) bool {
	x, ok := o.(*ActionMember)
	return ok && m.Action == x.Action && slices.Equal(m.Params, x.Params)
}

func (m *ActionMember) appendWire(b []byte, op Op) []byte {
	b, at := open(b, 3)
	b = appendUint(appendUint(b, 1, uint64(m.Profile.ID)), 2, uint64(m.ID))
	if op != Delete {
		b = appendAction(b, 3, m.Action, m.Params)
	}
	return closeAt(b, at)
}

// GroupMember is a member's part in a group.
type GroupMember struct {
	ID     uint32 // of the [ActionMember]
	Weight int32  // relative; > 0 unless the profile has NoWeights
	Watch  Watch
}

// ActionGroup is a group of an action selector: members of which one is chosen per packet.
type ActionGroup struct {
	Profile *ActionProfile
	ID      uint32
	MaxSize int32 // never changes; > 0 if the profile has a MaxGroupSize
	Members []GroupMember
}

// Key is the identity of the group.
func (g *ActionGroup) Key() Key {
	return Key{Kind: KindActionGroup, ID: g.Profile.ID, Index: int64(g.ID)}
}

func (g *ActionGroup) String() string {
	return fmt.Sprintf("group %d of %s, %d members", g.ID, g.Profile, len(g.Members))
}

func (g *ActionGroup) validate(op Op) error {
	switch {
	case g.Profile == nil:
		return fmt.Errorf("group: %w", ErrNoSuchProfile)
	case !g.Profile.Selector:
		return fmt.Errorf("group %d: %w: action profile %s has no groups", g.ID, ErrUnsupported, g.Profile)
	case g.ID == 0:
		return fmt.Errorf("group of %s: %w: id 0", g.Profile, ErrOverflow)
	case op == Delete:
		return nil
	}
	limit := g.Profile.MaxGroupSize
	if g.MaxSize < 0 || limit > 0 && (g.MaxSize == 0 || g.MaxSize > limit) {
		return fmt.Errorf("group %d of %s: %w: size %d is not in 1…%d", g.ID, g.Profile, ErrOverflow, g.MaxSize, limit)
	}
	size, seen := int64(0), make(map[uint32]bool, len(g.Members))
	for _, m := range g.Members {
		if m.ID == 0 || seen[m.ID] {
			return fmt.Errorf("group %d of %s: %w: member %d", g.ID, g.Profile, ErrAmbiguous, m.ID)
		}
		seen[m.ID] = true
		if err := g.Profile.checkWeight(m.Weight); err != nil {
			return fmt.Errorf("group %d: %w", g.ID, err)
		}
		size += g.Profile.share(m.Weight)
	}
	if g.MaxSize > 0 && size > int64(g.MaxSize) {
		return fmt.Errorf("group %d of %s: %w: members of size %d, largest %d", g.ID, g.Profile, ErrOverflow, size, g.MaxSize)
	}
	return nil
}

func (g *ActionGroup) same(o Entity) bool {
	x, ok := o.(*ActionGroup)
	if !ok || g.MaxSize != x.MaxSize || len(g.Members) != len(x.Members) {
		return false
	}
	have := make(map[GroupMember]bool, len(x.Members))
	for _, m := range x.Members {
		have[m] = true
	}
	return !slices.ContainsFunc(g.Members, func(m GroupMember) bool { return !have[m] })
}

func (g *ActionGroup) appendWire(b []byte, op Op) []byte {
	b, at := open(b, 4)
	b = appendUint(appendUint(b, 1, uint64(g.Profile.ID)), 2, uint64(g.ID))
	if op != Delete {
		for _, m := range g.Members {
			var member int
			b, member = open(b, 3)
			b = appendUint(appendUint(b, 1, uint64(m.ID)), 2, uint64(m.Weight))
			b = closeAt(m.Watch.append(b), member)
		}
		b = appendUint(b, 4, uint64(g.MaxSize))
	}
	return closeAt(b, at)
}

// appendOneShot appends TableAction.action_profile_action_set.
func appendOneShot(b []byte, set []Weighted) []byte {
	b, outer := open(b, 4)
	for i := range set {
		w := &set[i]
		var at int
		b, at = open(b, 1)
		b = appendAction(b, 1, w.Action, w.Params)
		b = appendUint(b, 2, uint64(w.Weight))
		b = closeAt(w.Watch.append(b), at)
	}
	return closeAt(b, outer)
}

// append appends watch_port.
func (w Watch) append(b []byte) []byte {
	if w == "" {
		return b
	}
	return appendText(b, 4, string(w))
}
