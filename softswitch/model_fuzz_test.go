package softswitch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// chooser makes choices from a script of bytes; at its end it chooses 0.
type chooser struct{ script []byte }

func (c *chooser) next() byte {
	if len(c.script) == 0 {
		return 0
	}
	b := c.script[0]
	c.script = c.script[1:]
	return b
}

// upTo chooses a number below n.
func (c *chooser) upTo(n int) int { return int(c.next()) % n }

// model is what the target must hold: entities by key, as they read back.
type model struct {
	*lab
	*chooser
	t       *testing.T
	target  *target
	holds   map[string]*p4v1.Entity
	entered map[uint32]int64 // entries by table
}

// entry makes a good table entry of a small space of keys, in canonical form.
func (m *model) good() *p4v1.TableEntry {
	var e *p4v1.TableEntry
	actions := func(table string) *p4v1.TableAction {
		switch k := m.upTo(4); {
		case table == "mac" && k == 1:
			return direct(m.action("flood", []byte{1, m.next()}))
		case table == "mac" && k == 2:
			return direct(m.action("punt", []byte{m.next() & 0x7f}, canonical([]byte{m.next() & 0xf, m.next()})))
		case table == "mac" || table == "route":
			return direct(m.action("forward", canonical([]byte{m.next() & 1, m.next()})))
		case k == 1:
			return direct(m.action("drop"))
		}
		return direct(m.action("allow"))
	}
	switch m.upTo(4) {
	case 0:
		e = m.lab.entry("mac", actions("mac"), exact(1, m.next()&7))
		e.IdleTimeoutNs = int64(m.next())
	case 1:
		bits := 1 + m.upTo(8)
		e = m.lab.entry("route", actions("route"), lpm(1, int32(bits), canonical([]byte{m.next() & (0xff << (8 - bits)), 0, 0, 0})...))
	case 2:
		e = m.lab.entry("acl", actions("acl"))
		e.Priority = 1 + int32(m.upTo(3))
		if m.upTo(2) == 0 {
			mask := 1 + m.next()%0xff
			e.Match = append(e.Match, ternary(1, []byte{m.next() & mask}, []byte{mask}))
		}
		if m.upTo(2) == 0 {
			low := m.next() % 4
			e.Match = append(e.Match, within(2, []byte{low}, []byte{low + m.next()%4}))
		}
		if m.upTo(2) == 0 {
			e.Match = append(e.Match, optional(3, m.next()&3))
		}
	default:
		e = m.lab.entry("smac", direct(m.action("allow")), exact(1, m.next()))
	}
	if m.upTo(3) == 0 {
		e.Metadata = []byte{m.next(), 1}
	}
	return e
}

// spoiling makes a good entry malformed. Those of the key spoil deletes, too; the others don't.
type spoiling struct {
	name string
	key  bool
	do   func(m *model, e *p4v1.TableEntry) bool // false: does not apply
}

func fieldOf[T any](e *p4v1.TableEntry, get func(*p4v1.FieldMatch) *T) *T {
	for _, f := range e.GetMatch() {
		if x := get(f); x != nil {
			return x
		}
	}
	return nil
}

func paramsOf(e *p4v1.TableEntry) []*p4v1.Action_Param { return e.GetAction().GetAction().GetParams() }

