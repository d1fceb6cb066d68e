package engine

import (
	"context"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/topology"
)

// benchWindow is how many packets are under way at once.
const benchWindow = 1024

// benchPoll is how often counts are looked at that nobody tells of.
const benchPoll = 100 * time.Microsecond

// nullBench is an agent that is whole, with a database of its own that syncs to disk, and with a target that costs nothing.
type nullBench struct {
	*testing.B
	store  *state.Store
	agent  *Agent
	target *nullTarget
	locals [bulk.VMs]uint16
	v6     bool
}

// newNullBench brings up the agent with a network.
func newNullBench(b *testing.B, network string, v6 bool) *nullBench {
	b.Helper()
	percent := debug.SetGCPercent(GCPercent)
	b.Cleanup(func() { debug.SetGCPercent(percent) })
	t := &nullBench{B: b, v6: v6, store: runStore(b, state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir()}})}
	revision := t.apply(network)
	if err := t.store.WaitRevision(b.Context(), revision); err != nil {
		b.Fatal(err)
	}
	var err error
	if t.target, err = newNullTarget(); err != nil {
		b.Fatal(err)
	}
	t.agent, err = NewAgent(Config{
		Store: t.store, Self: Edge{ID: bulk.Edge, VTEPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, Dial: t.target.dial, VPortShare: 100, IdleTimeout: time.Hour,
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range t.agent.tables.FlowTables() {
		if strings.Contains(table.Name, "exact") {
			table.Size = 0 // as many as there are
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- t.agent.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-t.agent.Ready():
	case err := <-done:
		done <- nil
		b.Fatal(err)
	case <-time.After(time.Minute):
		b.Fatal("the agent was not ready within a minute")
	}
	t.applied(revision)
	t.call(func(c *core) {
		for i := range t.locals {
			id, _ := c.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: bulk.VM(i)})
			t.locals[i], _ = c.locals.vports.Lookup(flow.VPortID(id))
		}
	})
	return t
}

// call has f called by the agent's goroutine.
func (t *nullBench) call(f func(c *core)) {
	t.Helper()
	if err := t.agent.mail.call(t.Context(), func() { f(t.agent.core) }); err != nil {
		t.Fatal(err)
	}
}

func (t *nullBench) apply(objects string) int64 {
	t.Helper()
	return t.write(t.decode(objects))
}

func (t *nullBench) decode(objects string) []*topology.Object {
	t.Helper()
	list, err := topology.Decode("bench.yaml", []byte(objects))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (t *nullBench) write(objects []*topology.Object) int64 {
	t.Helper()
	revision, err := t.store.Apply(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// applied returns when the target has a revision of the configuration, and what follows from it.
func (t *nullBench) applied(revision int64) {
	t.Helper()
	err := t.store.WaitRevision(t.Context(), revision)
	if err == nil {
		err = t.agent.WaitApplied(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// decide gives the agent the first packets of flows from..to-1 and returns how long it took until all of them were decided and, if they are new, the target had
// an entry for each.
func (t *nullBench) decide(of func(i int) bulk.Flow, from, to int, fresh bool) time.Duration {
	t.Helper()
	begin, sent := t.agent.Stats(), new(atomic.Int64)
	decided := func() int64 { return int64(t.agent.counts.upcalls.Load() - begin.Upcalls) }
	inserted := t.target.inserted.Load()
	began := time.Now()
	select {
	case t.target.packets <- t.source(of, from, to, decided, sent):
	case <-time.After(stallTime):
		t.Fatal("the agent takes no packets")
	}
	n := int64(to - from)
	whole := t.target.await(func() bool {
		return decided() >= n && (!fresh || t.target.inserted.Load()-inserted >= n)
	})
	took := time.Since(began)
	if stats := t.agent.Stats(); !whole || stats.NotInstalled+stats.QueueDrops+stats.OutDrops+stats.WriteFails > 0 {
		t.Fatalf("%d packets of %d sent, %d decided, %d entries; agent %+v", sent.Load(), n, decided(), t.target.inserted.Load()-inserted, stats)
	}
	return took
}

// source makes the packets, no more of them under way than benchWindow.
func (t *nullBench) source(of func(i int) bulk.Flow, from, to int, decided func() int64, sent *atomic.Int64) packetSource {
	meta := [bulk.VMs][]byte{}
	for i := range meta {
		meta[i] = packetInMeta(uint64(i+1), uint64(t.locals[i]), uint64(flow.ReasonMissFlow))
	}
	payload := make([]byte, 18)
	size := bulk.PayloadAt(t.v6) + len(payload)
	i := from
	return func(ctx context.Context, b []byte) []byte {
		if i == to {
			return nil
		}
		for int64(i-from)-decided() >= benchWindow {
			if ctx.Err() != nil {
				return nil
			}
			time.Sleep(benchPoll) // the agent has packets for more than that
		}
		f := of(i)
		i++
		sent.Add(1)
		b = protowire.AppendTag(b, 2, protowire.BytesType)                                                    // StreamMessageResponse.packet
		b = protowire.AppendVarint(b, uint64(protowire.SizeTag(1)+protowire.SizeBytes(size)+len(meta[f.VM]))) // its length
		b = protowire.AppendTag(b, 1, protowire.BytesType)                                                    // PacketIn.payload
		b = protowire.AppendVarint(b, uint64(size))
		return append(f.AppendFrame(b, t.v6, payload), meta[f.VM]...)
	}
}

// packetInMeta encodes the metadata of a PacketIn: p4src/shared/headers.p4.
func packetInMeta(port, vport, reason uint64) []byte {
	canonical := func(v uint64) []byte {
		b := []byte{byte(v >> 8), byte(v)}
		if b[0] == 0 {
			return b[1:]
		}
		return b
	}
	m := &p4.PacketIn{}
	for i, v := range []uint64{port, vport, reason, 0, 0, 0} {
		m.Metadata = append(m.Metadata, &p4.PacketMetadata{MetadataId: uint32(i + 1), Value: canonical(v)})
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
