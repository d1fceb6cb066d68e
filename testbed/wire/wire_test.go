package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"
	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func numbered(n int) []byte { return binary.BigEndian.AppendUint32(make([]byte, 60), uint32(n)) }

// run starts a cable within a synctest bubble and stops it at the end.
func run(t *testing.T, c *wire.Cable) {
	ctx, cancel := context.WithCancel(t.Context())
	go c.Run(ctx)
	t.Cleanup(func() { cancel(); synctest.Wait() })
}

func TestFramesArriveInOrderBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{NameA: "a", NameB: "b"})
		run(t, c)
		var atA, atB [][]byte
		c.A().SetReceiver(func(f []byte) { atA = append(atA, bytes.Clone(f)) })
		c.B().SetReceiver(func(f []byte) { atB = append(atB, bytes.Clone(f)) })
		var want [][]byte
		frame := make([]byte, 64)
		for i := range 100 {
			copy(frame, numbered(i)) // the sender reuses its buffer
			c.A().Send(frame)
			c.B().Send(frame)
			want = append(want, numbered(i))
		}
		synctest.Wait()
		if diff := cmp.Diff(want, atA); diff != "" {
			t.Error("at A:", diff)
		}
		if diff := cmp.Diff(want, atB); diff != "" {
			t.Error("at B:", diff)
		}
		got := c.A().Counters()
		if diff := cmp.Diff(wire.Counters{Sent: 100, SentBytes: 6400, Received: 100, ReceivedBytes: 6400}, got); diff != "" {
			t.Error("counters:", diff)
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{Depth: 4})
		run(t, c)
		for i := range 10 {
			c.A().Send(numbered(i)) // nobody receives yet: the queue holds 4
		}
		synctest.Wait()
		var got [][]byte
		c.B().SetReceiver(func(f []byte) { got = append(got, bytes.Clone(f)) })
		synctest.Wait()
		if diff := cmp.Diff([][]byte{numbered(0), numbered(1), numbered(2), numbered(3)}, got); diff != "" {
			t.Error(diff)
		}
		if c := c.A().Counters(); c.Sent != 4 || c.Overflow != 6 {
			t.Errorf("sent %d, overflow %d; want 4, 6", c.Sent, c.Overflow)
		}
	})
}

func TestUnpluggedCableDrops(t *testing.T) {
	c := wire.New(wire.Config{})
	c.SetUp(false)
	c.A().Send(numbered(1))
	c.SetUp(true)
	c.A().Send(numbered(2))
	if c := c.A().Counters(); c.Sent != 1 || c.Down != 1 {
		t.Errorf("sent %d, down %d; want 1, 1", c.Sent, c.Down)
	}
}

func TestLossFollowsTheSeed(t *testing.T) {
	arrivals := func(seed uint64) []uint64 {
		c := wire.New(wire.Config{Seed: seed, Depth: 1000})
		c.SetLoss(0.3)
		var sent []uint64
		for i := range 1000 {
			c.A().Send(numbered(i))
			sent = append(sent, c.A().Counters().Sent)
		}
		return sent
	}
	first := arrivals(7)
	if diff := cmp.Diff(first, arrivals(7)); diff != "" {
		t.Error("same seed, other losses:", diff)
	}
	if cmp.Equal(first, arrivals(8)) {
		t.Error("other seed, same losses")
	}
	if got := first[len(first)-1]; got < 600 || got > 800 {
		t.Errorf("%d of 1000 frames survived a loss of 30 %%", got)
	}
}

