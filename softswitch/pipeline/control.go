package pipeline

import (
	"iter"
	"time"
)

// Options configure a Machine.
type Options struct {
	// CPUPort is the port of packet-in and packet-out; 0 means none.
	CPUPort uint16
	// DropPort is the egress_spec that means drop; 0 means 511, as in simple_switch.
	DropPort uint16
	// Emit is called for every packet that leaves, the CPU port included. The
	// frame is valid only during the call. Required.
	Emit func(port uint16, frame []byte)
	// Digest is called for every digest; name is that of the digest (its
	// struct), fields are big endian, each ⌈width/8⌉ bytes, valid only during
	// the call. Nil discards digests.
	Digest func(name string, fields [][]byte)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// PortlessCopies: clones, resubmitted and recirculated packets have no ingress port and
	// time but by a field list, as in simple_switch.
	PortlessCopies bool
	// Log receives log_msg, assert and assume messages; nil discards them.
	Log func(string)
}

// MatchKind is the match kind of one key field.
type MatchKind uint8

const (
	Exact MatchKind = iota + 1
	LPM
	Ternary
	Range
	Optional
	Valid
)

// FieldMatch is the match on one key field, big endian; byte strings may be
// shorter than the field (then left-padded with zeros) or longer by leading
// zero bytes only.
type FieldMatch struct {
	Value     []byte // exact, lpm, ternary, optional; low bound of a range
	Mask      []byte // ternary
	PrefixLen int    // lpm, in bits
	High      []byte // range, inclusive
	Any       bool   // don't care: lpm /0, ternary mask 0, full range, absent optional
}

// Entry is a table entry as the control plane writes it. Match has one element
// per key field, in the order of the program. Exactly one of Action, Member and
// Group (the latter two for tables with an action profile; ids start at 1) is set.
type Entry struct {
	Match       []FieldMatch
	Priority    int32 // larger wins; needed (>0) iff the table has a ternary, range or optional key
	Action      string
	Params      [][]byte // big endian, in the order of the action's parameters
	Member      uint32
	Group       uint32
	IdleTimeout time.Duration // 0 = never; only for tables with support_timeout
	Metadata    []byte
}

// EntryState is an entry as read back. Slices belong to the reader.
type EntryState struct {
	Entry
	Count   Count       // direct counter, zero if the table has none
	LastHit time.Time   // valid iff the table supports idle timeouts; insertion counts as a hit
	Meter   MeterConfig // direct meter, zero if none configured
	Default bool        // the default entry: no Match
}

// Count is the value of a counter cell.
type Count struct{ Packets, Bytes uint64 }

// MeterConfig is a two-rate three-colour meter (RFC 2698), rates in packets or
// bytes per second, bursts in packets or bytes. The zero value means
// unconfigured: every packet is green.
type MeterConfig struct {
	CIR, CBurst uint64
	PIR, PBurst uint64
}

// KeyInfo describes one key field of a table.
type KeyInfo struct {
	Name  string // as in the p4info
	Kind  MatchKind
	Width int // bits
}

// ParamInfo describes one parameter of an action.
type ParamInfo struct {
	Name  string
	Width int // bits
}

// Replica is one copy that a multicast group or clone session makes.
type Replica struct {
	Port uint16
	RID  uint16 // standard_metadata.egress_rid
}

// CloneSession says what becomes of a cloned packet. Truncate limits the
// clone's length in bytes (0 = none); headers are never cut.
type CloneSession struct {
	Replicas []Replica
	Truncate int
}

// GroupMember is a weighted member of an action selector group.
type GroupMember struct {
	Member uint32
	Weight int // 0: it is held, but never chosen
}

// Member is an action profile member.
type Member struct {
	ID     uint32
	Action string
	Params [][]byte
}

// Group is an action selector group.
type Group struct {
	ID      uint32
	MaxSize int // largest sum of weights; 0 = the profile's limit
	Members []GroupMember
}

// Stats count what happened to packets, in packets since New.
type Stats struct {
	Received     uint64
	Emitted      uint64
	Dropped      uint64 // by the program
	ParserErrors uint64 // packets that left the parser with an error (they are still processed)
	NoClone      uint64 // clones to a session that does not exist
	NoGroup      uint64 // multicasts to a group that does not exist
	Loops        uint64 // packets given up after too many resubmits, recirculations or clones
	Asserts      uint64 // failed assert or assume statements
	Replicated   uint64 // packets that ended in copies: multicasts
	Copies       uint64 // made of these, and by clones: Received + Copies = Replicated + Emitted + Dropped + NoGroup, but for recirculated packets
}

// The control plane of a Machine. Names are the fully qualified P4 names, those
// of the p4info's preambles.
type control interface {
	Table(name string) (*Table, bool)
	Tables() iter.Seq[*Table]
	Counter(name string) (*Counter, bool)   // indirect
	Meter(name string) (*Meter, bool)       // indirect
	Register(name string) (*Register, bool) //
	Profile(name string) (*Profile, bool)   // action profiles and selectors
	ValueSet(name string) (*ValueSet, bool) //

	SetMulticast(group uint32, r []Replica) // empty r: packets to it vanish
	DeleteMulticast(group uint32) bool
	Multicast(group uint32) ([]Replica, bool)
	SetClone(session uint32, s CloneSession)
	DeleteClone(session uint32) bool
	Clone(session uint32) (CloneSession, bool)

	// Idle yields the entries whose idle timeout has run out since they were
	// last hit or last yielded. Call it at 1 Hz or faster.
	Idle(yield func(*Table, EntryState) bool)
	Stats() Stats
}

type tableControl interface {
	Name() string
	Size() int // capacity
	Len() int
	Keys() []KeyInfo
	Actions() []string
	HasPriority() bool // entries need a priority
	HasCounter() bool  // direct counter
	HasMeter() bool    // direct meter
	HasTimeout() bool  // support_timeout
	IsConst() bool     // const entries
	SetConst(bool)
	Profile() string // name of its action profile, "" if none

	Insert(Entry) error
	Modify(Entry) error // keeps counters and the meter
	Delete(match []FieldMatch, priority int32) error
	Read(match []FieldMatch, priority int32) (EntryState, bool)
	All() iter.Seq[EntryState] // without the default entry
	Clear()                    // deletes all entries that are not const

	SetDefault(action string, params [][]byte) error
	ResetDefault() error
	Default() EntryState

	SetCounter(match []FieldMatch, priority int32, c Count) error
	SetMeter(match []FieldMatch, priority int32, c MeterConfig) error
	SetDefaultCounter(Count) error
	SetDefaultMeter(MeterConfig) error
}

type arrayControl[T any] interface {
	Name() string
	Len() int
	Read(index int) (T, error)
	Write(index int, v T) error
}

type profileControl interface {
	Name() string
	Size() int
	IsSelector() bool
	InsertMember(Member) error
	ModifyMember(Member) error
	DeleteMember(id uint32) error
	Member(id uint32) (Member, bool)
	Members() iter.Seq[Member]
	InsertGroup(Group) error
	ModifyGroup(Group) error
	DeleteGroup(id uint32) error
	Group(id uint32) (Group, bool)
	Groups() iter.Seq[Group]
}

// The types implement what this file promises.
var (
	_ control                   = (*Machine)(nil)
	_ tableControl              = (*Table)(nil)
	_ profileControl            = (*Profile)(nil)
	_ arrayControl[Count]       = (*Counter)(nil)
	_ arrayControl[MeterConfig] = (*Meter)(nil)
	_ arrayControl[[]byte]      = (*Register)(nil)
)
