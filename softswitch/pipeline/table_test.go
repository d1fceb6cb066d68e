package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// matcher has one table on a 32-bit and an 8-bit field; the action writes its
// parameter in the packet.
func matcher(kinds [2]string, extra m) *asm {
	a := newAsm()
	a.header("x", false, "a", 32, "b", 8, "r", 16)
	a.header("meta", true, "colour", 8)
	a.state("start", list(extractHeader("x")), list(), to(nil, nil))
	a.action("mark", []int{16}, set("x", "r", arg(0)))
	a.init = "t"
	if extra == nil {
		extra = m{}
	}
	a.table("t", nil, list(key(kinds[0], "x", "a"), key(kinds[1], "x", "b")), "NoAction", []string{"mark", "NoAction"}, extra)
	return a
}

func mark(v int) (string, [][]byte) { return "mark", [][]byte{be(2, uint64(v))} }

func markOf(h *harness, a uint32, b byte) int {
	out := h.send(0, append(be(4, uint64(a)), b, 0, 0))
	return int(out[0].Frame[5])<<8 | int(out[0].Frame[6])
}

// TestLookup compares every kind of table with a linear search while entries
// come and go.
func TestLookup(t *testing.T) {
	for _, kinds := range [][2]string{{"exact", "exact"}, {"lpm", "exact"}, {"ternary", "exact"}, {"ternary", "ternary"},
		{"lpm", "ternary"}, {"ternary", "range"}, {"exact", "range"}, {"range", "range"}, {"exact", "optional"}} {
		t.Run(kinds[0]+"/"+kinds[1], func(t *testing.T) {
			h := run(t, matcher(kinds, nil), Options{})
			model := &linear{kinds: kinds}
			r := rand.New(rand.NewPCG(5, 6))
			tbl := h.tbl(t, "t")
			for i := range 3000 {
				e := model.random(r, i+1)
				switch {
				case r.IntN(3) > 0:
					old := model.find(&e)
					err := tbl.Insert(e.Entry)
					if (old >= 0) != errors.Is(err, ErrExists) || old < 0 && err != nil {
						t.Fatalf("insert %+v: %v, model has it: %v", e, err, old >= 0)
					}
					if old < 0 {
						model.entries = append(model.entries, e)
					}
				case len(model.entries) > 0:
					k := r.IntN(len(model.entries))
					if err := tbl.Delete(model.entries[k].Match, model.entries[k].Priority); err != nil {
						t.Fatal(err)
					}
					model.entries = slices.Delete(model.entries, k, k+1)
				}
				a, b := uint32(r.IntN(8))<<28|uint32(r.IntN(4)), byte(r.IntN(16))
				if got := markOf(h, a, b); !model.allows(a, b, got) {
					t.Fatalf("step %d: key %x %x: %d is not a best match", i, a, b, got)
				}
			}
			if tbl.Len() != len(model.entries) {
				t.Errorf("%d entries, model has %d", tbl.Len(), len(model.entries))
			}
			for _, e := range model.entries {
				s, ok := tbl.Read(e.Match, e.Priority)
				if !ok {
					t.Fatalf("no entry %+v", e)
				}
				if tbl.Delete(s.Match, s.Priority) != nil {
					t.Fatalf("match read back does not name the entry: %+v", s)
				}
			}
			if tbl.Len() != 0 || len(*tbl.tuples.Load()) != 0 || markOf(h, 0, 0) != 0 {
				t.Errorf("table not empty after deleting all")
			}
		})
	}
}

// linear is the obvious implementation of a table.
type linear struct {
	kinds   [2]string
	entries []linearEntry
}

type linearEntry struct {
	Entry
	value, mask, low, high [2]uint64
	prefix                 int
}

func (l *linear) priority() bool {
	return l.kinds != [2]string{"exact", "exact"} && l.kinds != [2]string{"lpm", "exact"}
}

