package p4src

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArtefactsMatchSources fails when a .p4 file, a program or a p4info was changed without `make p4`.
func TestArtefactsMatchSources(t *testing.T) {
	for _, a := range []struct{ arch, record, dir string }{
		{"v1model", RecordFile, "build"}, {"tna", TNADir + "/RECORD", TNADir}, {"pna", PNADir + "/RECORD", PNADir},
	} {
		recorded := readFile(t, a.record)
		compiler := compilerOf(recorded)
		if compiler == "" {
			t.Fatalf("%s names no compiler: run `make p4`", a.record)
		}
		var artefacts []Artefact
		for _, file := range []struct{ word, name string }{{"program", "weft.json"}, {"info", "weft.p4info.txtpb"}, {"resources", "resources.txt"}, {"rack_info", "rack/weft.p4info.txtpb"}, {"rack_resources", "rack/resources.txt"}, {"test_info", "test/weft.p4info.txtpb"}, {"test_resources", "test/resources.txt"}, {"spec", "weft.spec"}, {"entries", "out_port.txt"}, {"emulation", "emulation.json"}, {"emulation_info", "emulation.p4info.txtpb"}} {
			if strings.Contains(recorded, "\n"+file.word+" ") {
				artefacts = append(artefacts, Artefact{file.word, []byte(readFile(t, a.dir+"/"+file.name))})
			}
		}
		want, err := NewRecord(os.DirFS("."), a.arch, compiler, artefacts...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, recorded); diff != "" {
			t.Errorf("%s: sources and artefacts have drifted apart: run `make p4` (-found +recorded):\n%s", a.arch, diff)
		}
	}
}

// TestIDsAreExplicit: ids and names are a contract with controllers and with the other architectures' programs.
func TestIDsAreExplicit(t *testing.T) {
	m, err := Info()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint32{}
	for _, table := range m.Tables {
		got[table.Preamble.Name] = table.Preamble.Id
	}
	want := map[string]uint32{
		"ingress.port_map": 0x02000001, "ingress.port_tags": 0x02000011, "ingress.tunnel_term_v4": 0x02000002, "ingress.tunnel_term_v6": 0x02000003,
		"ingress.peer_list_v4": 0x02000004, "ingress.peer_list_v6": 0x02000005, "ingress.src_class": 0x02000006,
		"ingress.dst_class": 0x02000007, "ingress.punt_class": 0x02000008, "ingress.flow_exact_v4": 0x02000009,
		"ingress.flow_exact_v6": 0x0200000a, "ingress.flow_wild_v4": 0x0200000b, "ingress.flow_wild_v6": 0x0200000c,
		"ingress.flow_wild_l2": 0x0200000d, "ingress.l2_guard": 0x0200000e, "ingress.location": 0x0200000f, "ingress.peer": 0x02000010,
		"egress.replica": 0x02000020, "egress.l2_rewrite": 0x02000021, "egress.underlay": 0x02000022,
		"egress.nat_v4": 0x02000023, "egress.nat_v6": 0x02000024,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	for _, header := range m.ControllerPacketMetadata {
		bits := int32(0)
		for _, f := range header.Metadata {
			bits += f.Bitwidth
		}
		if bits%8 != 0 {
			t.Errorf("controller header %s has %d bits: not whole bytes", header.Preamble.Name, bits)
		}
	}
}

// TestExactKeyWidths: the keys that fit a Tofino stage budget, in bits; a wider key costs stages.
func TestExactKeyWidths(t *testing.T) {
	m, err := Info()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int32{"flow_exact_v4": 122, "flow_exact_v6": 314}
	for _, table := range m.Tables {
		short := strings.TrimPrefix(table.Preamble.Name, "ingress.")
		limit, ok := want[short]
		if !ok {
			continue
		}
		bits := int32(0)
		for _, f := range table.MatchFields {
			bits += f.Bitwidth
		}
		if bits != limit {
			t.Errorf("%s: key of %d bits, want %d", short, bits, limit)
		}
	}
}
