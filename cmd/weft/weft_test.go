package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weft-sdn/weft/state"
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
		Condition:           labCondition,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"database": scriptDatabase, "status": scriptStatus, "expand": scriptExpand, "until": scriptUntil, "traffic": scriptTraffic, "api": scriptAPI,
		},
	})
}

// startDatabase starts an empty database and returns where it is.
func startDatabase(dir string) (endpoint string, stop func(), err error) {
	e, err := state.StartEmbedded(context.Background(), state.EmbeddedConfig{Dir: dir, FastTimers: true, UnsafeNoFsync: true})
	if err != nil {
		return "", nil, err
	}
	return e.Endpoints()[0], e.Close, nil
}

func TestPrintVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.3"}
	info.Main.Version = "v0.1.0"
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "GOOS", Value: "linux"}, {Key: "vcs.modified", Value: "true"}}
	var out bytes.Buffer
	if err := printVersion(&out, info, "text"); err != nil {
		t.Fatal(err)
	}
	want := "weft      v0.1.0\ngo        go1.26.3\nrevision  abc\nmodified  true\ncookie    0x"
	if got, _, _ := bytes.Cut(out.Bytes(), []byte("cookie    0x")); cmp.Diff(want, string(got)+"cookie    0x") != "" {
		t.Errorf("printVersion:\n%s\nwant it to begin\n%s", out.String(), want)
	}
}

// TestHelpWidth: prose and flags of help fit in 80 columns, examples in 120.
func TestHelpWidth(t *testing.T) {
	for _, cmd := range append(newRoot().Commands(), newRoot()) {
		args := []string{"--help"}
		if cmd.HasParent() {
			args = []string{cmd.Name(), "--help"}
		}
		for line := range strings.Lines(foreground(t, args...)) {
			most := helpWidth
			if strings.HasPrefix(line, "  weft ") {
				most = 120
			}
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > most {
				t.Errorf("weft %s has a line of %d columns: %s", strings.Join(args, " "), n, line)
			}
		}
	}
}
