package p4rt_test

import (
	"os"
	"strings"
	"testing"
)

// The README's examples are those that are run.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var flat string
	for _, name := range []string{"example_test.go", "example_kinds_test.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		flat += strings.ReplaceAll(string(source), "\n\t", "\n")
	}
	blocks := strings.Split(string(readme), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, rest := range blocks {
		block, _, found := strings.Cut(rest, "```")
		if !found || !strings.Contains(flat, block) {
			t.Errorf("the README's example differs from those in example_test.go and example_kinds_test.go:\n%s", block)
		}
	}
}
