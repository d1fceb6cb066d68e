package p4rt

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
)

// Op is what an update does.
type Op uint8

// Operations of a P4Runtime update.
const (
	Insert Op = iota + 1
	Modify
	Delete
)

func (o Op) String() string {
	if o > Delete {
		return "invalid"
	}
	return [...]string{"invalid", "insert", "modify", "delete"}[o]
}

// Kind is the kind of an [Entity].
type Kind uint8

// Kinds of entities.
const (
	KindEntry Kind = iota + 1
	KindMulticastGroup
	KindCloneSession
	KindMember
	KindActionGroup
	KindCounterCell
	KindMeterCell
	KindRegisterCell
	KindDirectCounter
	KindDirectMeter
	KindValueSet
	KindDigest
)

// Key is the identity of an entity on a target. It is comparable.
type Key struct {
	Kind     Kind
	ID       uint32 // table, group, session or other object
	Priority int32
	Index    int64 // cell, or member or group of an action profile
	match    string
}

// Entity is something that a target holds: *[Entry], *[MulticastGroup], *[CloneSession],
// *[ActionMember], *[ActionGroup], *[CounterCell], *[MeterCell], *[RegisterCell], *[DirectCounter],
// *[DirectMeter], *[ValueSetMembers], *[DigestConfig].
type Entity interface {
	Key() Key
	String() string

	validate(op Op) error
	same(o Entity) bool // same key and same effect
	appendWire(b []byte, op Op) []byte
}

// Update is one change of a target.
type Update struct {
	Op     Op
	Entity Entity
}

// Outcome is what became of an update.
type Outcome uint8

// Outcomes of an update.
const (
	NotSent   Outcome = iota // never left: an earlier failure, or not primary
	Applied                  // the target acknowledged it
	Duplicate                // insert: the key exists
	NotFound                 // modify or delete: the key does not exist
	Full                     // insert: no room
	Invalid                  // refused as malformed, by this side or the target
	Refused                  // refused for another reason: see Code
	Unknown                  // sent, no answer: read back before relying on either
)

func (o Outcome) String() string {
	if o > Unknown {
		return "invalid"
	}
	return [...]string{"not sent", "applied", "duplicate", "not found", "full", "invalid", "refused", "unknown"}[o]
}

// Result is the fate of one update. Code and Message are the target's own.
type Result struct {
	Outcome Outcome
	Code    codes.Code
	Message string
}

// OK reports whether the target acknowledged the update.
func (r Result) OK() bool { return r.Outcome == Applied }

// Replica is one copy that the packet replication engine makes.
type Replica struct {
	Port     uint32
	Instance uint32 // egress_rid
	Name     string // of the port, instead of Port, on targets that translate ports to strings
}

// MulticastGroup is a group of the packet replication engine.
type MulticastGroup struct {
	ID       uint32
	Replicas []Replica // an unordered set
	// Backups stand in for a replica while its port is down: the first whose port is up does.
	Backups map[Replica][]Replica
	Cookie  uint64 // the controller's own mark (metadata); 0 is none
}

// Key is the identity of the group.
func (g *MulticastGroup) Key() Key { return Key{Kind: KindMulticastGroup, ID: g.ID} }

func (g *MulticastGroup) String() string {
	return fmt.Sprintf("multicast group %d of %d replicas", g.ID, len(g.Replicas))
}

func (g *MulticastGroup) validate(Op) error {
	if g.ID == 0 {
		return fmt.Errorf("multicast group: %w: id 0", ErrOverflow)
	}
	if err := checkReplicas(g.Replicas, g.Backups); err != nil {
		return fmt.Errorf("multicast group %d: %w", g.ID, err)
	}
	return nil
}

func (g *MulticastGroup) same(o Entity) bool {
	x, ok := o.(*MulticastGroup)
	return ok && g.Cookie == x.Cookie && sameReplicas(g.Replicas, x.Replicas) && sameBackups(g.Backups, x.Backups)
}

// checkReplicas refuses replicas and backups that are there twice, and backups of no replica.
func checkReplicas(replicas []Replica, backups map[Replica][]Replica) error {
	seen := make(map[Replica]bool, len(replicas))
	note := func(r Replica) error {
		if seen[r] {
			return fmt.Errorf("%w: replica %s", ErrAmbiguous, r)
		}
		seen[r] = true
		return nil
	}
	for _, r := range replicas {
		if err := note(r); err != nil {
			return err
		}
	}
	for r, list := range backups {
		if !seen[r] {
			return fmt.Errorf("%w: backups of replica %s, which is not there", ErrMissing, r)
		}
		for _, b := range list {
			if b.Port == r.Port && b.Name == r.Name {
				return fmt.Errorf("%w: replica %s is its own backup", ErrAmbiguous, r)
			}
			if err := note(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameBackups(a, b map[Replica][]Replica) bool {
	return maps.EqualFunc(a, b, func(x, y []Replica) bool { return slices.Equal(x, y) })
}

// String shows a replica as port/instance.
func (r Replica) String() string {
	if r.Name != "" {
		return fmt.Sprintf("%s/%d", r.Name, r.Instance)
	}
	return fmt.Sprintf("%d/%d", r.Port, r.Instance)
}

// CloneSession is a clone (mirror) session.
type CloneSession struct {
	ID       uint32
	Replicas []Replica
	Backups  map[Replica][]Replica // as of a [MulticastGroup]
	Class    uint32                // class of service
	Truncate int32                 // bytes that are kept of a packet; 0: all
}

// Key is the identity of the session.
func (c *CloneSession) Key() Key { return Key{Kind: KindCloneSession, ID: c.ID} }

func (c *CloneSession) String() string {
	return fmt.Sprintf("clone session %d of %d replicas", c.ID, len(c.Replicas))
}

func (c *CloneSession) validate(Op) error {
	if c.ID == 0 {
		return fmt.Errorf("clone session: %w: id 0", ErrOverflow)
	}
	if c.Truncate < 0 {
		return fmt.Errorf("clone session %d: %w: truncate to %d bytes", c.ID, ErrOverflow, c.Truncate)
	}
	if err := checkReplicas(c.Replicas, c.Backups); err != nil {
		return fmt.Errorf("clone session %d: %w", c.ID, err)
	}
	return nil
}

func (c *CloneSession) same(o Entity) bool {
	x, ok := o.(*CloneSession)
	return ok && c.Class == x.Class && c.Truncate == x.Truncate && sameReplicas(c.Replicas, x.Replicas) && sameBackups(c.Backups, x.Backups)
}

// sameReplicas compares as multisets.
func sameReplicas(a, b []Replica) bool {
	if len(a) != len(b) {
		return false
	}
	n := make(map[Replica]int, len(a))
	for _, r := range a {
		n[r]++
	}
	for _, r := range b {
		if n[r]--; n[r] < 0 {
			return false
		}
	}
	return true
}
