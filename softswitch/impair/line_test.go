package impair

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// arrival is a frame that came out of a line, by its number, and when.
type arrival struct {
	number uint32
	after  time.Duration
}

// pass sends n frames of size bytes, one every gap, and returns what comes out.
func pass(t *testing.T, c Config, n, size int, gap time.Duration) (out []arrival, stats Stats) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := New(c, 1, func(f []byte) {
			if len(f) != size {
				t.Errorf("frame of %d bytes, want %d", len(f), size)
			}
			out = append(out, arrival{binary.BigEndian.Uint32(f), time.Since(start)})
		})
		frame := make([]byte, size)
		for i := range n {
			binary.BigEndian.PutUint32(frame, uint32(i))
			l.Send(frame)
			time.Sleep(gap)
		}
		time.Sleep(time.Hour)
		stats = l.Stats()
		l.Close()
	})
	return out, stats
}

func numbers(out []arrival) []uint32 {
	var ns []uint32
	for _, a := range out {
		ns = append(ns, a.number)
	}
	return ns
}

func TestPerfectLine(t *testing.T) {
	out, stats := pass(t, Config{}, 5, 64, time.Millisecond)
	for i, a := range out {
		if a.number != uint32(i) || a.after != time.Duration(i)*time.Millisecond {
			t.Errorf("frame %d came after %v", a.number, a.after)
		}
	}
	if stats != (Stats{Passed: 5}) {
		t.Errorf("%+v", stats)
	}
}

func TestDelayAndRate(t *testing.T) {
	// 125 bytes at 1 Mb/s take a millisecond.
	out, _ := pass(t, Config{Delay: 10 * time.Millisecond, Rate: 1_000_000}, 5, 125, 0)
	for i, a := range out {
		if want := time.Duration(i+1)*time.Millisecond + 10*time.Millisecond; a.number != uint32(i) || a.after != want {
			t.Errorf("frame %d came after %v, want %d after %v", a.number, a.after, i, want)
		}
	}
	if len(out) != 5 {
		t.Errorf("%d frames", len(out))
	}
}

func TestLossIsAsConfigured(t *testing.T) {
	const n = 20_000
	out, stats := pass(t, Config{Loss: 0.1, Seed: 5}, n, 64, 0)
	if lost := n - len(out); lost < 1850 || lost > 2150 || stats.Lost != uint64(lost) {
		t.Errorf("%d of %d lost, %+v", lost, n, stats)
	}
	if !slices.IsSorted(numbers(out)) {
		t.Error("loss reorders")
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	out, _ := pass(t, Config{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond}, 1000, 64, 100*time.Microsecond)
	if len(out) != 1000 || !slices.IsSorted(numbers(out)) {
		t.Errorf("%d frames, in order %t", len(out), slices.IsSorted(numbers(out)))
	}
	spread := map[time.Duration]bool{}
	for _, a := range out {
		d := a.after - time.Duration(a.number)*100*time.Microsecond
		if d < 0 || d > 11*time.Millisecond {
			t.Fatalf("frame %d was delayed by %v", a.number, d)
		}
		spread[d.Truncate(time.Millisecond)] = true
	}
	if len(spread) < 3 {
		t.Errorf("delays %v do not vary", spread)
	}
}

func TestReorder(t *testing.T) {
	out, stats := pass(t, Config{Delay: 5 * time.Millisecond, Reorder: 0.2}, 1000, 64, 100*time.Microsecond)
	got := numbers(out)
	if len(got) != 1000 || slices.IsSorted(got) || stats.Overtook < 150 || stats.Overtook > 250 {
		t.Errorf("%d frames, in order %t, %+v", len(got), slices.IsSorted(got), stats)
	}
	slices.Sort(got)
	for i, n := range got {
		if n != uint32(i) {
			t.Fatalf("frame %d is missing or there twice", i)
		}
	}
}

// TestSeeds: the same seed does the same, another does not.
func TestSeeds(t *testing.T) {
	c := Config{Loss: 0.3, Delay: time.Millisecond, Jitter: time.Millisecond, Reorder: 0.1, Seed: 1}
	first, _ := pass(t, c, 500, 64, time.Millisecond)
	again, _ := pass(t, c, 500, 64, time.Millisecond)
	c.Seed = 2
	other, _ := pass(t, c, 500, 64, time.Millisecond)
	if !slices.Equal(first, again) {
		t.Error("one seed, two outcomes")
	}
	if slices.Equal(first, other) {
		t.Error("two seeds, one outcome")
	}
}

func TestLimit(t *testing.T) {
	out, stats := pass(t, Config{Delay: time.Second, Limit: 10}, 25, 64, 0)
	if len(out) != 10 || stats.Overflowed != 15 || numbers(out)[9] != 9 {
		t.Errorf("%v, %+v", numbers(out), stats)
	}
}

func TestCloseDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Delay: time.Second}, 1, func([]byte) { t.Error("came out") })
		l.Send(make([]byte, 64))
		l.Close()
		l.Send(make([]byte, 64))
		time.Sleep(time.Minute)
		if s := l.Stats(); s.Lost != 1 || s.Passed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestCheck(t *testing.T) {
	for _, c := range []Config{{Loss: -0.1}, {Loss: 1.1}, {Reorder: 2}, {Delay: -1}, {Delay: time.Hour}, {Jitter: -1}, {Limit: -1}, {Limit: 1 << 20}} {
		if c.Check() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
