package p4rt_test

import (
	"os"
	"strings"
	"testing"
)

// The README's example is the one that is run.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	flat := strings.ReplaceAll(string(source), "\n\t", "\n")
	if !strings.Contains(flat, block) {
		t.Error("the README's example differs from Example in example_test.go")
	}
}
