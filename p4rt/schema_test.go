package p4rt

import (
	"errors"
	"strings"
	"testing"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

func TestSchemaNames(t *testing.T) {
	s := miniSchema(t)
	byAlias, err := s.Table("flow_v4")
	if err != nil {
		t.Fatal(err)
	}
	if full, err := s.Table("ingress.flow_v4"); err != nil || full != byAlias {
		t.Errorf("full name gives %v, %v", full, err)
	}
	if !byAlias.SupportsIdle || !byAlias.DirectCounter || byAlias.NeedsPriority || byAlias.Size != 131072 {
		t.Errorf("flow_v4 reads as %+v", byAlias)
	}
	rewrite, err := s.Table("rewrite")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		err  error
		want error
		says []string
	}{
		{"table", second(s.Table("nope")), ErrNoSuchTable, []string{"nope", "flow_v4"}},
		{"field", second(byAlias.Key("nope")), ErrNoSuchField, []string{"flow_v4", "nope", "dport"}},
		{"action", second(byAlias.Action("nope")), ErrNoSuchAction, []string{"flow_v4", "nope", "forward"}},
		{"default-only action", second(rewrite.Action("drop")), ErrNoSuchAction, []string{"rewrite", "drop"}},
		{"counter", second(s.Counter("nope")), ErrNoSuchCounter, []string{"nope", "vport"}},
		{"metadata", second(s.PacketIn().Field("nope")), ErrNoSuchMetadata, []string{"nope", "tunnel_key"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !errors.Is(tc.err, tc.want) {
				t.Fatalf("got %v, want %v", tc.err, tc.want)
			}
			for _, w := range tc.says {
				if !strings.Contains(tc.err.Error(), w) {
					t.Errorf("%q does not say %q", tc.err, w)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestSchemaRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*p4config.P4Info)
		want   error
	}{
		{"two tables of one name", func(i *p4config.P4Info) { i.Tables[1].Preamble.Alias = "flow_v4" }, ErrAmbiguous},
		{"two tables of one id", func(i *p4config.P4Info) { i.Tables[1].Preamble.Id = i.Tables[0].Preamble.Id }, ErrAmbiguous},
		{"action that is not there", func(i *p4config.P4Info) { i.Tables[0].ActionRefs[0].Id = 5 }, ErrNoSuchAction},
		{"two counters of one id", func(i *p4config.P4Info) { i.Counters = append(i.Counters, i.Counters[0]) }, ErrAmbiguous},
		{"action profile that is not there", func(i *p4config.P4Info) { i.Tables[0].ImplementationId = 5 }, ErrNoSuchProfile},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := miniInfo(t)
			tc.change(info)
			if _, err := NewSchema(info); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// TestTableThatCanNotBeExpressed is left alone; the others are not affected.
func TestTableThatCanNotBeExpressed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*p4config.P4Info)
	}{
		{"field wider than 128", func(i *p4config.P4Info) { i.Tables[0].MatchFields[0].Bitwidth = 129 }},
		{"field without width", func(i *p4config.P4Info) { i.Tables[0].MatchFields[0].Bitwidth = 0 }},
		{"other match kind", func(i *p4config.P4Info) {
			i.Tables[0].MatchFields[0].Match = &p4config.MatchField_OtherMatchType{OtherMatchType: "hash"}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := miniInfo(t)
			tc.change(info)
			s, err := NewSchema(info)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Table("flow_v4"); !errors.Is(err, ErrUnsupported) {
				t.Errorf("flow_v4: %v", err)
			}
			if err := s.tables[0].NewEntry().validate(Insert); !errors.Is(err, ErrUnsupported) {
				t.Errorf("an entry: %v", err)
			}
			if _, err := s.Table("route"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEntryValidate(t *testing.T) {
	s := miniSchema(t)
	flow, _ := s.Table("flow_v4")
	wild, _ := s.Table("flow_wild")
	route, _ := s.Table("route")
	rewrite, _ := s.Table("rewrite")
	forward, _ := flow.Action("forward")
	good := func(tb *Table) *Entry {
		e := tb.NewEntry()
		if tb.NeedsPriority {
			e.Priority = 1
		}
		e.Do(forward, U64(1), U64(2))
		return e
	}
	for _, tc := range []struct {
		name string
		op   Op
		e    *Entry
		f    func(*Entry)
		want error
		says string
	}{
		{"good", Insert, good(flow), nil, nil, ""},
		{"modify keeps the action", Modify, good(flow), func(e *Entry) { e.Action, e.Params = nil, nil }, nil, ""},
		{"no action", Insert, good(flow), func(e *Entry) { e.Action = nil }, ErrMissing, "action"},
		{"no priority", Insert, good(wild), func(e *Entry) { e.Priority = 0 }, ErrPriority, "flow_wild"},
		{"priority of an exact entry", Insert, good(flow), func(e *Entry) { e.Priority = 1 }, ErrPriority, "flow_v4"},
		{"wide value", Insert, good(flow), func(e *Entry) { e.Set(0, U64(1<<16)) }, ErrOverflow, "scope"},
		{"wide parameter", Insert, good(flow), func(e *Entry) { e.Params[0] = U64(1 << 24) }, ErrOverflow, "dest"},
		{"too few fields", Insert, good(flow), func(e *Entry) { e.Match = e.Match[:2] }, ErrMissing, "2 of 6"},
		{"too few parameters", Insert, good(flow), func(e *Entry) { e.Params = e.Params[:1] }, ErrMissing, "1 of 2"},
		{"action of another table", Insert, good(rewrite), nil, ErrNoSuchAction, "forward"},
		{"mask with a hole", Insert, good(route), func(e *Entry) { e.SetMasked(1, U64(0), U64(5)) }, ErrMask, "dst"},
		{"empty range", Insert, good(wild), func(e *Entry) { e.SetRange(1, U64(2), U64(1)) }, ErrMask, "dport"},
		{"idle timeout", Insert, good(route), func(e *Entry) { e.IdleTimeout = 1 }, ErrUnsupported, "idle"},
		{"insert of a default", Insert, good(flow), func(e *Entry) { e.Default = true }, ErrUnsupported, "default"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.f != nil {
				tc.f(tc.e)
			}
			err := tc.e.validate(tc.op)
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v; want %v that says %q", err, tc.want, tc.says)
			}
		})
	}
}

// Entries that match the same have the same key, whatever their masked-out bits.
func TestKeyIsCanonical(t *testing.T) {
	wild, _ := miniSchema(t).Table("flow_wild")
	a, b := wild.NewEntry(), wild.NewEntry()
	a.Match[0] = Match{U64(0xff), U64(0xf0)}
	b.Match[0] = Match{U64(0xf0), U64(0xf0)}
	b.Match[2] = Match{Value: U64(3)} // optional, absent
	if a.Key() != b.Key() {
		t.Errorf("%s and %s differ", a, b)
	}
	b.Priority = 2
	if a.Key() == b.Key() {
		t.Error("priority is not part of the key")
	}
}
