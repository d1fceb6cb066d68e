package p4rt

import (
	"fmt"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Profile names the known deviations of a target from the P4Runtime specification,
// and the sizes that suit it. Fields left 0 take the strict target's value. What a target can't do
// is refused on this side, with [ErrUnsupported] or [ErrOverflow] and the profile's name.
type Profile struct {
	Name string

	MaxBatch   int // updates in one Write
	MaxBytes   int // bytes of one Write; gRPC servers take 4 MiB unless told otherwise
	MaxReceive int // bytes of one answer

	// FullCode is what an insert into a full table gets.
	FullCode codes.Code
	// ExistsCode and AbsentCode are what an insert of a key that exists, and a modify or delete of
	// one that doesn't, get.
	ExistsCode, AbsentCode codes.Code
	// MulticastMax and CloneMax are the largest ids of multicast groups and clone sessions.
	MulticastMax, CloneMax uint32
	// PriorityMax is the largest priority of an entry.
	PriorityMax int32
	// NoRoles: the target knows the default role only.
	NoRoles bool
	// OneCloneReplica: a clone session has exactly one replica, of instance 0.
	OneCloneReplica bool
	// NoOneShot, NoWatch, NoWeights: of action selectors, no one-shots, no watch ports, no weights
	// above 1.
	NoOneShot, NoWatch, NoWeights bool
	// NoMembers: action selectors are programmed by one-shots only.
	NoMembers bool
	// NoEmptyGroups: an action group has at least one member.
	NoEmptyGroups bool
	// NoDirectMeters, NoRegisters, NoValueSets: the target refuses them.
	NoDirectMeters, NoRegisters, NoValueSets bool
	// NoBackups: replicas have no backups (they are optional; Spec 9.5.1).
	NoBackups bool
	// NoDigestAck: the target knows no acknowledgements; none are sent.
	NoDigestAck bool
	// NamedPorts: ports of replicas are names, as those of translated types are.
	NamedPorts bool
	// FailFast: the target stops a batch at the first failure and answers the rest with ABORTED;
	// what it aborted is sent again.
	FailFast bool
	// ReadsAllOnly: reads of entries name no table and no key; the rest is left out on this side.
	ReadsAllOnly bool
	// Serial: the target wants one request at a time.
	Serial bool
	// NoIdle: the target's tables have no idle timeouts (Info).
	NoIdle bool
	// NoReplication: the target has neither multicast groups nor clone sessions.
	NoReplication bool
	// NoPackets: no packet comes from the target's data plane to a controller, nor the other way.
	NoPackets bool
}

// Info returns a program's p4info as the target has it: without what it can not do. The program's own is not changed.
func (p *Profile) Info(info *p4config.P4Info) *p4config.P4Info {
	if !p.NoIdle {
		return info
	}
	info = proto.CloneOf(info)
	for _, t := range info.GetTables() {
		t.IdleTimeoutBehavior = p4config.Table_NO_TIMEOUT
	}
	return info
}

// Strict is a target that follows the specification.
func Strict() Profile { return Profile{Name: "strict"}.withDefaults() }

// Softswitch is weft's own target.
func Softswitch() Profile {
	p := Strict()
	p.Name, p.MulticastMax, p.CloneMax = "softswitch", 65535, 65535 // mcast_grp of v1model has 16 bits
	return p
}

// BMv2 is simple_switch_grpc 1.15 on PI: a full table is UNKNOWN, group ids end at 32767, there are
// no roles (PI#233, PI#338), a whole read comes as one message; registers and value sets are
// UNIMPLEMENTED, and so are empty action groups.
func BMv2() Profile {
	return Profile{Name: "bmv2", FullCode: codes.Unknown, ExistsCode: codes.AlreadyExists, MulticastMax: 1<<15 - 1, CloneMax: 1<<15 - 1,
		NoRoles: true, NoRegisters: true, NoValueSets: true, NoEmptyGroups: true, NoBackups: true}.withDefaults()
}

// Stratum is Stratum on Tofino (bfrt): no roles (stratum#287), idle timeouts, one-shots, direct meters, value
// sets, watch ports, weights or acknowledgements of digests; a clone session has one replica, whose port is a number;
// priorities have 24 bits, clone sessions end at 1015.
func Stratum() Profile {
	return Profile{Name: "stratum", MulticastMax: 65535, CloneMax: 1015, PriorityMax: 1<<24 - 1, NoRoles: true, OneCloneReplica: true,
		NoIdle: true, NoOneShot: true, NoWatch: true, NoWeights: true, NoDirectMeters: true, NoValueSets: true, NoBackups: true, NoDigestAck: true}.withDefaults()
}

// DPDK is infrap4d on the software switch of DPDK (Stratum on TDI): no replication, idle timeouts, one-shots, direct meters, value
// sets or acknowledgements of digests; packet-outs are taken and go nowhere, and there are no packet-ins; priorities have 24 bits.
func DPDK() Profile {
	return Profile{Name: "dpdk", PriorityMax: 1<<24 - 1, NoReplication: true, NoPackets: true, NoIdle: true,
		NoOneShot: true, NoDirectMeters: true, NoValueSets: true, NoBackups: true, NoDigestAck: true}.withDefaults()
}

// PINS is the P4Runtime server of SONiC (sonic-pins p4rt_app): it stops at the first failure, serves
// one request at a time, has one-shots only, reads all entries or none, and names its ports.
func PINS() Profile {
	return Profile{Name: "pins", FailFast: true, Serial: true, ReadsAllOnly: true, NamedPorts: true, NoMembers: true,
		NoRegisters: true, NoValueSets: true, MulticastMax: 65535}.withDefaults()
}

func (p Profile) withDefaults() Profile {
	if p.Name == "" {
		p.Name = "strict"
	}
	orDefaultTo(&p.MaxBatch, 512)
	orDefaultTo(&p.MaxBytes, 3<<20)
	orDefaultTo(&p.MaxReceive, 512<<20)
	orDefaultTo(&p.FullCode, codes.ResourceExhausted)
	orDefaultTo(&p.ExistsCode, codes.AlreadyExists)
	orDefaultTo(&p.AbsentCode, codes.NotFound)
	orDefaultTo(&p.MulticastMax, 1<<32-1)
	orDefaultTo(&p.CloneMax, 1<<32-1)
	orDefaultTo(&p.PriorityMax, 1<<31-1)
	return p
}

func orDefaultTo[T int | int32 | uint32 | codes.Code](v *T, want T) {
	if *v <= 0 {
		*v = want
	}
}

// outcome classifies the target's own status of one update.
func (p *Profile) outcome(op Op, code codes.Code) Outcome {
	switch {
	case code == codes.OK:
		return Applied
	case op == Insert && code == p.FullCode, code == codes.ResourceExhausted:
		return Full
	case op == Insert && code == p.ExistsCode, code == codes.AlreadyExists:
		return Duplicate
	case op != Insert && code == p.AbsentCode, code == codes.NotFound:
		return NotFound
	}
	switch code {
	case codes.InvalidArgument, codes.OutOfRange:
		return Invalid
	case codes.Aborted: // some targets stop at the first failure
		return NotSent
	}
	return Refused
}

// admits refuses an update that the target can't carry out.
func (p *Profile) admits(u Update) error {
	unsupported := func(what string) error {
		return fmt.Errorf("%s: %w: target profile %s has no %s", u.Entity, ErrUnsupported, p.Name, what)
	}
	switch e := u.Entity.(type) {
	case *Entry:
		return p.admitsEntry(e, unsupported)
	case *MulticastGroup:
		switch {
		case p.NoReplication:
			return unsupported("multicast groups")
		case e.ID > p.MulticastMax:
			return fmt.Errorf("multicast group %d: %w: %s has up to %d", e.ID, ErrOverflow, p.Name, p.MulticastMax)
		case p.NoBackups && len(e.Backups) > 0:
			return unsupported("backup replicas")
		}
	case *CloneSession:
		switch {
		case p.NoReplication:
			return unsupported("clone sessions")
		case e.ID > p.CloneMax:
			return fmt.Errorf("clone session %d: %w: %s has up to %d", e.ID, ErrOverflow, p.Name, p.CloneMax)
		case p.NoBackups && len(e.Backups) > 0:
			return unsupported("backup replicas")
		case p.OneCloneReplica && u.Op != Delete && (len(e.Replicas) != 1 || e.Replicas[0].Instance != 0):
			return unsupported("clone sessions but those of one replica of instance 0")
		}
	case *ActionMember:
		if p.NoMembers {
			return unsupported("action profile members")
		}
	case *ActionGroup:
		if p.NoMembers {
			return unsupported("action profile groups")
		}
		if u.Op != Delete {
			return p.admitsGroup(e, unsupported)
		}
	case *DirectMeter:
		if p.NoDirectMeters {
			return unsupported("direct meters")
		}
	case *RegisterCell:
		if p.NoRegisters {
			return unsupported("registers")
		}
	case *ValueSetMembers:
		if p.NoValueSets {
			return unsupported("value sets")
		}
	}
	return nil
}

func (p *Profile) admitsEntry(e *Entry, unsupported func(string) error) error {
	switch {
	case e.Priority > p.PriorityMax:
		return fmt.Errorf("table %s: %w: priority %d: %s has up to %d", e.Table, ErrOverflow, e.Priority, p.Name, p.PriorityMax)
	case p.NoOneShot && e.OneShot != nil:
		return unsupported("one-shots")
	case p.NoDirectMeters && e.Meter != nil:
		return unsupported("direct meters")
	}
	for i := range e.OneShot {
		if err := p.admitsMember(e.OneShot[i].Weight, e.OneShot[i].Watch, unsupported); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) admitsGroup(g *ActionGroup, unsupported func(string) error) error {
	if p.NoEmptyGroups && len(g.Members) == 0 {
		return unsupported("empty groups")
	}
	for _, m := range g.Members {
		if err := p.admitsMember(m.Weight, m.Watch, unsupported); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) admitsMember(weight int32, watch Watch, unsupported func(string) error) error {
	switch {
	case p.NoWeights && weight > 1:
		return unsupported("weights above 1")
	case p.NoWatch && watch != "":
		return unsupported("watch ports")
	}
	return nil
}
