package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"weft": main})
}

// TestScripts runs command lines and compares what they print; -update is `UPDATE=1 go test`.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			return nil
		},
	})
}

// TestExamples runs the examples that the help of validate, trace and version gives, at the root of the project.
func TestExamples(t *testing.T) {
	t.Chdir("../..")
	ran := 0
	for _, cmd := range newRoot().Commands() {
		for line := range strings.Lines(cmd.Example) {
			args := strings.Fields(line)
			if cmd.Name() == "softswitch" || len(args) == 0 || args[0] != "weft" || strings.ContainsAny(line, "|*") {
				continue
			}
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), args[1:], &stdout, &stderr); code != 0 || stdout.Len() == 0 {
				t.Errorf("%s: status %d: %s", strings.TrimSpace(line), code, stderr.Bytes())
			}
			ran++
		}
	}
	if ran < 8 {
		t.Errorf("%d examples ran", ran)
	}
}

func TestPrintVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.3"}
	info.Main.Version = "v0.1.0"
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "GOOS", Value: "linux"}, {Key: "vcs.modified", Value: "true"}}
	var out bytes.Buffer
	if err := printVersion(&out, info); err != nil {
		t.Fatal(err)
	}
	want := "weft      v0.1.0\ngo        go1.26.3\nrevision  abc\nmodified  true\ncookie    0x"
	if got, _, _ := bytes.Cut(out.Bytes(), []byte("cookie    0x")); cmp.Diff(want, string(got)+"cookie    0x") != "" {
		t.Errorf("printVersion:\n%s\nwant it to begin\n%s", out.String(), want)
	}
}
