package p4src

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// shape is what architectures share of a table: all that an entry is written with.
type shape struct {
	ID      uint32
	Size    int64
	Default string
	Keys    []field
	Actions map[string]action
}

// action is an action of a table, Scope where it may be used.
type action struct {
	ID     uint32
	Scope  string
	Params []field
}

// field is a key field, a parameter or a field of a controller header; Match is empty but for keys.
type field struct {
	ID    uint32
	Name  string
	Bits  int32
	Match string
}

// shapes returns the tables of a p4info by name.
func shapes(t *testing.T, info *p4configv1.P4Info) map[string]shape {
	t.Helper()
	actions := map[uint32]*p4configv1.Action{}
	for _, a := range info.Actions {
		actions[a.Preamble.Id] = a
	}
	got := map[string]shape{}
	for _, table := range info.Tables {
		s := shape{ID: table.Preamble.Id, Size: table.Size, Actions: map[string]action{}}
		for _, k := range table.MatchFields {
			s.Keys = append(s.Keys, field{k.Id, k.Name, k.Bitwidth, k.GetMatchType().String()})
		}
		for _, ref := range table.ActionRefs {
			a := actions[ref.Id]
			if a == nil {
				t.Fatalf("table %s: its action %#x is not in the p4info", table.Preamble.Name, ref.Id)
			}
			to := action{ID: ref.Id, Scope: ref.Scope.String()}
			for _, p := range a.Params {
				to.Params = append(to.Params, field{ID: p.Id, Name: p.Name, Bits: p.Bitwidth})
			}
			s.Actions[a.Preamble.Name] = to
		}
		if a := actions[table.ConstDefaultActionId]; a != nil {
			s.Default = a.Preamble.Name
		}
		got[table.Preamble.Name] = s
	}
	return got
}

// controllerHeaders returns the fields of packet_in and packet_out.
func controllerHeaders(info *p4configv1.P4Info) map[string][]field {
	got := map[string][]field{}
	for _, h := range info.ControllerPacketMetadata {
		for _, m := range h.Metadata {
			got[h.Preamble.Name] = append(got[h.Preamble.Name], field{ID: m.Id, Name: m.Name, Bits: m.Bitwidth})
		}
	}
	return got
}

// sizes returns the indirect counters and meters by name: how many cells each has.
func sizes(info *p4configv1.P4Info) map[string]int64 {
	got := map[string]int64{}
	for _, c := range info.Counters {
		got[c.Preamble.Name] = c.Size
	}
	for _, m := range info.Meters {
		got[m.Preamble.Name] = m.Size
	}
	return got
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readInfo(t *testing.T, file string) *p4configv1.P4Info {
	t.Helper()
	info := new(p4configv1.P4Info)
	if err := prototext.Unmarshal([]byte(readFile(t, file)), info); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return info
}

// TestArchitecturesAreEqual: a controller writes the same entries whatever the target is: names, ids, keys, actions and parameters of all tables,
// headers of packet-in and packet-out, and the names and sizes of counters and meters. Their ids and idle timeouts may differ.
func TestArchitecturesAreEqual(t *testing.T) {
	want, err := Info()
	if err != nil {
		t.Fatal(err)
	}
	for arch, dir := range map[string]string{"tna": TNADir, "pna": PNADir} {
		got := readInfo(t, dir+"/weft.p4info.txtpb")
		if diff := cmp.Diff(shapes(t, want), shapes(t, got)); diff != "" {
			t.Errorf("%s: tables (-v1model +%[1]s):\n%s", arch, diff)
		}
		if diff := cmp.Diff(controllerHeaders(want), controllerHeaders(got)); diff != "" {
			t.Errorf("%s: headers of the CPU port (-v1model +%[1]s):\n%s", arch, diff)
		}
		if strings.Contains(readFile(t, dir+"/RECORD"), FrontEndOnly) {
			continue // counters and meters are a backend's
		}
		if diff := cmp.Diff(sizes(want), sizes(got)); diff != "" {
			t.Errorf("%s: counters and meters (-v1model +%[1]s):\n%s", arch, diff)
		}
	}
}