var spoilings = []spoiling{
	{"unknown table", true, func(m *model, e *p4v1.TableEntry) bool {
		e.TableId ^= 1 << m.upTo(16)
		return m.target.tables[e.TableId] == nil
	}},
	{"constant flag", true, func(_ *model, e *p4v1.TableEntry) bool { e.IsConst = true; return true }},
	{"default entry with a match", true, func(_ *model, e *p4v1.TableEntry) bool { e.IsDefaultAction = true; return true }},
	{"unknown field", true, func(m *model, e *p4v1.TableEntry) bool {
		e.Match = append(e.Match, exact(uint32(20+m.upTo(9)), 1))
		return true
	}},
	{"field twice", true, func(_ *model, e *p4v1.TableEntry) bool {
		if len(e.Match) == 0 {
			return false
		}
		e.Match = append(e.Match, proto.CloneOf(e.Match[0]))
		return true
	}},
	{"other kind of match", true, func(_ *model, e *p4v1.TableEntry) bool {
		if len(e.Match) == 0 || e.Match[0].GetRange() != nil {
			return false
		}
		e.Match[0] = within(e.Match[0].GetFieldId(), []byte{1}, []byte{2})
		return true
	}},
	{"no kind of match", true, func(_ *model, e *p4v1.TableEntry) bool {
		if len(e.Match) == 0 {
			return false
		}
		e.Match[0].FieldMatchType = nil
		return true
	}},
	{"exact field is missing", true, func(_ *model, e *p4v1.TableEntry) bool {
		if fieldOf(e, (*p4v1.FieldMatch).GetExact) == nil {
			return false
		}
		e.Match = nil
		return true
	}},
	{"empty value", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetExact); x != nil {
			x.Value = nil
			return true
		}
		return false
	}},
	{"wide value", true, func(m *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetExact); x != nil {
			x.Value = slices.Repeat([]byte{1 + m.next()&0x7f}, 7+m.upTo(30))
			return true
		}
		return false
	}},
	{"bits beyond the prefix", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetLpm); x != nil {
			x.Value = []byte{1, 0, 0, 1}
			return true
		}
		return false
	}},
	{"prefix length", true, func(m *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetLpm); x != nil {
			x.PrefixLen = []int32{0, -1, 33, 1 << 30}[m.upTo(4)]
			return true
		}
		return false
	}},
	{"mask of zero", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetTernary); x != nil {
			x.Value, x.Mask = []byte{0}, []byte{0, 0}
			return true
		}
		return false
	}},
	{"value outside the mask", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetTernary); x != nil {
			x.Value = []byte{1, 0xff}
			return true
		}
		return false
	}},
	{"range upside down", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetRange); x != nil {
			x.Low, x.High = []byte{9}, []byte{8}
			return true
		}
		return false
	}},
	{"range of everything", true, func(_ *model, e *p4v1.TableEntry) bool {
		if x := fieldOf(e, (*p4v1.FieldMatch).GetRange); x != nil {
			x.Low, x.High = []byte{0}, []byte{1, 0xff}
			return true
		}
		return false
	}},
	{"priority", true, func(m *model, e *p4v1.TableEntry) bool {
		if e.Priority == 0 {
			e.Priority = 1 + int32(m.next())
		} else {
			e.Priority = -int32(m.next())
		}
		return true
	}},
	{"unknown action", false, func(m *model, e *p4v1.TableEntry) bool {
		e.GetAction().GetAction().ActionId ^= 1 << (8 + m.upTo(12))
		return true
	}},
	{"action of another table", false, func(m *model, e *p4v1.TableEntry) bool {
		e.Action = direct(m.action("metered"))
		return m.target.tables[e.TableId].name != "ingress.acl"
	}},
	{"empty action", false, func(_ *model, e *p4v1.TableEntry) bool { e.Action = &p4v1.TableAction{}; return true }},
	{"group of a direct table", false, func(_ *model, e *p4v1.TableEntry) bool { e.Action = toGroup(1); return true }},
	{"parameter is missing", false, func(_ *model, e *p4v1.TableEntry) bool {
		if len(paramsOf(e)) == 0 {
			return false
		}
		e.GetAction().GetAction().Params = paramsOf(e)[1:]
		return true
	}},
	{"parameter too many", false, func(_ *model, e *p4v1.TableEntry) bool {
		a := e.GetAction().GetAction()
		a.Params = append(a.Params, &p4v1.Action_Param{ParamId: 77, Value: []byte{1}})
		return true
	}},
	{"parameter twice", false, func(_ *model, e *p4v1.TableEntry) bool {
		a := e.GetAction().GetAction()
		if len(a.Params) == 0 {
			return false
		}
		a.Params = append(a.Params, proto.CloneOf(a.Params[0]))
		return true
	}},
	{"empty parameter", false, func(_ *model, e *p4v1.TableEntry) bool {
		if len(paramsOf(e)) == 0 {
			return false
		}
		paramsOf(e)[0].Value = nil
		return true
	}},
	{"wide parameter", false, func(_ *model, e *p4v1.TableEntry) bool {
		if len(paramsOf(e)) == 0 {
			return false
		}
		paramsOf(e)[0].Value = []byte{0xff, 0xff, 0xff}
		return true
	}},
	{"idle timeout", false, func(m *model, e *p4v1.TableEntry) bool {
		if e.IdleTimeoutNs = -1; !m.target.tables[e.TableId].idleTimeout {
			e.IdleTimeoutNs = 1
		}
		return true
	}},
	{"time since the last hit", false, func(_ *model, e *p4v1.TableEntry) bool {
		e.TimeSinceLastHit = &p4v1.TableEntry_IdleTimeout{}
		return true
	}},
	{"counter", false, func(m *model, e *p4v1.TableEntry) bool {
		e.CounterData = &p4v1.CounterData{PacketCount: -1}
		return true
	}},
	{"meter", false, func(m *model, e *p4v1.TableEntry) bool {
		e.MeterConfig = &p4v1.MeterConfig{Cir: -1}
		return true
	}},
}

