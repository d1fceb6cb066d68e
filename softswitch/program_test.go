package softswitch

import (
	"math/rand/v2"
	"os"
	"testing"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
)

// weftConfig is the project's own program.
func weftConfig(t testing.TB) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	program, err := os.ReadFile("../p4src/build/weft.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../p4src/build/weft.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	return &p4v1.ForwardingPipelineConfig{P4Info: info, P4DeviceConfig: program}
}

// generator makes random canonical entries of any program.
type generator struct {
	*rand.Rand
	info    *configv1.P4Info
	actions map[uint32]*configv1.Action
}

func newGenerator(info *configv1.P4Info) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(5, 6)), info: info, actions: map[uint32]*configv1.Action{}}
	for _, a := range info.GetActions() {
		g.actions[a.GetPreamble().GetId()] = a
	}
	return g
}

// value is a canonical random bit<width>.
func (g *generator) value(width int32) []byte {
	out := make([]byte, (width+7)/8)
	for i := range out {
		out[i] = byte(g.Uint32())
	}
	out[0] &= ones(int(width))[0]
	return canonical(out)
}

func (g *generator) match(f *configv1.MatchField) *p4v1.FieldMatch {
	id, width := f.GetId(), f.GetBitwidth()
	if f.GetMatchType() != configv1.MatchField_EXACT && g.IntN(4) == 0 {
		return nil
	}
	switch f.GetMatchType() {
	case configv1.MatchField_LPM:
		length := 1 + g.Int32N(width)
		value := make([]byte, (width+7)/8)
		bit := len(value)*8 - int(width)
		for range length {
			if g.IntN(2) == 0 {
				value[bit/8] |= 0x80 >> (bit % 8)
			}
			bit++
		}
		return lpm(id, length, canonical(value)...)
	case configv1.MatchField_TERNARY:
		mask := g.value(width)
		if bitLen(mask) == 0 {
			return nil
		}
		value := append([]byte(nil), mask...)
		for i := range value {
			value[i] &= byte(g.Uint32())
		}
		return ternary(id, canonical(value), mask)
	case configv1.MatchField_RANGE:
		low, high := g.value(width), g.value(width)
		if compare(low, high) > 0 {
			low, high = high, low
		}
		return within(id, low, high)
	case configv1.MatchField_OPTIONAL:
		return optional(id, g.value(width)...)
	}
	return exact(id, g.value(width)...)
}

func (g *generator) entry(t *configv1.Table) *p4v1.TableEntry {
	e := &p4v1.TableEntry{TableId: t.GetPreamble().GetId()}
	for _, f := range t.GetMatchFields() {
		switch f.GetMatchType() {
		case configv1.MatchField_TERNARY, configv1.MatchField_RANGE, configv1.MatchField_OPTIONAL:
			e.Priority = 1 + g.Int32N(1<<20)
		}
		if m := g.match(f); m != nil {
			e.Match = append(e.Match, m)
		}
	}
	var usable []uint32
	for _, ref := range t.GetActionRefs() {
		if ref.GetScope() != configv1.ActionRef_DEFAULT_ONLY {
			usable = append(usable, ref.GetId())
		}
	}
	a := g.actions[usable[g.IntN(len(usable))]]
	action := &p4v1.Action{ActionId: a.GetPreamble().GetId()}
	for _, p := range a.GetParams() {
		action.Params = append(action.Params, &p4v1.Action_Param{ParamId: p.GetId(), Value: g.value(p.GetBitwidth())})
	}
	e.Action = direct(action)
	if t.GetImplementationId() != 0 {
		e.Action = &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: &p4v1.ActionProfileActionSet{
			ActionProfileActions: []*p4v1.ActionProfileAction{{Action: action, Weight: 1}}}}}
	}
	if t.GetIdleTimeoutBehavior() == configv1.Table_NOTIFY_CONTROL && g.IntN(2) == 0 {
		e.IdleTimeoutNs = g.Int64N(1 << 40)
	}
	if g.IntN(2) == 0 {
		e.Metadata = g.value(32)
	}
	return e
}

// TestAnyEntryOfAnyProgramReadsBack writes random entries to every table that takes them.
func TestAnyEntryOfAnyProgramReadsBack(t *testing.T) {
	for name, config := range map[string]*p4v1.ForwardingPipelineConfig{"probe": probeConfig(t), "weft": weftConfig(t)} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c := l.primary()
			c.push(commitNow, config)
			g := newGenerator(config.GetP4Info())
			selector := map[uint32]bool{}
			for _, p := range config.GetP4Info().GetActionProfiles() {
				selector[p.GetPreamble().GetId()] = p.GetWithSelector()
			}
			for _, table := range config.GetP4Info().GetTables() {
				id := table.GetImplementationId()
				if table.GetIsConstTable() || len(table.GetMatchFields()) == 0 || id != 0 && !selector[id] {
					continue
				}
				var want []*p4v1.Entity
				for range min(50, int(table.GetSize())) {
					e := g.entry(table)
					switch err := c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, insert(e)); {
					case err == nil:
						want = append(want, entity(e))
					case codesOf(err)[0] != codes.AlreadyExists && codesOf(err)[0] != codes.ResourceExhausted:
						t.Errorf("%s: %v: %v", table.GetPreamble().GetName(), e, explain(err))
					}
				}
				if len(want) == 0 {
					t.Errorf("%s: no entry was accepted", table.GetPreamble().GetName())
				}
				got := c.read(entity(&p4v1.TableEntry{TableId: table.GetPreamble().GetId()}))
				if diff := differ(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", table.GetPreamble().GetName(), diff)
				}
			}
			// The whole state moves to a new pipeline and back to nothing.
			before := c.read(everything()...)
			changed := reworded(config)
			c.push(reconcile, changed)
			if diff := differ(before, c.read(everything()...)); diff != "" {
				t.Errorf("after reconcile (-want +got):\n%s", diff)
			}
		})
	}
}

// reworded is the same configuration with another device config.
func reworded(config *p4v1.ForwardingPipelineConfig) *p4v1.ForwardingPipelineConfig {
	return &p4v1.ForwardingPipelineConfig{P4Info: config.GetP4Info(), P4DeviceConfig: append(config.GetP4DeviceConfig(), '\n')}
}