func TestPortPullsAndCloses(t *testing.T) {
	c := wire.New(wire.Config{NameB: "eth1"})
	p := c.B().Port()
	if p.Name() != "eth1" || !p.Up() {
		t.Errorf("port %q up=%v", p.Name(), p.Up())
	}
	c.A().Send(numbered(1))
	c.A().Send(numbered(2))
	frames, sizes := [][]byte{make([]byte, port.MaxFrame), make([]byte, port.MaxFrame), make([]byte, port.MaxFrame)}, make([]int, 3)
	n, err := p.Recv(frames, sizes)
	if n != 2 || err != nil || !bytes.Equal(frames[1][:sizes[1]], numbered(2)) {
		t.Fatalf("Recv = %d, %v, second frame %x", n, err, frames[1][:sizes[1]])
	}
	if n, err := p.Send([][]byte{numbered(3), make([]byte, port.MaxFrame+1), numbered(4)}); n != 1 || err != nil {
		t.Errorf("Send with an overlong second frame = %d, %v; want 1", n, err)
	}
	ended := make(chan error)
	go func() {
		_, err := p.Recv(frames, sizes)
		ended <- err
	}()
	p.Close()
	if err := <-ended; !errors.Is(err, port.ErrClosed) {
		t.Errorf("Recv after Close: %v", err)
	}
	if _, err := p.Send([][]byte{numbered(5)}); !errors.Is(err, port.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}

// A pump without a receiver waits beside the port that pulls: it must not take its wake-ups.
func TestPortPullsWhileTheCableRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := wire.New(wire.Config{})
		p := c.B().Port()
		ended := make(chan int)
		run(t, c)
		synctest.Wait() // the pumps wait first
		go func() {
			frames, sizes, total := [][]byte{make([]byte, port.MaxFrame)}, make([]int, 1), 0
			for {
				n, err := p.Recv(frames, sizes)
				if err != nil {
					ended <- total
					return
				}
				total += n
			}
		}()
		for i := range 10 {
			c.A().Send(numbered(i))
			synctest.Wait()
			if got := c.B().Counters().Received; got != uint64(i+1) {
				t.Errorf("%d frames pulled after %d sent", got, i+1)
			}
		}
		p.Close()
		if total := <-ended; total != 10 {
			t.Errorf("%d frames pulled, want 10", total)
		}
	})
}

func TestCapture(t *testing.T) {
	stamp := time.Date(2030, 1, 2, 3, 4, 5, 678, time.UTC)
	c := wire.New(wire.Config{Now: func() time.Time { return stamp }})
	var file bytes.Buffer
	if err := c.Capture(&file); err != nil {
		t.Fatal(err)
	}
	c.A().Send(numbered(1))
	c.B().Send(numbered(2))
	if err := c.Capture(nil); err != nil {
		t.Fatal(err)
	}
	c.A().Send(numbered(3))
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 2} {
		frame, info, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(frame, numbered(want)) || !info.Timestamp.Equal(stamp) {
			t.Errorf("record %d: %x at %s, %v", want, frame, info.Timestamp, err)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("after the end of the capture: %v", err)
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestFailingCaptureLeavesTraffic(t *testing.T) {
	c := wire.New(wire.Config{})
	if err := c.Capture(&brokenWriter{left: 1}); err != nil {
		t.Fatal(err)
	}
	c.A().Send(numbered(1))
	if err := c.CaptureErr(); err == nil {
		t.Error("no error of the capture")
	}
	if got := c.A().Counters().Sent; got != 1 {
		t.Errorf("%d frames sent, want 1", got)
	}
}

func TestNoAllocation(t *testing.T) {
	c := wire.New(wire.Config{})
	p := c.B().Port()
	frame := numbered(1)
	frames, sizes := [][]byte{make([]byte, port.MaxFrame)}, make([]int, 1)
	pass := func() {
		c.A().Send(frame)
		if n, err := p.Recv(frames, sizes); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	pass()
	if n := testing.AllocsPerRun(100, pass); n != 0 {
		t.Errorf("%v allocations per frame, want 0", n)
	}
}

func BenchmarkCable(b *testing.B) {
	c := wire.New(wire.Config{})
	p := c.B().Port()
	frame := make([]byte, 1514)
	frames, sizes := [][]byte{make([]byte, port.MaxFrame)}, make([]int, 1)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		c.A().Send(frame)
		p.Recv(frames, sizes)
	}
}