func (l *linear) random(r *rand.Rand, mark int) linearEntry {
	var e linearEntry
	e.Action, e.Params = "mark", [][]byte{be(2, uint64(mark))}
	if l.priority() {
		e.Priority = int32(1 + r.IntN(6))
	}
	for i, k := range l.kinds {
		w := []int{32, 8}[i]
		full := uint64(1)<<w - 1
		v := []uint64{uint64(r.IntN(8))<<28 | uint64(r.IntN(4)), uint64(r.IntN(16))}[i]
		f := FieldMatch{Value: be(w/8, v)}
		e.value[i], e.mask[i], e.high[i] = v, full, full
		switch k {
		case "lpm":
			f.PrefixLen = []int{0, 1, 3, 4, 31, 32}[r.IntN(6)]
			e.mask[i] = full << (w - f.PrefixLen) & full
			e.prefix = f.PrefixLen
		case "ternary":
			e.mask[i] = []uint64{0, full, 0xf0000003 & full, 3, full << 2 & full}[r.IntN(5)]
			f.Mask = be(w/8, e.mask[i])
		case "range":
			e.mask[i] = 0
			e.low[i], e.high[i] = v, min(full, v+uint64(r.IntN(5))<<r.IntN(29))
			f.High = be(w/8, e.high[i])
		case "optional":
			if r.IntN(3) == 0 {
				f, e.mask[i] = FieldMatch{Any: true}, 0
			}
		}
		e.value[i] &= e.mask[i]
		e.Match = append(e.Match, f)
	}
	return e
}

func (l *linear) find(e *linearEntry) int {
	return slices.IndexFunc(l.entries, func(o linearEntry) bool {
		return o.value == e.value && o.mask == e.mask && o.low == e.low && o.high == e.high && o.Priority == e.Priority
	})
}

// allows reports whether an entry with that mark is a best match: of equal
// priorities any may win.
func (l *linear) allows(a uint32, b byte, mark int) bool {
	best, ok := int64(-1), mark == 0
	var winner *linearEntry
	for i := range l.entries {
		e := &l.entries[i]
		hit := true
		for k, v := range []uint64{uint64(a), uint64(b)} {
			hit = hit && v&e.mask[k] == e.value[k] && v >= e.low[k] && v <= e.high[k]
		}
		if !hit {
			continue
		}
		rank := int64(e.Priority)<<8 + int64(b2u(!l.priority()))*int64(e.prefix)
		if int(e.Params[0][0])<<8|int(e.Params[0][1]) == mark {
			winner = e
			ok = rank >= best
		}
		if rank > best {
			best = rank
			ok = winner == e
		}
	}
	return ok && (mark != 0 || best < 0)
}

func TestEntryErrors(t *testing.T) {
	h := run(t, matcher([2]string{"ternary", "exact"}, m{"max_size": 2, "support_timeout": true}), Options{})
	tbl := h.tbl(t, "t")
	good := func() Entry {
		a, p := mark(7)
		return Entry{Match: []FieldMatch{{Value: be(4, 5), Mask: be(4, 0xff)}, {Value: []byte{1}}}, Priority: 3, Action: a, Params: p}
	}
	for _, tc := range []struct {
		name string
		edit func(*Entry)
		want error
	}{
		{"too few matches", func(e *Entry) { e.Match = e.Match[:1] }, ErrInvalid},
		{"exact without value", func(e *Entry) { e.Match[1] = FieldMatch{Any: true} }, ErrInvalid},
		{"value too wide", func(e *Entry) { e.Match[1].Value = []byte{1, 1} }, ErrInvalid},
		{"mask too wide", func(e *Entry) { e.Match[0].Mask = []byte{1, 0, 0, 0, 0} }, ErrInvalid},
		{"no priority", func(e *Entry) { e.Priority = 0 }, ErrInvalid},
		{"unknown action", func(e *Entry) { e.Action = "nope" }, ErrInvalid},
		{"parameter missing", func(e *Entry) { e.Params = nil }, ErrInvalid},
		{"parameter too wide", func(e *Entry) { e.Params = [][]byte{{1, 0, 0}} }, ErrInvalid},
		{"member", func(e *Entry) { e.Action, e.Params, e.Member = "", nil, 1 }, ErrInvalid},
		{"negative timeout", func(e *Entry) { e.IdleTimeout = -1 }, ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := good()
			tc.edit(&e)
			if err := tbl.Insert(e); !errors.Is(err, tc.want) {
				t.Errorf("insert: %v, want %v", err, tc.want)
			}
		})
	}
	if err := tbl.Modify(good()); !errors.Is(err, ErrNotFound) {
		t.Errorf("modify of nothing: %v", err)
	}
	e := good()
	e.Match[1].Value = []byte{0, 0, 1} // leading zeros are fine
	e.Match[0].Value = be(4, 0x105)    // bits outside the mask are ignored
	e.Metadata, e.IdleTimeout = []byte("m"), time.Second
	if err := tbl.Insert(e); err != nil {
		t.Fatal(err)
	}
	if err := tbl.Insert(good()); !errors.Is(err, ErrExists) {
		t.Errorf("second insert: %v", err)
	}
	e2 := good()
	e2.Priority = 4
	if err := tbl.Insert(e2); err != nil {
		t.Fatal(err)
	}
	e2.Priority = 5
	if err := tbl.Insert(e2); !errors.Is(err, ErrFull) {
		t.Errorf("third insert: %v", err)
	}
	s, ok := tbl.Read(good().Match, 3)
	want := Entry{Match: []FieldMatch{{Value: be(4, 5), Mask: be(4, 0xff)}, {Value: []byte{1}}}, Priority: 3, Action: "mark", Params: [][]byte{{0, 7}},
		Metadata: []byte("m"), IdleTimeout: time.Second}
	if d := cmp.Diff(want, s.Entry); !ok || d != "" {
		t.Errorf("read back: %s", d)
	}
	if err := tbl.Delete(good().Match, 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete of another priority: %v", err)
	}
	if tbl.Clear(); tbl.Len() != 0 || markOf(h, 5, 1) != 0 {
		t.Error("not cleared")
	}
}

