package p4rt

import (
	"fmt"

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
)

// Key is the identity of an entity on a target. It is comparable.
type Key struct {
	Kind     Kind
	ID       uint32 // table, group or session
	Priority int32
	match    string
}

// Entity is something that a target holds: *[Entry], *[MulticastGroup], *[CloneSession].
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
}

// MulticastGroup is a group of the packet replication engine.
type MulticastGroup struct {
	ID       uint32
	Replicas []Replica // an unordered set
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
	seen := make(map[Replica]bool, len(g.Replicas))
	for _, r := range g.Replicas {
		if seen[r] {
			return fmt.Errorf("multicast group %d: %w: replica %d/%d", g.ID, ErrAmbiguous, r.Port, r.Instance)
		}
		seen[r] = true
	}
	return nil
}

func (g *MulticastGroup) same(o Entity) bool {
	x, ok := o.(*MulticastGroup)
	return ok && sameReplicas(g.Replicas, x.Replicas)
}

// CloneSession is a clone (mirror) session.
type CloneSession struct {
	ID       uint32
	Replicas []Replica
	Class    uint32 // class of service
	Truncate int32  // bytes that are kept of a packet; 0: all
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
	return nil
}

func (c *CloneSession) same(o Entity) bool {
	x, ok := o.(*CloneSession)
	return ok && c.Class == x.Class && c.Truncate == x.Truncate && sameReplicas(c.Replicas, x.Replicas)
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