// keyString is the identity of an entry of the model.
func keyString(e *p4v1.TableEntry) string {
	return fmt.Sprint(e.GetTableId(), e.GetPriority(), e.GetMatch())
}

// pad adds zeros that mean nothing to a value.
func pad(b []byte) []byte { return append([]byte{0, 0}, b...) }

// step makes one update, good or spoilt, predicts its fate and carries it out.
func (m *model) step() {
	kind := p4v1.Update_Type(1 + m.upTo(3))
	e := m.good()
	want, why := codes.OK, "good"
	stored, key := proto.CloneOf(e), keyString(e)
	switch s := spoilings[m.upTo(len(spoilings))]; m.upTo(4) {
	case 0:
		if s.do(m, e) {
			why = s.name
			if kind != p4v1.Update_DELETE || s.key {
				want = codes.InvalidArgument
			}
		} else {
			e = proto.CloneOf(stored)
		}
	case 1: // other forms of the same
		for _, f := range e.GetMatch() {
			if x := f.GetExact(); x != nil {
				x.Value = pad(x.Value)
			}
			if x := f.GetTernary(); x != nil {
				x.Value, x.Mask = pad(x.Value), pad(x.Mask)
			}
		}
		slices.Reverse(e.Match)
		for _, p := range paramsOf(e) {
			p.Value = pad(p.Value)
		}
		why = "padded"
	}
	_, there := m.holds[key]
	if want == codes.OK {
		full := m.entered[stored.GetTableId()] >= m.target.tables[stored.GetTableId()].size
		switch {
		case kind == p4v1.Update_INSERT && there:
			want = codes.AlreadyExists
		case kind == p4v1.Update_INSERT && full:
			want = codes.ResourceExhausted
		case kind != p4v1.Update_INSERT && !there:
			want = codes.NotFound
		}
	}
	got := codes.OK
	err := m.target.write(nil, &p4v1.Update{Type: kind, Entity: entity(e)})
	if err != nil {
		got = faultOf(err).code
	}
	if got != want {
		m.t.Fatalf("%v, %s: %v (%v), want %v: %v", kind, why, got, err, want, e)
	}
	if got != codes.OK {
		return
	}
	switch kind {
	case p4v1.Update_INSERT:
		m.holds[key] = entity(stored)
		m.entered[stored.GetTableId()]++
	case p4v1.Update_MODIFY:
		m.holds[key] = entity(stored)
	case p4v1.Update_DELETE:
		delete(m.holds, key)
		m.entered[stored.GetTableId()]--
	}
}

