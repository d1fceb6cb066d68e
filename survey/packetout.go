package survey

import (
	"context"
	"fmt"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
)

// packetOut sends a packet with a mode that there is not: the program counts and drops it, so that it is seen to have come with its metadata, and leaves by no port.
func (t *trial) packetOut(ctx context.Context) error {
	const topic, noMode = "packet-out", 255
	before, err := t.badPackets(ctx)
	if err != nil {
		t.report.add("counter cells", Lacks, "are not read: "+err.Error(), "drops are told by them")
		return nil
	}
	out := &p4.PacketOut{Payload: make([]byte, 64)}
	for _, h := range t.program.Info.GetControllerPacketMetadata() {
		if h.GetPreamble().GetName() != "packet_out" {
			continue
		}
		for _, m := range h.GetMetadata() {
			value := []byte{0}
			if m.GetName() == "mode" {
				value = []byte{noMode}
			}
			out.Metadata = append(out.Metadata, &p4.PacketMetadata{MetadataId: m.GetId(), Value: value})
		}
	}
	if err := t.stream.Send(&p4.StreamMessageRequest{Update: &p4.StreamMessageRequest_Packet{Packet: out}}); err != nil {
		return fmt.Errorf("packet-out: %w", err)
	}
	for tick, end := time.NewTicker(20*time.Millisecond), time.After(idleWait); ; {
		now, err := t.badPackets(ctx)
		if err != nil {
			return err
		}
		if now > before {
			t.report.add(topic, OK, "comes to the program with its metadata", "")
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			t.noPackets = true
			t.report.add(topic, Lacks, fmt.Sprintf("is not seen by the program within %v", idleWait), "is the target's CPU port 510?")
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// badPackets counts packet-outs whose mode is not known.
func (t *trial) badPackets(ctx context.Context) (packets int64, err error) {
	id := uint32(0)
	for _, c := range t.program.Info.GetCounters() {
		if c.GetPreamble().GetName() == reasonCells {
			id = c.GetPreamble().GetId()
		}
	}
	index := int64(offload.SideCPU)<<8 | int64(flow.ReasonBadPacketOut)
	_, err = t.read(ctx, &p4.Entity{Entity: &p4.Entity_CounterEntry{CounterEntry: &p4.CounterEntry{CounterId: id, Index: &p4.Index{Index: index}}}}, func(e *p4.Entity) {
		packets = e.GetCounterEntry().GetData().GetPacketCount()
	})
	return packets, err
}

// choose finds the profile of which everything that was tried is so.
func (t *trial) choose() {
	for _, p := range profiles() {
		if t.fits(&p) {
			t.report.Profile = p.Name
			return
		}
	}
}

func (t *trial) fits(p *p4rt.Profile) bool {
	full := t.full == codes.OK || t.full == p.FullCode
	groups := t.groups >= min(p.MulticastMax, tryGroup) && (t.groups == tryGroup || p.MulticastMax <= t.groups)
	if p.NoReplication {
		groups = t.noReplication
	}
	return full && groups && t.exists == p.ExistsCode && t.absent == p.AbsentCode && t.oneReplica == p.OneCloneReplica && t.noIdle == p.NoIdle && t.noPackets == p.NoPackets
}
