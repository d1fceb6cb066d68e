package softswitch

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/weft-sdn/weft/softswitch/port"
)

// TestWritesInFlightDrainBeforePromotion checks the order that the specification sets.
func TestWritesInFlightDrainBeforePromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArbiter(1, 8, Quirks{})
		first, second := newSession(), newSession()
		offer := func(s *session, id uint64) {
			if err := a.update(s, &p4v1.MasterArbitrationUpdate{DeviceId: 1, ElectionId: &p4v1.Uint128{Low: id}}); err != nil {
				t.Error(err)
			}
		}
		offer(first, 1)
		<-first.control
		r, _, err := a.begin(1, "", &p4v1.Uint128{Low: 1})
		if err != nil {
			t.Fatal(err)
		}
		go offer(second, 2)
		synctest.Wait()
		if got := (<-first.control).GetArbitration().GetStatus().GetCode(); got != backup {
			t.Errorf("the old primary is told %d at once, want %d", got, backup)
		}
		if len(second.control) != 0 {
			t.Error("the new primary is told before the write is over")
		}
		for id := range uint64(3) {
			if _, _, err := a.begin(1, "", &p4v1.Uint128{Low: id}); faultOf(err).code != codes.PermissionDenied {
				t.Errorf("Write with id %d meanwhile: %v, want PermissionDenied", id, err)
			}
		}
		a.end(r)
		synctest.Wait()
		if got := (<-second.control).GetArbitration().GetStatus().GetCode(); got != ok {
			t.Errorf("the new primary is told %d, want %d", got, ok)
		}
		if _, _, err := a.begin(1, "", &p4v1.Uint128{Low: 2}); err != nil {
			t.Errorf("Write of the new primary: %v", err)
		}
	})
}

// TestAStreamThatIsNotReadIsCut fills the queue of arbitration messages.
func TestAStreamThatIsNotReadIsCut(t *testing.T) {
	s := newSession()
	for range controlQueue + 1 {
		s.notify(&p4v1.MasterArbitrationUpdate{})
	}
	<-s.ended
	if faultOf(s.result).code != codes.ResourceExhausted {
		t.Errorf("stream ends with %v, want ResourceExhausted", s.result)
	}
}

// TestPacketInQueueIsBounded floods a primary that does not read.
func TestPacketInQueueIsBounded(t *testing.T) {
	c := newLab(t).primary()
	c.write(insert(c.entry("mac", direct(c.action("punt", []byte{1}, []byte{2})), exact(1, 9))))
	in := port.NewBatch(1)
	in.Sizes[0] = copy(in.Frames[0], frame(9, 1, make([]byte, 1400)...))
	const flood = 4 * packetQueue
	for range flood {
		c.server.process(c.server.ports[1], in, 1)
	}
	s := c.server.Stats()
	if s.PacketIns+s.PacketInsDropped != flood || s.PacketInsDropped == 0 {
		t.Errorf("%d queued, %d dropped, want %d in all and some dropped", s.PacketIns, s.PacketInsDropped, flood)
	}
}

// TestDataplaneAtomicBatches flips two entries in one batch, with many updates between
// them, while pairs of frames pass: both frames of a pair always take the same way.
func TestDataplaneAtomicBatches(t *testing.T) {
	c := newLab(t).primary()
	c.write(insert(c.macEntry(1, 2)), insert(c.macEntry(2, 2)), insert(c.macEntry(3, 2)))
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for i := range 60 {
			to := byte(2 + i%2)
			batch := []*p4v1.Update{modify(c.macEntry(1, to))}
			for range 200 {
				batch = append(batch, modify(c.macEntry(3, to)))
			}
			batch = append(batch, modify(c.macEntry(2, to)))
			if err := c.tryWrite(p4v1.WriteRequest_DATAPLANE_ATOMIC, batch...); err != nil {
				t.Error(explain(err))
			}
		}
	})
	pair := port.NewBatch(2)
	pair.Sizes[0] = copy(pair.Frames[0], frame(1, 9))
	pair.Sizes[1] = copy(pair.Frames[1], frame(2, 9))
	out := port.NewBatch(2)
	way := uint16(2)
	pairs, flips := 0, 0
	for running := true; running; pairs++ {
		select {
		case <-done:
			running = false
		default:
		}
		c.server.process(c.server.ports[1], pair, 2)
		switch a, b := c.ends[2].Queued(), c.ends[3].Queued(); {
		case a == 1 && b == 1:
			t.Errorf("pair %d: one frame each way", pairs)
			writer.Wait()
			return
		case a == 2 && way == 3, b == 2 && way == 2:
			way = 5 - way
			flips++
		}
		if _, err := c.ends[way].Recv(out.Frames, out.Sizes); err != nil {
			t.Fatal(err)
		}
	}
	writer.Wait()
	if flips == 0 {
		t.Errorf("%d pairs saw no flip", pairs)
	}
}

