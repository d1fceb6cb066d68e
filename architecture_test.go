package weft_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/p4src"
)

const module = "github.com/weft-sdn/weft/"

// anything marks the packages that wire others: binaries and test benches.
var anything = []string{"*"}

// mayImport tells, for every package, which packages of the module its code (tests aside) may import directly.
// A name stands for the package and, with "/..." behind it, for all below it too. The reasons are in docs/architecture.md.
var mayImport = map[string][]string{
	"packet":      {},
	"flow":        {"packet"},
	"filter":      {"flow", "packet"},
	"topology":    {"filter", "flow", "packet"},
	"sim":         {"topology", "conntrack", "filter", "flow", "packet"},
	"p4rt":        {},
	"p4src":       {},
	"offload":     {"flow", "p4rt", "packet"},
	"conntrack":   {"flow", "packet"},
	"state":       {"topology", "conntrack", "flow", "packet"},
	"monitor":     {"topology", "packet"},
	"engine":      {"sim", "conntrack", "filter", "monitor", "offload", "state", "topology", "flow", "packet", "p4rt", "p4src"},
	"agent":       {"bgp", "rpki", "vpn", "softswitch/port", "engine", "otlp", "telemetry", "state", "conntrack", "topology", "flow", "packet", "offload", "p4rt", "p4src"},
	"bgp":         {"bfd", "rpki", "state", "topology", "flow", "packet"},
	"vpn":         {"softswitch/port", "state", "topology", "flow", "packet"},
	"bfd":         {"packet"},
	"rpki":        {},
	"telemetry":   {},
	"gnmi":        {},
	"otlp":        {"engine", "flow"},
	"openconfig":  {"access", "gnmi", "state", "topology", "flow"},
	"access":      {"state", "topology"},
	"api":         {"bgp", "openconfig", "access", "agent", "client", "flow", "manual", "state", "topology", "trace", "view"},
	"trace":       {"client", "sim", "conntrack", "state", "topology", "flow", "packet"},
	"view":        {"agent", "bgp", "client", "conntrack", "state", "topology", "flow", "packet"},
	"client":      {"topology"},
	"manual":      {},
	"examples":    {},
	"survey":      {"flow", "offload", "p4rt", "p4src"},
	"softswitch":  {"softswitch/gnmi", "softswitch/impair", "softswitch/pipeline", "softswitch/port"},
	"cmd/weft":    anything,
	"testbed/...": anything,

	"softswitch/cli":      {"softswitch", "softswitch/impair", "softswitch/port", "softswitch/stf"},
	"softswitch/gnmi":     {"gnmi", "softswitch/impair"},
	"softswitch/impair":   {},
	"softswitch/pipeline": {},
	"softswitch/port":     {},
	"softswitch/stf":      {"softswitch/pipeline"},
	"p4src/gen":           {"p4src"},
	"p4rt/p4rttest":       {"p4rt"}, // a fake target for tests
}

// onlyFromTests are packages that shipped code does not import, cmd aside.
var onlyFromTests = []string{"testbed/...", "p4rt/p4rttest", "cmd/..."}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// TestImports enforces the direction of imports.
func TestImports(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	seen := map[string]bool{}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		if p.ImportPath+"/" == module {
			continue // this test
		}
		rule, ok := ruleOf(name)
		if !ok {
			t.Errorf("package %s is not in the table of architecture_test.go: add it with what it may import, and a sentence about it to docs/architecture.md", name)
			continue
		}
		seen[rule] = true
		for _, problem := range violations(name, mayImport[rule], p.Imports) {
			t.Error(problem)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imported, module+"cmd/") {
				t.Errorf("tests of package %s import %s: nobody imports cmd", name, imported)
			}
		}
	}
	for _, rule := range []string{"packet", "flow", "topology", "p4rt", "softswitch/pipeline", "cmd/weft", "testbed/..."} {
		if !seen[rule] {
			t.Errorf("no package is under rule %q: go list did not see it", rule)
		}
	}
}

// TestViolations: the rules catch what they are for.
func TestViolations(t *testing.T) {
	for _, tc := range []struct {
		name, imports string
		ok            bool
	}{
		{"sim", "topology", true},
		{"sim", "state", false},
		{"p4rt", "flow", false},
		{"softswitch", "p4rt", false},
		{"packet", "flow", false},
		{"engine", "testbed/host", false},
		{"engine", "cmd/weft", false},
		{"cmd/weft", "softswitch/cli", true},
		{"cmd/weft", "testbed/host", true},
		{"testbed/fabric", "engine", true},
		{"testbed/fabric", "cmd/weft", false},
		{"topology", "topology/trie", true},
		{"p4rt", "p4rt/p4rttest", false},
	} {
		rule, found := ruleOf(tc.name)
		got := violations(tc.name, mayImport[rule], []string{"fmt", module + tc.imports})
		if !found || (len(got) == 0) != tc.ok {
			t.Errorf("%s imports %s: %q, want ok %t", tc.name, tc.imports, got, tc.ok)
		}
	}
	if rule, ok := ruleOf("util"); ok {
		t.Errorf("package util is under rule %q", rule)
	}
}

// TestDocument: docs/architecture.md has a row for every package and every table of the pipeline, and the files that it names exist.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for rule := range mayImport {
		if name := strings.TrimSuffix(rule, "/..."); !strings.Contains(doc, "\n| `"+name+"`") {
			t.Errorf("docs/architecture.md has no row for package %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z0-9_]+(?:/[a-z0-9_]+)+\\.(?:go|p4))`").FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("docs/architecture.md names a file that is not there: %v", err)
		}
	}
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range info.Tables {
		if !strings.Contains(doc, "`"+table.Preamble.Name+"`") {
			t.Errorf("docs/architecture.md does not name table %s", table.Preamble.Name)
		}
	}
}

// ruleOf returns the entry of mayImport for a package: its own, or that of the nearest "/..." above it.
func ruleOf(name string) (string, bool) {
	if _, ok := mayImport[name]; ok {
		return name, true
	}
	for rule := range mayImport {
		if within(name, rule) {
			return rule, true
		}
	}
	return "", false
}

// within reports whether a package is pattern, or below it if pattern ends with "/...".
func within(name, pattern string) bool {
	root, tree := strings.CutSuffix(pattern, "/...")
	return name == root || tree && strings.HasPrefix(name, root+"/")
}

// violations returns what is wrong with a package's direct imports. A package may import what is below it.
func violations(name string, allowed, imports []string) []string {
	var problems []string
	wires := slices.Equal(allowed, anything)
	for _, path := range imports {
		imported, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		below := within(imported, name+"/...")
		if !wires && !below && !slices.ContainsFunc(allowed, func(a string) bool { return within(imported, a) }) {
			problems = append(problems, name+" imports "+imported+", which its row of mayImport does not have")
		}
		for _, closed := range onlyFromTests {
			if within(imported, closed) && !(wires && !strings.HasPrefix(imported, "cmd/")) && !within(name, closed) {
				problems = append(problems, name+" imports "+imported+", which is for tests and cmd")
			}
		}
	}
	return problems
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