func TestDefaultEntry(t *testing.T) {
	h := run(t, matcher([2]string{"exact", "exact"}, m{"with_counters": true}), Options{})
	tbl := h.tbl(t, "t")
	if got := tbl.Default(); got.Action != "NoAction" || !got.Default {
		t.Errorf("default %+v", got)
	}
	a, p := mark(77)
	if err := tbl.SetDefault(a, p); err != nil {
		t.Fatal(err)
	}
	if got := markOf(h, 1, 1); got != 77 {
		t.Errorf("marked %d", got)
	}
	if got := tbl.Default(); got.Count != (Count{1, 7}) || got.Params[0][1] != 77 {
		t.Errorf("default %+v", got)
	}
	if err := tbl.ResetDefault(); err != nil || markOf(h, 1, 1) != 0 {
		t.Errorf("reset: %v", err)
	}
	fixed := run(t, matcher([2]string{"exact", "exact"}, m{"default_entry": m{"action_id": 0, "action_const": true, "action_data": list(), "action_entry_const": true}}), Options{})
	if err := fixed.tbl(t, "t").SetDefault(a, p); !errors.Is(err, ErrConst) {
		t.Errorf("const default: %v", err)
	}
}

func TestConstEntries(t *testing.T) {
	entry := func(mask string, prio, mark int) m {
		return m{"match_key": list(m{"match_type": "ternary", "key": "0x00000004", "mask": mask}, m{"match_type": "exact", "key": "0x01"}),
			"action_entry": m{"action_id": 1, "action_data": list(fmt.Sprintf("0x%x", mark))}, "priority": prio}
	}
	h := run(t, matcher([2]string{"ternary", "exact"}, m{"entries": list(entry("0x0000000f", 1, 11), entry("0x00000004", 2, 22))}), Options{})
	if markOf(h, 4, 1) != 11 || markOf(h, 0x1f4, 1) != 11 || markOf(h, 5, 1) != 22 || markOf(h, 4, 2) != 0 {
		t.Error("wrong entry hit")
	}
	tbl := h.tbl(t, "t")
	a, p := mark(1)
	e := Entry{Match: []FieldMatch{{Any: true}, {Value: []byte{1}}}, Priority: 1, Action: a, Params: p}
	if err := tbl.Insert(e); !errors.Is(err, ErrConst) || !tbl.IsConst() {
		t.Errorf("insert: %v", err)
	}
	if tbl.Clear(); tbl.Len() != 2 {
		t.Error("const entries cleared")
	}
}

