package port

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// recvOne receives one frame.
func recvOne(t testing.TB, p Port) []byte {
	t.Helper()
	b := NewBatch(1)
	if _, err := p.Recv(b.Frames, b.Sizes); err != nil {
		t.Fatal(err)
	}
	return b.Frames[0][:b.Sizes[0]]
}

func sendOne(t testing.TB, p Port, frame []byte, want int) {
	t.Helper()
	if n, err := p.Send([][]byte{frame}); n != want || err != nil {
		t.Fatalf("Send = %d, %v, want %d", n, err, want)
	}
}

func TestLinkCopiesInOrder(t *testing.T) {
	a, b := NewLink("a", "b", 8)
	frame := make([]byte, 60)
	for i := range 3 {
		frame[0] = byte(i)
		sendOne(t, a, frame, 1)
	}
	frame[0] = 99 // the sender's memory is its own again
	batch := NewBatch(8)
	n, err := b.Recv(batch.Frames, batch.Sizes)
	if n != 3 || err != nil {
		t.Fatalf("Recv = %d, %v, want 3", n, err)
	}
	for i := range 3 {
		if batch.Sizes[i] != 60 || batch.Frames[i][0] != byte(i) {
			t.Errorf("frame %d: %d bytes, first %d", i, batch.Sizes[i], batch.Frames[i][0])
		}
	}
	sendOne(t, b, []byte("back"), 1)
	if got := recvOne(t, a); string(got) != "back" {
		t.Errorf("received %q", got)
	}
}

func TestLinkDropsWhenFullDownOrTooLong(t *testing.T) {
	a, b := NewLink("a", "b", 2)
	frames := [][]byte{{1}, {2}, {3}}
	if n, err := a.Send(frames); n != 2 || err != nil {
		t.Errorf("Send = %d, %v, want 2", n, err)
	}
	if a.Overflow() != 1 {
		t.Errorf("Overflow = %d, want 1", a.Overflow())
	}
	recvOne(t, b)
	sendOne(t, a, make([]byte, MaxFrame+1), 0)
	sendOne(t, a, make([]byte, MaxFrame), 1)
	b.SetUp(false)
	if a.Up() || b.Up() {
		t.Error("link is up after SetUp(false)")
	}
	sendOne(t, b, []byte{1}, 0)
}

func TestLinkClose(t *testing.T) {
	a, b := NewLink("a", "b", 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		batch := NewBatch(1)
		if _, err := a.Recv(batch.Frames, batch.Sizes); !errors.Is(err, ErrClosed) {
			t.Errorf("Recv after Close: %v", err)
		}
	})
	a.Close()
	wg.Wait()
	if _, err := a.Send([][]byte{{1}}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	sendOne(t, b, []byte{1}, 0) // nobody is there
	if b.Up() {
		t.Error("the other end is up")
	}
}

func TestLinkDoesNotAllocate(t *testing.T) {
	a, b := NewLink("a", "b", 4)
	frames := [][]byte{make([]byte, 1500)}
	batch := NewBatch(4)
	once := func() {
		if n, _ := a.Send(frames); n != 1 {
			t.Fatal("dropped")
		}
		if _, err := b.Recv(batch.Frames, batch.Sizes); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		once() // slots grow to size
	}
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations per frame, want none", n)
	}
}

// pump receives everything from p until it is closed.
func pump(p Port) (<-chan []byte, *sync.WaitGroup) {
	out := make(chan []byte, 1<<16)
	var wg sync.WaitGroup
	wg.Go(func() {
		b := NewBatch(BatchSize)
		for {
			n, err := p.Recv(b.Frames, b.Sizes)
			if err != nil {
				return
			}
			for i := range n {
				out <- bytes.Clone(b.Frames[i][:b.Sizes[i]])
			}
		}
	})
	return out, &wg
}

// send offers a frame until the port takes it.
func send(t *testing.T, p Port, frame []byte) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if n, err := p.Send([][]byte{frame}); err != nil {
			t.Fatal(err)
		} else if n == 1 {
			return
		}
		<-tick.C
	}
	t.Fatal("the port takes no frame")
}

func TestUnixLinkCarriesFramesAndSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cable")
	open := func() Port {
		p, err := Open("unix:" + path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := open(), open()
	fromB, aDone := pump(a)
	fromA, bDone := pump(b)
	exchange := func(round int) {
		t.Helper()
		for i := range 100 {
			frame := bytes.Repeat([]byte{byte(i)}, 1+i*90)
			send(t, a, frame)
			if got := <-fromA; !bytes.Equal(got, frame) {
				t.Fatalf("round %d: frame %d: %d bytes, want %d", round, i, len(got), len(frame))
			}
			send(t, b, frame)
			if got := <-fromB; !bytes.Equal(got, frame) {
				t.Fatalf("round %d: frame %d back: %d bytes, want %d", round, i, len(got), len(frame))
			}
		}
	}
	exchange(1)
	if !a.Up() || !b.Up() {
		t.Error("the link is down")
	}
	b.Close() // the dialling end
	bDone.Wait()
	b = open()
	fromA, bDone = pump(b)
	exchange(2)
	a.Close() // the listening end; its lock is free then
	aDone.Wait()
	a = open()
	fromB, aDone = pump(a)
	exchange(3)
	a.Close()
	b.Close()
	aDone.Wait()
	bDone.Wait()
	if _, err := b.Send([][]byte{{1}}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}

func TestUnixLinkDropsWithoutAPeer(t *testing.T) {
	p, err := Open("unix:" + filepath.Join(t.TempDir(), "cable"))
	if err != nil {
		t.Fatal(err)
	}
	sendOne(t, p, []byte{1}, 0)
	if p.Up() {
		t.Error("up without a peer")
	}
	_, done := pump(p)
	p.Close()
	done.Wait()
}

func TestOpenReportsWhatIsMissing(t *testing.T) {
	for _, spec := range []string{"no-such-interface", "unix:/nonexistent/dir/link", "tap:a-name-that-is-much-too-long"} {
		if p, err := Open(spec); err == nil || p != nil {
			t.Errorf("Open(%q) = %v, %v", spec, p, err)
		}
	}
}

func TestCaptureHoldsBothDirections(t *testing.T) {
	a, b := NewLink("a", "b", 8)
	var file bytes.Buffer
	stamp := time.Unix(5, 0)
	c, err := NewCapture(a, &file, func() time.Time { return stamp })
	if err != nil {
		t.Fatal(err)
	}
	sendOne(t, c, []byte("out"), 1)
	sendOne(t, b, []byte("in"), 1)
	recvOne(t, c)
	b.SetUp(false)
	sendOne(t, c, []byte("lost"), 0)
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"out", "in"} {
		data, info, err := r.ReadPacketData()
		if err != nil || string(data) != want || !info.Timestamp.Equal(stamp) {
			t.Errorf("record %q at %v, %v, want %q", data, info.Timestamp, err, want)
		}
	}
	if _, _, err := r.ReadPacketData(); err == nil {
		t.Error("a dropped frame was recorded")
	}
	broken, err := NewCapture(a, &failAfter{n: 1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	a.SetUp(true)
	sendOne(t, broken, []byte("x"), 1)
	if !broken.Failed() {
		t.Error("a failing file went unnoticed")
	}
}

type failAfter struct{ n int }

func (f *failAfter) Write(b []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func BenchmarkLink(b *testing.B) {
	for _, size := range []int{64, 1500} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			x, y := NewLink("a", "b", 64)
			frames := [][]byte{make([]byte, size)}
			batch := NewBatch(1)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Send(frames)
				_, _ = y.Recv(batch.Frames, batch.Sizes)
			}
		})
	}
}

func BenchmarkUnix(b *testing.B) {
	path := filepath.Join(b.TempDir(), "cable")
	x, err := Open("unix:" + path)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	y, err := Open("unix:" + path)
	if err != nil {
		b.Fatal(err)
	}
	defer y.Close()
	go func() {
		batch := NewBatch(1)
		_, _ = x.Recv(batch.Frames, batch.Sizes)
	}()
	batch := NewBatch(BatchSize)
	frames := make([][]byte, BatchSize)
	for i := range frames {
		frames[i] = make([]byte, 200)
	}
	ready := make(chan error)
	go func() {
		_, err := y.Recv(batch.Frames, batch.Sizes)
		ready <- err
	}()
	for done := false; !done; {
		select {
		case <-ready:
			done = true
		default:
			_, _ = x.Send(frames[:1])
		}
	}
	b.ReportAllocs()
	for b.Loop() { // per batch of 32
		sent, _ := x.Send(frames)
		for got := 0; got < sent; {
			n, err := y.Recv(batch.Frames, batch.Sizes)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
}
