package pipeline

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomLine makes a line over the first 40 slots.
func randomLine(r *rand.Rand) line {
	slot := func() uint16 { return uint16(r.IntN(32)) }
	number := func() uint64 {
		return []uint64{0, 1, allOnes, 1 << 31, 1<<31 - 1, 1 << 32, 1<<32 - 1, 1 << 63, r.Uint64(), r.Uint64() >> r.IntN(64), -uint64(r.IntN(200))}[r.IntN(11)]
	}
	l := line{next: 9}
	for range r.IntN(12) {
		p := step{m: number(), k: number(), a: slot(), b: slot(), c: slot(), s: uint8(r.IntN(64)), kind: stepKind(r.IntN(5)),
			pre: -int8(r.IntN(2)), post: -int8(r.IntN(2))}
		if p.kind >= stepAdd { // headers have slots of their own, validity is 0 or 1
			p.a, p.b, p.c, p.k = 34, 38, 39, uint64(r.IntN(60))
		}
		l.steps = append(l.steps, p)
	}
	for i := range r.IntN(6) {
		t := test{m: number(), v: number(), a: slot(), b: slot(), to: uint32(i), kind: testKind(r.IntN(3)), want: r.IntN(2) == 0}
		if t.kind == testLess {
			t.m = uint64(r.IntN(2)) << 63
		}
		l.tests = append(l.tests, t)
	}
	return l
}

// TestNativeLines compares machine code with the interpreter on random lines.
func TestNativeLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		x := &code{ins: make([]ins, 10)} // all of them end
		for range 8 {
			x.lines = append(x.lines, randomLine(r))
		}
		for i := range x.lines {
			x.ins = append(x.ins, ins{op: iLine, k: uint64(i)})
		}
		x.native(&Program{})
		if x.ins[10].entry == 0 {
			t.Skip("no machine code on this platform")
		}
		for i := range x.lines {
			a, b := &ctx{f: make([]uint64, maxFrameSlots)}, &ctx{f: make([]uint64, maxFrameSlots)}
			for s := range 40 {
				a.f[s] = []uint64{r.Uint64(), r.Uint64() >> r.IntN(64), 0, bits.Reverse64(uint64(r.IntN(4)))}[r.IntN(4)]
			}
			a.f[38], a.f[lengthSlot] = uint64(r.IntN(2)), 100
			copy(b.f, a.f)
			got, _ := callNative(x.ins[10+i].entry, (*slots)(a.f), nil)
			want := x.lines[i].run(b)
			if got != want {
				t.Fatalf("%d: goes on at %d, want %d: %+v", n, got, want, x.lines[i])
			}
			if !slices.Equal(a.f, b.f) {
				t.Fatalf("%d: %+v: %s", n, x.lines[i], cmp.Diff(b.f[:40], a.f[:40]))
			}
		}
	}
}

// ways loads a program in all ways that it can run: as machine code,
// interpreted, and as closures only.
func ways(t testing.TB, program []byte) []*Program {
	t.Helper()
	var out []*Program
	for _, way := range [][2]bool{{false, false}, {false, true}, {true, true}} {
		p, err := load(program, way[0], way[1])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestWaysAgree runs random packets through programs in all ways.
func TestWaysAgree(t *testing.T) {
	weftJSON, err := os.ReadFile("../../p4src/build/weft.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		program []byte
		fill    func(*harness)
	}{
		"weft":    {weftJSON, func(h *harness) { forwardFlows(t, h, 20) }},
		"overlay": {overlay().json(), func(h *harness) { fillOverlay(t, h, 20) }},
		"full":    {full().json(), func(*harness) {}},
	} {
		t.Run(name, func(t *testing.T) {
			var hs []*harness
			for _, p := range ways(t, tc.program) {
				h := &harness{}
				h.Machine = New(p, Options{CPUPort: cpuPort, Emit: func(port uint16, f []byte) {
					h.out = append(h.out, emission{port, string(f)})
				}})
				tc.fill(h)
				h.SetClone(1, CloneSession{Replicas: []Replica{{Port: 1}, {Port: 2}}, Truncate: 20})
				hs = append(hs, h)
			}
			r := rand.New(rand.NewPCG(3, 4))
			for range 2000 {
				frame := randomFrame(r)
				port := []uint16{1, 2, underlayPort, cpuPort, 9}[r.IntN(5)]
				want := fmt.Sprint(frames(hs[0].send(port, bytes.Clone(frame))))
				for i, h := range hs[1:] {
					if got := fmt.Sprint(frames(h.send(port, bytes.Clone(frame)))); got != want {
						t.Fatalf("way %d, port %d, frame %x:\n got %s\nwant %s", i+1, port, frame, got, want)
					}
				}
			}
			for _, h := range hs[1:] {
				if d := cmp.Diff(hs[0].Stats(), h.Stats()); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// randomFrame is a frame that gets some way: IPv4 over Ethernet, at times in a
// tunnel, with some bytes changed, at times cut.
func randomFrame(r *rand.Rand) []byte {
	f := udpFrame(10<<24+1, uint32(10<<24+1000+r.IntN(30)), 4000, 53, r.IntN(40))
	if r.IntN(3) == 0 {
		outer := udpFrame(0xc0a80001, 0xc0a80002, 5000, 4789, len(f)+8)
		f = append(append(outer[:42:42], 8, 0, 0, 0, 0, 1, 0xf4, 0), f...)
	}
	for range r.IntN(4) {
		f[r.IntN(len(f))] = []byte{0, 1, 4, 6, 17, 0x45, 0x46, 0x60, 0x81, 0xff, byte(r.Uint32())}[r.IntN(11)]
	}
	if r.IntN(4) == 0 {
		f = f[:r.IntN(len(f)+1)]
	}
	return f
}

// TestConcurrentExact changes entries of an exact table, and lets garbage be collected, while
// packets look it up: each is marked by what was ever an entry of its key.
func TestConcurrentExact(t *testing.T) {
	h := run(t, matcher([2]string{"exact", "exact"}, nil), Options{})
	var hits atomic.Uint64
	h.Machine.o.Emit = func(_ uint16, f []byte) {
		if f[6] != 0 && f[6] != f[3]+1 {
			t.Errorf("key %d marked %d", f[3], f[6])
		}
		if f[6] != 0 {
			hits.Add(1)
		}
	}
	tbl := h.tbl(t, "t")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := byte(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				h.Process(1, []byte{0, 0, 0, i & 0x3f, 1, 0, 0})
			}
		}
	})
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 40000 {
		key := byte(r.IntN(64))
		match := []FieldMatch{{Value: []byte{key}}, {Value: []byte{1}}}
		a, p := mark(int(key) + 1)
		switch r.IntN(3) {
		case 0:
			_ = tbl.Delete(match, 0)
		case 1:
			_ = tbl.Modify(Entry{Match: match, Action: a, Params: p})
		default:
			_ = tbl.Insert(Entry{Match: match, Action: a, Params: p})
		}
		if i%200 == 0 {
			runtime.GC()
		}
	}
	close(stop)
	wg.Wait()
	if hits.Load() == 0 {
		t.Error("no packet met an entry")
	}
}

func TestCRCSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 100 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if got, want := sliceCRC().sum(b), crc32.ChecksumIEEE(b); got != want {
			t.Errorf("%x: %x, want %x", b, got, want)
		}
	}
}