func TestCountersAndIdle(t *testing.T) {
	now := time.Unix(1000, 0)
	h := run(t, matcher([2]string{"exact", "exact"}, m{"with_counters": true, "support_timeout": true}), Options{Now: func() time.Time { return now }})
	tbl := h.tbl(t, "t")
	a, p := mark(1)
	match := exact(be(4, 9), []byte{1})
	if err := tbl.Insert(Entry{Match: match, Action: a, Params: p, IdleTimeout: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	expired := func() (n int) {
		h.Idle(func(x *Table, s EntryState) bool {
			if x != tbl || s.Action != "mark" {
				t.Errorf("yielded %+v", s)
			}
			n++
			return true
		})
		return n
	}
	steps := []struct {
		after time.Duration
		hit   bool
		want  int
	}{{time.Second, true, 0}, {2 * time.Second, false, 0}, {time.Second, false, 1}, {time.Second, false, 0}, {2 * time.Second, false, 1}, {0, true, 0}}
	for i, s := range steps {
		now = now.Add(s.after)
		if s.hit {
			markOf(h, 9, 1)
		}
		if got := expired(); got != s.want {
			t.Errorf("step %d: %d expired, want %d", i, got, s.want)
		}
	}
	s, _ := tbl.Read(match, 0)
	if s.Count != (Count{2, 14}) || !s.LastHit.Equal(now) {
		t.Errorf("state %+v", s)
	}
	if err := tbl.Modify(Entry{Match: match, Action: "NoAction"}); err != nil {
		t.Fatal(err)
	}
	if s, _ = tbl.Read(match, 0); s.Count.Packets != 2 || s.IdleTimeout != 0 {
		t.Errorf("modify changed counters or kept the timeout: %+v", s)
	}
	if err := tbl.SetCounter(match, 0, Count{5, 6}); err != nil {
		t.Fatal(err)
	}
	for s := range tbl.All() {
		if s.Count != (Count{5, 6}) {
			t.Errorf("count %+v", s.Count)
		}
	}
}

// TestConcurrentLookup: an entry that stays is always found while others come and go.
func TestConcurrentLookup(t *testing.T) {
	h := run(t, matcher([2]string{"ternary", "exact"}, nil), Options{})
	h.Machine.o.Emit = func(_ uint16, f []byte) {
		if f[6] != 42 {
			t.Errorf("marked %d", f[6])
		}
	}
	tbl := h.tbl(t, "t")
	a, p := mark(42)
	if err := tbl.Insert(Entry{Match: []FieldMatch{{Value: be(4, 7), Mask: be(4, 0xff)}, {Value: []byte{1}}}, Priority: 10, Action: a, Params: p}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Process(1, []byte{0, 0, 0, 7, 1, 0, 0})
			}
		}
	})
	r := rand.New(rand.NewPCG(7, 8))
	_, low := mark(1)
	for i := range 20000 {
		match := []FieldMatch{{Value: be(4, uint64(r.IntN(64))), Mask: be(4, uint64(0xff<<r.IntN(4)))}, {Value: []byte{1}}}
		prio := int32(1 + r.IntN(9))
		if i%2 == 0 {
			_ = tbl.Insert(Entry{Match: match, Priority: prio, Action: a, Params: low})
		} else {
			_ = tbl.Delete(match, prio)
		}
	}
	close(stop)
	wg.Wait()
}

func TestMeter(t *testing.T) {
	now := time.Unix(1000, 0)
	a := matcher([2]string{"exact", "exact"}, m{"direct_meters": "dm"})
	a.meters = list(m{"name": "dm", "id": 0, "is_direct": true, "rate_count": 2, "type": "bytes", "size": 10, "binding": "t", "result_target": list("meta", "colour")})
	a.actions[1].(m)["primitives"] = list(set("x", "r", fld("meta", "colour")))
	h := run(t, a, Options{Now: func() time.Time { return now }})
	tbl := h.tbl(t, "t")
	act, p := mark(0)
	match := exact(be(4, 9), []byte{1})
	if err := tbl.Insert(Entry{Match: match, Action: act, Params: p}); err != nil {
		t.Fatal(err)
	}
	if got := markOf(h, 9, 1); got != green {
		t.Errorf("unconfigured meter: %d", got)
	}
	if err := tbl.SetMeter(match, 0, MeterConfig{CIR: 10, CBurst: 5, PIR: 5}); !errors.Is(err, ErrInvalid) {
		t.Errorf("PIR < CIR: %v", err)
	}
	// packets of 7 bytes: committed 7 B/s burst 14, peak 14 B/s burst 28
	conf := MeterConfig{CIR: 7, CBurst: 14, PIR: 14, PBurst: 28}
	if err := tbl.SetMeter(match, 0, conf); err != nil {
		t.Fatal(err)
	}
	var got []int
	for range 5 {
		got = append(got, markOf(h, 9, 1))
	}
	now = now.Add(time.Second)
	for range 3 {
		got = append(got, markOf(h, 9, 1))
	}
	want := []int{green, green, yellow, yellow, red, green, yellow, red}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s, _ := tbl.Read(match, 0); s.Meter != conf {
		t.Errorf("config %+v", s.Meter)
	}
}
