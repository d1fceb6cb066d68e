package survey

import (
	"context"
	"fmt"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/offload"
)

// fullTable fills a small table, and one entry more.
func (t *trial) fullTable(ctx context.Context) error {
	const topic = "a full table"
	table := t.tableNamed(smallTable)
	size, taken := uint32(table.GetSize()), uint32(0)
	var there []*p4.Update
	for n := range 2 * size {
		e, err := t.entry(table, n)
		if err != nil {
			break // the key has no more values
		}
		code, err := t.one(ctx, update(p4.Update_INSERT, e))
		if err != nil {
			return err
		}
		if code == codes.AlreadyExists { // of somebody's before
			continue
		}
		if code != codes.OK {
			t.full = code
			break
		}
		taken++
		there = append(there, update(p4.Update_DELETE, e))
	}
	for _, u := range there {
		if _, err := t.one(ctx, u); err != nil {
			return err
		}
	}
	switch {
	case t.full == codes.OK:
		t.report.add(topic, Differs, fmt.Sprintf("%s takes %d entries and more, its size is %d", smallTable, taken, size), "")
	case t.full == codes.ResourceExhausted:
		t.report.add(topic, OK, fmt.Sprintf("refuses with %v after %d entries of %s, whose size is %d", t.full, taken, smallTable, size), "")
	default:
		t.report.add(topic, Differs, fmt.Sprintf("refuses with %v after %d entries of %s, whose size is %d", t.full, taken, smallTable, size), "")
	}
	return nil
}

// idle waits for the notice of an entry that no packet meets.
func (t *trial) idle(ctx context.Context) error {
	const topic, advice = "idle timeouts", "flows that ended are found by their counters, read in rounds"
	table := t.tableNamed(flowTable)
	e, err := t.entry(table, 2)
	if err != nil {
		return err
	}
	code, err := t.one(ctx, update(p4.Update_INSERT, idle(e, idleTime)))
	if err != nil {
		return err
	}
	if code != codes.OK {
		t.noIdle = true
		t.report.add(topic, Differs, fmt.Sprintf("refused: %v", code), advice)
		return nil
	}
	began, told := time.Now(), false
	select {
	case <-t.idled:
		told = true
	case <-time.After(idleWait):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if told {
		t.report.add(topic, OK, fmt.Sprintf("of %v are told after %v", idleTime, time.Since(began).Round(100*time.Millisecond)), "")
	} else {
		t.noIdle = true
		t.report.add(topic, Differs, fmt.Sprintf("of %v are taken, and not told within %v", idleTime, idleWait), advice)
	}
	_, err = t.one(ctx, update(p4.Update_DELETE, e))
	return err
}

// multicast tries groups with large ids.
func (t *trial) multicast(ctx context.Context) error {
	const topic = "multicast groups"
	for _, id := range []uint32{tryGroup, tryGroup / 2} {
		group := func(kind p4.Update_Type) *p4.Update {
			return &p4.Update{Type: kind, Entity: &p4.Entity{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4.PacketReplicationEngineEntry{
				Type: &p4.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: &p4.MulticastGroupEntry{MulticastGroupId: id}},
			}}}}
		}
		code, err := t.one(ctx, group(p4.Update_INSERT))
		if err != nil {
			return err
		}
		if code != codes.OK {
			continue
		}
		t.groups = id
		_, err = t.one(ctx, group(p4.Update_DELETE))
		if err != nil {
			return err
		}
		break
	}
	switch t.groups {
	case tryGroup:
		t.report.add(topic, OK, fmt.Sprintf("up to %d", t.groups), "")
	case 0:
		t.report.add(topic, Lacks, fmt.Sprintf("%d is refused", tryGroup/2), "broadcast needs them")
	default:
		t.report.add(topic, Differs, fmt.Sprintf("up to %d, not %d", t.groups, tryGroup), "")
	}
	return nil
}

// clones tries a clone session with one replica, and with two.
func (t *trial) clones(ctx context.Context) error {
	const topic = "clone sessions"
	session := func(kind p4.Update_Type, replicas int) *p4.Update {
		e := &p4.CloneSessionEntry{SessionId: trySession}
		for i := range replicas {
			//lint:ignore SA1019 targets before P4Runtime 1.4 have no other
			e.Replicas = append(e.Replicas, &p4.Replica{PortKind: &p4.Replica_EgressPort{EgressPort: offload.CPUPort}, Instance: uint32(i)})
		}
		return &p4.Update{Type: kind, Entity: &p4.Entity{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4.PacketReplicationEngineEntry{
			Type: &p4.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: e},
		}}}}
	}
	var fates [2]codes.Code
	for i := range fates {
		var err error
		if fates[i], err = t.one(ctx, session(p4.Update_INSERT, i+1)); err != nil {
			return err
		}
		if fates[i] == codes.OK {
			if _, err = t.one(ctx, session(p4.Update_DELETE, i+1)); err != nil {
				return err
			}
		}
	}
	switch {
	case fates[0] != codes.OK:
		t.noReplication = t.groups == 0
		t.report.add(topic, Lacks, fmt.Sprintf("refused: %v", fates[0]), "the ends of TCP connections are seen by copies")
	case fates[1] != codes.OK:
		t.oneReplica = true
		t.report.add(topic, Differs, fmt.Sprintf("with one replica; two are refused: %v", fates[1]), "")
	default:
		t.report.add(topic, OK, "with several replicas", "")
	}
	return nil
}

// meters sets a cell of the punt meter, and takes the setting back.
func (t *trial) meters(ctx context.Context) error {
	const topic = "meters"
	id, size := uint32(0), int64(0)
	for _, m := range t.program.Info.GetMeters() {
		if m.GetPreamble().GetName() == punts {
			id, size = m.GetPreamble().GetId(), m.GetSize()
		}
	}
	cell := func(config *p4.MeterConfig) *p4.Update {
		return &p4.Update{Type: p4.Update_MODIFY, Entity: &p4.Entity{Entity: &p4.Entity_MeterEntry{MeterEntry: &p4.MeterEntry{MeterId: id, Index: &p4.Index{Index: size - 1}, Config: config}}}}
	}
	code, err := t.one(ctx, cell(&p4.MeterConfig{Cir: 100, Cburst: 100, Pir: 100, Pburst: 100}))
	if err != nil {
		return err
	}
	if code != codes.OK {
		t.report.add(topic, Lacks, fmt.Sprintf("%s is refused: %v", punts, code), "what a vport may hand up is not bounded without")
		return nil
	}
	t.report.add(topic, OK, fmt.Sprintf("%s has %d cells", punts, size), "")
	_, err = t.one(ctx, cell(nil))
	return err
}
