package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

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
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"database": scriptDatabase, "status": scriptStatus},
	})
}

// scriptDatabase is the script command "database": it starts an empty database that commands find by themselves, until the script ends.
func scriptDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: database")
	}
	endpoint, stop, err := startDatabase(ts.MkAbs("db"))
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("WEFT_ETCD", endpoint)
}

// scriptStatus is the script command "status N ARGS…": it runs weft, and fails if the exit status is not N.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N ARGS...")
	}
	status := 0
	if err := ts.Exec("weft", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		status = exit.ExitCode()
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("status %d, want %s", status, args[0])
	}
}

// startDatabase starts an empty database and returns where it is.
func startDatabase(dir string) (endpoint string, stop func(), err error) {
	e, err := state.StartEmbedded(context.Background(), state.EmbeddedConfig{Dir: dir, FastTimers: true, UnsafeNoFsync: true})
	if err != nil {
		return "", nil, err
	}
	return e.Endpoints()[0], e.Close, nil
}

// notRun are commands whose examples run until they are told to end, or name what is not there.
var notRun = []string{"softswitch", "etcd"}

// TestExamples runs the examples that help gives, each command's on the reference network: those of one line that need no other program.
func TestExamples(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, link := range []string{"examples", "network"} {
		if err := os.Symlink(filepath.Join(root, "examples"), link); err != nil {
			t.Fatal(err)
		}
	}
	endpoint, stop, err := startDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	t.Setenv("WEFT_ETCD", endpoint)
	must := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("%s: status %d: %s", strings.Join(args, " "), code, stderr.Bytes())
		}
		return stdout.String()
	}
	ran := map[string]int{}
	for _, cmd := range newRoot().Commands() {
		if slices.Contains(notRun, cmd.Name()) {
			continue
		}
		must("apply", "-f", "examples/reference.yaml")
		for line := range strings.Lines(cmd.Example) {
			args := strings.Fields(strings.ReplaceAll(line, defaultEtcd, endpoint))
			if len(args) == 0 || args[0] != "weft" || strings.ContainsAny(line, "|*") || strings.Contains(line, "https://") {
				continue
			}
			if must(args[1:]...) == "" && cmd.Name() != "diff" {
				t.Errorf("%s prints nothing", strings.TrimSpace(line))
			}
			ran[cmd.Name()]++
		}
	}
	for _, cmd := range newRoot().Commands() {
		if !slices.Contains(notRun, cmd.Name()) && ran[cmd.Name()] == 0 && cmd.Name() != "help" {
			t.Errorf("no example of weft %s ran", cmd.Name())
		}
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
