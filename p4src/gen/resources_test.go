package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport: what the compiler's logs say becomes one line a stage, and a sum.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"resources.json": `{"resources":{"mau":{"mau_stages":[
			{"logical_tables":{"ids":[{"id":0,"table_name":"ingress.port_map"},{"id":1,"table_name":"ingress.entry"}]},"rams":{"srams":[{},{},{}]},"map_rams":{"maprams":[]},"tcams":{"tcams":[{}]}},
			{"logical_tables":{"ids":[]},"rams":{"srams":[]},"map_rams":{"maprams":[]},"tcams":{"tcams":[]}},
			{"logical_tables":{"ids":[{"id":0,"table_name":"egress.latest"}]},"rams":{"srams":[{}]},"map_rams":{"maprams":[{},{}]},"tcams":{"tcams":[]}}]}}}`,
		"phv.json": `{"containers":[{"container_type":"normal"},{"container_type":"normal"},{"container_type":"tagalong"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := report(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"    0      2     3    0     1  ingress.port_map ingress.entry\n    2      1     1    2     0  egress.latest\n",
		"3 stages, 4 of 960 SRAM, 2 of 576 map RAM, 1 of 288 TCAM, containers: 2 of 224, 1 of 112 tagalong\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("report:\n%swant in it:\n%s", got, want)
		}
	}
	if _, err := report(t.TempDir()); err == nil || !strings.Contains(err.Error(), "resources.json") {
		t.Errorf("no logs: %v", err)
	}
}
