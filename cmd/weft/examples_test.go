package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// background runs a command line until the test ends, and checks that it ends well. What it prints is in the buffer.
func background(t *testing.T, args ...string) *buffer {
	t.Helper()
	out := new(buffer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, out, t.Output()) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("%s: status %d", strings.Join(args, " "), code)
		}
	})
	return out
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// foreground runs a command line, which must succeed and print no error, and returns what it prints. That there is nothing to show is no error.
func foreground(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	nothing := regexp.MustCompile(`^no \w+( in (any tenant|tenant .*))?\n$`)
	if code := run(t.Context(), args, &stdout, &stderr); code != 0 || stderr.Len() > 0 && !nothing.Match(stderr.Bytes()) {
		t.Errorf("%s: status %d: %s", strings.Join(args, " "), code, stderr.Bytes())
	}
	return stdout.String()
}

// foretaste runs a command line that ends when it is interrupted, once it has printed something.
func foretaste(t *testing.T, args ...string) string {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr buffer
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, &stdout, &stderr) }()
	until(t, func() (bool, string) { return stdout.String() != "" || len(ended) > 0, stderr.String() })
	interrupt()
	if code := <-ended; code != exitInterrupted {
		t.Errorf("%s: status %d: %s", strings.Join(args, " "), code, stderr.String())
	}
	return stdout.String()
}

// untilEdge waits until an edge is live and has the network.
func untilEdge(t *testing.T, id string) {
	t.Helper()
	want := regexp.MustCompile(`(?m)^` + id + ` +current`)
	until(t, func() (bool, string) {
		var stdout, stderr bytes.Buffer
		run(t.Context(), []string{"edges"}, &stdout, &stderr)
		return want.Match(stdout.Bytes()), stdout.String() + stderr.String()
	})
}

// until asks again and again until the answer is true; that it is not within three minutes ends the test, with the last text.
func until(t *testing.T, ask func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		ok, text := ask()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within three minutes:\n%s", text)
		}
	}
}

// atRoot goes to a directory that has what examples name: examples, and the same as network.
func atRoot(t *testing.T) (root string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "weft") // short, for the paths of sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Chdir(dir)
	t.Setenv("WEFT_CONFIG", filepath.Join(dir, "config.yaml")) // nobody has logged in
	for _, link := range []string{"examples", "network"} {
		if err := os.Symlink(filepath.Join(root, "examples"), link); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// exampleAgent is the configuration of edge nic1 for the examples, in the current directory.
const exampleAgent = `etcd: {endpoints: ["$WEFT_ETCD"]}
listen: unix:$PWD/status
edges:
- id: nic1
  target: {address: "unix:$PWD/sw", profile: softswitch}
  vteps: [198.51.100.1]
  uplinks: [{port: 256, mac: 02:ed:00:00:00:01, addresses: [192.0.2.2], gateways: [192.0.2.1]}]
`

// TestExamples runs the examples that help gives, each command's on the reference network with edge nic1: those of one line that need neither another
// program nor another host.
func TestExamples(t *testing.T) {
	atRoot(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	endpoint, stop, err := startDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	t.Setenv("WEFT_ETCD", endpoint)
	t.Setenv("PWD", dir)
	t.Setenv("EDITOR", `sed -i 's/^metadata:/&\n  labels: {edited: now}/'`)
	if err := os.WriteFile("agent.yaml", []byte(os.ExpandEnv(exampleAgent)), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, "softswitch", "--no-p4", "--cpu-port", "510", "--grpc-server-addr", "unix:"+dir+"/sw",
		"-i", "1@unix:"+dir+"/p1", "-i", "2@unix:"+dir+"/p2", "-i", "256@unix:"+dir+"/up")
	background(t, "agent", "--config", "agent.yaml")
	untilEdge(t, "nic1")

	elsewhere := regexp.MustCompile(`\||\*|https://|/etc/|^  weft (etcd|softswitch|demo|dev|lab|context|log|token|user|whoami)`)
	local := strings.NewReplacer(defaultEtcd, endpoint, "127.0.0.1:9570", "unix:"+dir+"/status", "127.0.0.1:9559", "unix:"+dir+"/sw")
	ran := map[string]int{}
	for _, cmd := range newRoot().Commands() {
		foreground(t, "apply", "-f", "examples/reference.yaml")
		for line := range strings.Lines(cmd.Example) {
			command, file, redirected := strings.Cut(strings.TrimSpace(local.Replace(line)), " >")
			args := strings.Fields(command)
			if len(args) == 0 || args[0] != "weft" || elsewhere.MatchString(line) {
				continue
			}
			show := foreground
			if slices.Contains(args, "-w") || args[1] == "watch" {
				show = foretaste
			}
			out := show(t, args[1:]...)
			if out == "" && cmd.Name() != "diff" {
				t.Errorf("%s prints nothing", strings.TrimSpace(line))
			}
			if redirected {
				if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ran[cmd.Name()]++
		}
		if ran[cmd.Name()] == 0 && !elsewhere.MatchString("  weft "+cmd.Name()) {
			t.Errorf("no example of weft %s ran", cmd.Name())
		}
	}
}

// TestOperations runs the commands of docs/operations.md, one after the other, in directories and at ports of its own.
func TestOperations(t *testing.T) {
	root := atRoot(t)
	b, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.NewReplacer("/tmp/weft", dir, "http://127.0.0.1:2379", "unix://"+dir+"/etcd", "127.0.0.1:9559", "unix:"+dir+"/sw",
		"127.0.0.1:9570", "unix:"+dir+"/status").Replace(string(b))
	_, rest, _ := strings.Cut(doc, "```yaml\n")
	config, _, _ := strings.Cut(rest, "```\n")
	config = strings.ReplaceAll(config, "address: unix:"+dir+"/sw", `address: "unix:`+dir+`/sw"`)
	if err := os.WriteFile("agent.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEFT_ETCD", "unix://"+dir+"/etcd")
	commands := commandsOf(doc)
	if len(commands) < 8 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, c := range commands {
		line := strings.Join(c.args, " ")
		args, behind := strings.CutSuffix(line, " &")
		name, rest, _ := strings.Cut(args, " ")
		if name != "weft" {
			t.Fatalf("%s: this test can't run it", line)
		}
		got := ""
		if behind {
			out := background(t, strings.Fields(rest)...)
			until(t, func() (bool, string) { return c.pattern().MatchString(out.String()), line + " prints " + out.String() })
			if got = out.String(); c.args[1] == "agent" {
				untilEdge(t, "nic1") // who types these takes longer
			}
		} else {
			got = foreground(t, strings.Fields(rest)...)
		}
		if !c.pattern().MatchString(got) {
			t.Errorf("%s prints\n%s\nwhich is not what docs/operations.md says:\n%s", line, got, strings.Join(c.want, "\n"))
		}
	}
}
