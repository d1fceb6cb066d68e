package softswitch

import (
	"slices"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// Quirks make the switch deviate from the specification as other targets do, so that
// controllers can be tested against them. The zero value is a strict target. Behind each is
// what it imitates; docs/p4runtime.md has the table.
type Quirks struct {
	// Arbitration.

	// PromotesNext: the primary is the live controller with the highest id; ids of those that
	// left are forgotten (PI f96af95 pi_server.cpp; PI#553).
	PromotesNext bool
	// UnsetIsZero: an election id that is not set is 0, and can be primary (PI f96af95).
	UnsetIsZero bool
	// SilentRepeat: a controller that repeats its election id gets no answer (PI f96af95).
	SilentRepeat bool
	// OpenWrites: while no controller has a stream, a Write without election id is accepted
	// (PI f96af95).
	OpenWrites bool
	// IgnoresRoles: every role is the default one (PI#233, PI#338; stratum#287).
	IgnoresRoles bool

	// Pipeline configuration.

	NoReconcile   bool // RECONCILE_AND_COMMIT is UNIMPLEMENTED (PI#329; Stratum 24.03 bfrt)
	FixedPipeline bool // once set, another P4Info is UNIMPLEMENTED (sonic-pins b08b068)

	// Writes.

	FullIsUnknown   bool // an entry too many is UNKNOWN, not RESOURCE_EXHAUSTED (bmv2 1.15 with PI)
	NoAtomicBatches bool // batches other than CONTINUE_ON_ERROR are UNIMPLEMENTED (PI f96af95; Stratum)
	FailFast        bool // what comes after a failure is ABORTED (sonic-pins b08b068)
	NoRegisters     bool // UNIMPLEMENTED (PI f96af95; sonic-pins b08b068)
	NoValueSets     bool // UNIMPLEMENTED (PI f96af95; Stratum; sonic-pins b08b068)
	NoCellWildcards bool // writing all cells of a counter or meter is UNIMPLEMENTED (PI#612)
	NoDirectMeters  bool // meter configs of entries are UNIMPLEMENTED (Stratum bfrt)
	NoOneShot       bool // UNIMPLEMENTED (Stratum bfrt)
	NoMembers       bool // members and groups are UNIMPLEMENTED (sonic-pins b08b068)
	NoEmptyGroups   bool // a group without members is UNIMPLEMENTED (PI f96af95)
	NoWatch         bool // a watch port is INVALID_ARGUMENT (Stratum bfrt)
	NoWeights       bool // a weight above 1 is UNIMPLEMENTED (Stratum bfrt)
	NoBackups       bool // backup replicas are UNIMPLEMENTED (PI f96af95; Stratum)
	NoCloneClass    bool // a class of service of a clone session is UNIMPLEMENTED (PI f96af95)
	OneCloneReplica bool // a clone session has one replica, of instance 0 (Stratum bfrt)
	NumericPorts    bool // a replica's port given as bytes is not seen: it is 0 (Stratum bfrt)
	NoReplication   bool // multicast groups and clone sessions are UNIMPLEMENTED (infrap4d, DPDK)

	MaxGroupID  uint32 // largest multicast group id; 0 means 65535 (bmv2 1.15: 32767)
	MaxCloneID  uint32 // largest clone session id; 0 means 65535 (Stratum: 1015)
	MaxPriority int32  // largest priority of an entry; 0 means any (Stratum: 2^24-1)

	// Reads.

	WholeReads        bool // a Read is answered in one message, however large (PI f96af95; stratum#289)
	NoFilters         bool // filters but table and key are not seen (PI f96af95; Stratum)
	NoDirectWildcards bool // direct counters or meters of all tables are UNIMPLEMENTED (PI f96af95)
	ReadsAllOnly      bool // entries of a table, or by key, are UNIMPLEMENTED (sonic-pins b08b068)

	// Stream.

	SilentPacketOut bool // a packet-out that is refused is dropped without a word (PI f96af95)
	NoDigestAck     bool // acknowledgements of digests are not seen (Stratum bfrt)
	NoIdle          bool // idle timeouts are taken, and nobody is told of them (Stratum bfrt)
	NoPackets       bool // packet-outs are taken and go nowhere, and there are no packet-ins (infrap4d, DPDK)

	// Packets.

	PortlessCopies bool // clones, resubmitted and recirculated packets have no ingress port but by a field list (behavioral-model#795)
}

// BMv2 are the ways of simple_switch_grpc 1.15 with PI.
func BMv2() Quirks {
	return Quirks{
		PromotesNext: true, UnsetIsZero: true, SilentRepeat: true, OpenWrites: true, IgnoresRoles: true,
		NoReconcile: true, FullIsUnknown: true, NoAtomicBatches: true, NoRegisters: true, NoValueSets: true,
		NoCellWildcards: true, NoEmptyGroups: true, NoBackups: true, NoCloneClass: true, MaxGroupID: 1<<15 - 1, MaxCloneID: 1<<15 - 1,
		WholeReads: true, NoFilters: true, NoDirectWildcards: true, SilentPacketOut: true, PortlessCopies: true,
	}
}

// Stratum are ways of Stratum on Tofino (bfrt).
func Stratum() Quirks {
	return Quirks{
		IgnoresRoles: true, NoReconcile: true, NoAtomicBatches: true, NoValueSets: true, NoDirectMeters: true,
		NoOneShot: true, NoWatch: true, NoWeights: true, NoBackups: true, OneCloneReplica: true, NumericPorts: true,
		MaxCloneID: 1015, MaxPriority: 1<<24 - 1, WholeReads: true, NoFilters: true, NoDigestAck: true, NoIdle: true,
	}
}

// DPDK are ways of infrap4d on the software switch of DPDK: Stratum on TDI (ipdk-io/stratum-dev dae87c7, stratum/hal/lib/tdi).
func DPDK() Quirks {
	return Quirks{
		NoReconcile: true, NoAtomicBatches: true, NoValueSets: true, NoDirectMeters: true, NoOneShot: true, NoBackups: true, NoReplication: true,
		MaxPriority: 1<<24 - 1, WholeReads: true, NoFilters: true, NoDigestAck: true, NoIdle: true, NoPackets: true,
	}
}

// PINS are ways of the P4Runtime server of SONiC.
func PINS() Quirks {
	return Quirks{FixedPipeline: true, FailFast: true, NoRegisters: true, NoValueSets: true, NoMembers: true, ReadsAllOnly: true}
}

// Profile finds quirks by the name of a target: "strict", "bmv2", "stratum", "dpdk", "pins".
func Profile(name string) (Quirks, bool) {
	switch name {
	case "strict":
		return Quirks{}, true
	case "bmv2":
		return BMv2(), true
	case "stratum":
		return Stratum(), true
	case "dpdk":
		return DPDK(), true
	case "pins":
		return PINS(), true
	}
	return Quirks{}, false
}

func (q *Quirks) setDefaults() {
	for _, v := range []*uint32{&q.MaxGroupID, &q.MaxCloneID} {
		if *v == 0 || *v > maxGroupID {
			*v = maxGroupID
		}
	}
	if q.MaxPriority <= 0 {
		q.MaxPriority = 1<<31 - 1
	}
}

func lacking(what string) error {
	return faultf(codes.Unimplemented, "this target has no %s", what)
}

// refuses tells what the target that is imitated does not take; nil if it takes the update.
func (q *Quirks) refuses(kind p4v1.Update_Type, e *p4v1.Entity) error {
	switch x := e.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return q.refusesEntry(kind, x.TableEntry)
	case *p4v1.Entity_ActionProfileMember:
		if q.NoMembers {
			return lacking("action profile members")
		}
	case *p4v1.Entity_ActionProfileGroup:
		return q.refusesGroup(kind, x.ActionProfileGroup)
	case *p4v1.Entity_MeterEntry:
		if q.NoCellWildcards && x.MeterEntry.GetIndex() == nil {
			return lacking("writes of all cells")
		}
	case *p4v1.Entity_CounterEntry:
		if q.NoCellWildcards && x.CounterEntry.GetIndex() == nil {
			return lacking("writes of all cells")
		}
	case *p4v1.Entity_DirectMeterEntry:
		if q.NoDirectMeters {
			return lacking("direct meters")
		}
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return q.refusesReplication(kind, x.PacketReplicationEngineEntry)
	}
	return q.lacks(e)
}

