package p4src

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// tableSizes returns how many entries each table has.
func tableSizes(info *p4configv1.P4Info) map[string]int64 {
	got := map[string]int64{}
	for _, t := range info.Tables {
		got[t.Preamble.Name] = t.Size
	}
	return got
}

// cells returns the indirect counters and meters by name: how many cells each has.
func cells(info *p4configv1.P4Info) map[string]int64 {
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

func v1model(t *testing.T) Pipeline {
	t.Helper()
	p, err := V1Model()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestArchitecturesAreEqual: a controller writes the same entries whatever the target is: names, ids, keys, actions and parameters of all tables,
// headers of packet-in and packet-out, and the names and sizes of counters and meters. Their ids and idle timeouts may differ.
func TestArchitecturesAreEqual(t *testing.T) {
	want := v1model(t).Info
	for arch, dir := range map[string]string{"tna": TNADir, "pna": PNADir} {
		got := readInfo(t, dir+"/weft.p4info.txtpb")
		if err := sameContract(want, got); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		if diff := cmp.Diff(tableSizes(want), tableSizes(got)); diff != "" {
			t.Errorf("%s: sizes of tables (-v1model +%[1]s):\n%s", arch, diff)
		}
		if strings.Contains(readFile(t, dir+"/RECORD"), FrontEndOnly) {
			continue // counters and meters are a backend's
		}
		if diff := cmp.Diff(cells(want), cells(got)); diff != "" {
			t.Errorf("%s: counters and meters (-v1model +%[1]s):\n%s", arch, diff)
		}
	}
}

// TestContract: what a controller relies on and is otherwise is found, and named.
func TestContract(t *testing.T) {
	want := v1model(t).Info
	for name, c := range map[string]struct {
		change func(*p4configv1.P4Info)
		says   string
	}{
		"table gone":     {func(i *p4configv1.P4Info) { i.Tables = i.Tables[1:] }, "table ingress.port_map: is missing, is to have id 0x"},
		"key's width":    {func(i *p4configv1.P4Info) { i.Tables[0].MatchFields[0].Bitwidth++ }, "table ingress.port_map, key port: has id 1, 10 bits, EXACT, is to have id 1, 9 bits, EXACT"},
		"action's param": {func(i *p4configv1.P4Info) { paramsOf(i)[0].Id = 9 }, "has id 9, 16 bits, is to have id 1, 16 bits"},
		"field's id":     {func(i *p4configv1.P4Info) { i.ControllerPacketMetadata[0].Metadata[0].Id = 77 }, "header packet_in, field ingress_port: has id 77"},
		"one more":       {func(i *p4configv1.P4Info) { i.Tables[0].MatchFields[0].Name = "other" }, "table ingress.port_map, key other: is one too many"},
	} {
		got := clone(want)
		c.change(got)
		if err := sameContract(want, got); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, is to say %q", name, err, c.says)
		}
	}
	if err := sameContract(want, clone(want)); err != nil {
		t.Errorf("a copy: %v", err)
	}
}

// TestLoadPipeline: files are a pipeline if they are weft's, with sizes of its own.
func TestLoadPipeline(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	small := clone(v1model(t).Info)
	small.Tables[0].Size = 17
	infoFile, device := write("weft.p4info.txtpb", prototext.Format(small)), write("weft.bin", "what a compiler made")
	p, err := LoadPipeline(infoFile, device)
	if err != nil {
		t.Fatal(err)
	}
	if string(p.Device) != "what a compiler made" || p.Info.Tables[0].Size != 17 || p.Cookie == v1model(t).Cookie || p.Cookie == 0 {
		t.Errorf("loaded: %d bytes, size %d, cookie %#x", len(p.Device), p.Info.Tables[0].Size, p.Cookie)
	}
	for name, c := range map[string]struct{ info, device, says string }{
		"no file":     {filepath.Join(dir, "none"), device, "no such file"},
		"no device":   {infoFile, filepath.Join(dir, "none"), "no such file"},
		"empty":       {infoFile, write("empty", ""), "is empty"},
		"no p4info":   {write("text", "tables {{"), device, "syntax error"},
		"another one": {write("other", `tables { preamble { id: 1 name: "ingress.ipv4" } }`), device, "not the p4info of this weft's pipeline: header packet_in"},
	} {
		if _, err := LoadPipeline(c.info, c.device); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, is to say %q", name, err, c.says)
		}
	}
}

func clone(info *p4configv1.P4Info) *p4configv1.P4Info { return proto.CloneOf(info) }

// paramsOf are the parameters of the first action that has any.
func paramsOf(info *p4configv1.P4Info) []*p4configv1.Action_Param {
	for _, a := range info.Actions {
		if len(a.Params) > 0 {
			return a.Params
		}
	}
	return nil
}