// check compares what reads back with the model.
func (m *model) check() {
	var got, want []*p4v1.Entity
	for _, table := range []string{"mac", "route", "acl", "smac"} {
		err := m.target.read(nil, entity(m.lab.entry(table, nil)), func(e *p4v1.Entity) error {
			got = append(got, proto.Clone(e).(*p4v1.Entity))
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	for _, e := range m.holds {
		want = append(want, e)
	}
	if len(got) != len(want) {
		m.t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for _, e := range got {
		if w := m.holds[keyString(e.GetTableEntry())]; w == nil || !proto.Equal(w, e) {
			m.t.Fatalf("reads back (-want +got):\n%s", cmp.Diff(w, e, protocmp.Transform()))
		}
	}
}

// clear takes everything away, and checks that nothing is left.
func (m *model) clear() {
	for _, e := range m.holds {
		if err := m.target.write(nil, &p4v1.Update{Type: p4v1.Update_DELETE, Entity: e}); err != nil {
			m.t.Fatalf("%v: %v", e, err)
		}
	}
	m.holds = map[string]*p4v1.Entity{}
	m.check()
}

// FuzzModel runs scripts of good and malformed updates against a target and a model of it: malformed
// is INVALID_ARGUMENT, duplicate ALREADY_EXISTS, absent NOT_FOUND, one too many RESOURCE_EXHAUSTED,
// and what reads back is the model.
func FuzzModel(f *testing.F) {
	l := newLab(f)
	l.primary()
	target, err := l.server.newTarget(probeConfig(f))
	if err != nil {
		f.Fatal(err)
	}
	for seed := range byte(40) {
		script := make([]byte, 600)
		x := uint32(seed) + 1
		for i := range script {
			x = x*1664525 + 1013904223
			script[i] = byte(x >> 24)
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		m := &model{lab: l, chooser: &chooser{script[:min(len(script), 4096)]}, t: t, target: target, holds: map[string]*p4v1.Entity{}, entered: map[uint32]int64{}}
		for len(m.script) > 0 {
			m.step()
		}
		m.check()
		m.clear()
	})
}

// TestModelMeetsEverything: the seeds of FuzzModel lead to every answer and every spoiling.
func TestModelMeetsEverything(t *testing.T) {
	l := newLab(t)
	l.primary()
	target, err := l.server.newTarget(probeConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := map[string]int{}
	m := &model{lab: l, t: t, target: target, chooser: &chooser{}}
	x := uint32(1)
	for _, s := range spoilings {
		for try := 0; try < 2000 && spoilt[s.name] == 0; try++ {
			m.script = m.script[:0]
			for range 40 {
				x = x*1664525 + 1013904223
				m.script = append(m.script, byte(x>>24))
			}
			e := m.good()
			before := proto.CloneOf(e)
			if s.do(m, e) && !proto.Equal(before, e) {
				spoilt[s.name]++
			}
		}
	}
	for _, s := range spoilings {
		if spoilt[s.name] == 0 {
			t.Errorf("%s never applies", s.name)
		}
	}
}

// TestModel runs FuzzModel's steps on random scripts: WEFT_MODEL_STEPS, each a Write of one update, right or spoilt, whose
// answer and effect the model tells.
func TestModel(t *testing.T) {
	steps := 20_000
	if s := os.Getenv("WEFT_MODEL_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		steps = n
	}
	l := newLab(t)
	l.primary()
	target, err := l.server.newTarget(probeConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, uint64(steps)))
	begin := time.Now()
	for done := 0; done < steps; {
		script := make([]byte, 2000)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		m := &model{lab: l, chooser: &chooser{script}, t: t, target: target, holds: map[string]*p4v1.Entity{}, entered: map[uint32]int64{}}
		for len(m.script) > 0 {
			m.step()
			done++
		}
		m.check()
		m.clear()
		if t.Failed() {
			t.Fatalf("in the script that ends at step %d", done)
		}
	}
	t.Logf("%d steps in %v", steps, time.Since(begin).Round(time.Second))
}