// TestEverythingAtOnce runs packets, writes, reads, pushes and arbitration side by side,
// for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	l := newLab(t)
	c := l.primary()
	config := l.probe()
	var wg sync.WaitGroup
	const rounds = 60
	wg.Go(func() {
		for i := range rounds {
			_ = c.tryWrite(p4v1.WriteRequest_Atomicity(i%3), insert(l.macEntry(9, 2)), modify(l.macEntry(9, 3)),
				insert(&p4v1.MulticastGroupEntry{MulticastGroupId: 1, Replicas: []*p4v1.Replica{replica(2, 1, 3)}}),
				insert(&p4v1.DigestEntry{DigestId: l.id("learn_t"), Config: &p4v1.DigestEntry_Config{}}))
		}
	})
	wg.Go(func() {
		for i := range rounds / 4 {
			next := proto.CloneOf(config)
			next.P4DeviceConfig = append(next.P4DeviceConfig, byte("\n\t "[i%3]))
			if err := c.tryPush([]p4v1.SetForwardingPipelineConfigRequest_Action{commitNow, reconcile, save}[i%3], next); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range rounds {
			if _, _, err := l.tryRead(everything()...); err != nil {
				t.Error(explain(err))
			}
		}
	})
	wg.Go(func() {
		for range rounds {
			_, _ = l.ends[1].Send([][]byte{frame(9, 1), frame(8, 2)})
			l.ends[2].SetUp(false)
			l.server.sweep()
			l.ends[2].SetUp(true)
			l.server.sweep()
			l.server.PortStatus()
			l.server.Stats()
		}
	})
	wg.Go(func() {
		for range rounds {
			ctx, cancel := context.WithCancel(context.Background())
			stream, err := l.client.StreamChannel(ctx)
			if err != nil {
				t.Error(err)
			} else {
				_ = stream.Send(&p4v1.StreamMessageRequest{Update: &p4v1.StreamMessageRequest_Arbitration{
					Arbitration: &p4v1.MasterArbitrationUpdate{DeviceId: labDevice, ElectionId: &p4v1.Uint128{}}}})
				_ = stream.Send(packetOut(frame(1, 1), meta(1, 2), meta(2, 0)))
			}
			cancel()
		}
	})
	wg.Wait()
}

// brokenPort fails at once.
type brokenPort struct{ *port.End }

func (brokenPort) Recv([][]byte, []int) (int, error) { return 0, errors.New("cable cut") }

func TestALostPortLeavesTheOthersRunning(t *testing.T) {
	near, far := port.NewLink("switch", "host", 0)
	broken, _ := port.NewLink("switch", "nobody", 0)
	s, err := New(Options{CPUPort: labCPU, Ports: map[uint16]port.Port{1: near, 2: brokenPort{broken}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LoadConfig(probeConfig(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for s.PortStatus()[1].Up {
		runtime.Gosched()
	}
	if _, err := far.Send([][]byte{frame(9, 1)}); err != nil {
		t.Fatal(err)
	}
	for s.PortStatus()[0].RxPackets == 0 {
		runtime.Gosched()
	}
	if !s.PortStatus()[0].Up {
		t.Error("port 1 went down too")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAnEndedStreamCannotBecomePrimary(t *testing.T) {
	a := newArbiter(1, 8, Quirks{})
	s := newSession()
	msg := &p4v1.MasterArbitrationUpdate{DeviceId: 1, ElectionId: &p4v1.Uint128{Low: 1}}
	if err := a.update(s, msg); err != nil {
		t.Fatal(err)
	}
	a.leave(s)
	if err := a.update(s, msg); err == nil {
		t.Error("arbitration of an ended stream was accepted")
	}
	if len(*a.primaries.Load()) != 0 {
		t.Error("an ended stream is primary")
	}
}