// lacks tells which kinds of entities the target does not know at all.
func (q *Quirks) lacks(e *p4v1.Entity) error {
	switch e.GetEntity().(type) {
	case *p4v1.Entity_RegisterEntry:
		if q.NoRegisters {
			return lacking("registers")
		}
	case *p4v1.Entity_ValueSetEntry:
		if q.NoValueSets {
			return lacking("value sets")
		}
	}
	return nil
}

func (q *Quirks) refusesEntry(kind p4v1.Update_Type, e *p4v1.TableEntry) error {
	set := e.GetAction().GetActionProfileActionSet()
	switch {
	case kind == p4v1.Update_DELETE:
		return nil
	case e.GetPriority() > q.MaxPriority:
		return invalidf("priority %d is beyond %d", e.GetPriority(), q.MaxPriority)
	case q.NoDirectMeters && e.GetMeterConfig() != nil:
		return lacking("direct meters")
	case q.NoOneShot && set != nil:
		return lacking("one-shots")
	}
	for _, a := range set.GetActionProfileActions() {
		if err := q.refusesMember(a.GetWeight(), a.GetWatchKind() != nil); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quirks) refusesGroup(kind p4v1.Update_Type, g *p4v1.ActionProfileGroup) error {
	switch {
	case q.NoMembers:
		return lacking("action profile groups")
	case kind == p4v1.Update_DELETE:
		return nil
	case q.NoEmptyGroups && len(g.GetMembers()) == 0:
		return lacking("empty groups")
	}
	for _, m := range g.GetMembers() {
		if err := q.refusesMember(m.GetWeight(), m.GetWatchKind() != nil); err != nil {
			return err
		}
	}
	return nil
}

func (q *Quirks) refusesMember(weight int32, watched bool) error {
	switch {
	case q.NoWatch && watched:
		return invalidf("watch ports are not supported")
	case q.NoWeights && weight > 1:
		return lacking("weights above 1")
	}
	return nil
}

func (q *Quirks) refusesReplication(kind p4v1.Update_Type, e *p4v1.PacketReplicationEngineEntry) error {
	if kind == p4v1.Update_DELETE {
		return nil
	}
	c := e.GetCloneSessionEntry()
	replicas := slices.Concat(e.GetMulticastGroupEntry().GetReplicas(), c.GetReplicas())
	switch {
	case q.NoReplication:
		return lacking("multicast groups and clone sessions")
	case q.NoBackups && hasBackups(replicas):
		return lacking("backup replicas")
	case c == nil:
		return nil
	case q.NoCloneClass && c.GetClassOfService() != 0:
		return lacking("classes of service of clones")
	case q.OneCloneReplica && (len(replicas) != 1 || replicas[0].GetInstance() != 0):
		return invalidf("a clone session has one replica, of instance 0")
	}
	return nil
}

// filter is a query as the target sees it; it may refuse it.
func (q *Quirks) filter(query *p4v1.Entity) (*p4v1.Entity, error) {
	switch x := query.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		e := x.TableEntry
		if q.ReadsAllOnly && (e.GetTableId() != 0 || len(e.GetMatch()) > 0 || e.GetPriority() != 0 || len(e.GetMetadata()) > 0 ||
			e.GetAction() != nil || e.GetIsDefaultAction()) {
			return nil, lacking("reads but those of everything")
		}
		if q.NoFilters && len(e.GetMatch()) == 0 {
			return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
				TableId: e.GetTableId(), IsDefaultAction: e.GetIsDefaultAction(), CounterData: e.GetCounterData(),
				MeterConfig: e.GetMeterConfig(), TimeSinceLastHit: e.GetTimeSinceLastHit()}}}, nil
		}
	case *p4v1.Entity_ActionProfileMember, *p4v1.Entity_ActionProfileGroup:
		if q.NoMembers {
			return nil, lacking("action profile members and groups")
		}
	case *p4v1.Entity_DirectMeterEntry:
		if q.NoDirectMeters || q.NoDirectWildcards && x.DirectMeterEntry.GetTableEntry().GetTableId() == 0 {
			return nil, lacking("such reads of direct meters")
		}
	case *p4v1.Entity_DirectCounterEntry:
		if q.NoDirectWildcards && x.DirectCounterEntry.GetTableEntry().GetTableId() == 0 {
			return nil, lacking("direct counters of all tables")
		}
	}
	return query, q.lacks(query)
}
