package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/examples"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// TestDemo: the demo is a valid scenario of a valid network, with at least eight legs that are each for IPv4 and IPv6.
func TestDemo(t *testing.T) {
	s, err := scenario.Parse(examples.DemoFile, examples.Demo())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Load(scenario.NetworkFile, s.Network); err != nil {
		t.Fatal(err)
	}
	both := 0
	for _, leg := range s.Legs {
		if leg.Name != "" && leg.Family == scenario.Both {
			both++
		}
	}
	if both < 8 {
		t.Errorf("%d legs for both families, want at least 8", both)
	}
}

// TestScenarios: every scenario here is valid.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		s, err := scenario.ParseFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := topology.Load(scenario.NetworkFile, s.Network); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestNetworks: every network here is valid.
func TestNetworks(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topology.Load(file, b); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestDocument: the example of docs/scenarios.md is examples/bridge.txtar.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile("../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("bridge.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var indented strings.Builder
	for line := range strings.Lines(string(example)) {
		if strings.TrimSpace(line) != "" {
			indented.WriteString("    ")
		}
		indented.WriteString(line)
	}
	if !strings.Contains(string(doc), indented.String()) {
		t.Error("docs/scenarios.md does not show examples/bridge.txtar as it is")
	}
}
