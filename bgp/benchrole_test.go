package bgp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// roleVariable has what a process does that a benchmark began, as JSON.
const roleVariable = "WEFT_BGP_ROLE"

// role is what a process of a benchmark is. It does what it is told by lines of its standard input, and tells what happens by lines "word number" of its standard output.
type role struct {
	Name      string // see roles
	Stride    int    // every stride-th prefix of the Internet's table is told
	Path      int    // length of AS paths
	Graceful  bool   // the peer restarts gracefully
	At        string // where the peer listens
	From      string // the address that it is spoken to from
	Endpoints []string
	Edge      string
	Router    topology.DeviceID
	Port      flow.VPortID
	Uplink    int
	Want      int // routes that are told, of all sessions
}

// roleGCPercent is engine.GCPercent, which this package does not import: how processes of agents are run.
const roleGCPercent = 200

var roles = map[string]func(ctx context.Context, r *role, orders <-chan string) error{
	"peer": rolePeer, "bare": roleBare, "border": roleBorder, "edge": roleEdge,
}

// runRole is a process of a benchmark, until its standard input ends. It stops nothing then: that would take as long as what is measured.
func runRole(spec string) int {
	var r role
	if err := json.Unmarshal([]byte(spec), &r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	debug.SetGCPercent(roleGCPercent)
	orders := make(chan string)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			switch lines.Text() {
			case "heap":
				tell("heap", int64(heapInUse()))
			default:
				orders <- lines.Text()
			}
		}
	}()
	if dir := os.Getenv("WEFT_BGP_PROFILES"); dir != "" {
		if f, err := os.Create(fmt.Sprintf("%s/%s%s.prof", dir, r.Name, r.Edge)); err == nil {
			_ = pprof.StartCPUProfile(f)
			defer pprof.StopCPUProfile()
		}
	}
	if err := roles[r.Name](context.Background(), &r, orders); err != nil {
		fmt.Fprintf(os.Stderr, "%s %s: %v\n", r.Name, r.Edge, err)
		return 1
	}
	return 0
}

// tell says a word and a number.
func tell(word string, n int64) { fmt.Println(word, n) }

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// child is a process with a role.
type child struct {
	tb    testing.TB
	name  string
	cmd   *exec.Cmd
	in    *os.File
	words chan word
}

type word struct {
	is string
	n  int64
}

// begin starts a process; it ends with the benchmark, or by end.
func begin(tb testing.TB, r role) *child {
	tb.Helper()
	spec, err := json.Marshal(r)
	if err != nil {
		tb.Fatal(err)
	}
	c := &child{tb: tb, name: r.Name + " " + r.Edge, words: make(chan word, 64)}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), roleVariable+"="+string(spec))
	c.cmd.Stderr = os.Stderr
	stdin, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	c.cmd.Stdin, c.in = stdin, in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	stdin.Close()
	go func() {
		defer close(c.words)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			is, number, _ := strings.Cut(lines.Text(), " ")
			if n, err := strconv.ParseInt(number, 10, 64); err == nil {
				c.words <- word{is, n}
			}
		}
	}()
	tb.Cleanup(func() { c.end() })
	return c
}

// end closes the process's input and waits until it is gone. It returns the processor time that the process took.
func (c *child) end() time.Duration {
	if c.in == nil {
		return 0
	}
	c.in.Close()
	c.in = nil
	kill := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	for range c.words {
	}
	if err := c.cmd.Wait(); err != nil {
		c.tb.Errorf("%s: %v", c.name, err)
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// order tells the process to do something.
func (c *child) order(what string) {
	c.tb.Helper()
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		c.tb.Fatalf("%s: %v", c.name, err)
	}
}

// hear waits for a word and returns its number.
func (c *child) hear(is string) int64 {
	c.tb.Helper()
	late := time.NewTimer(5 * time.Minute)
	defer late.Stop()
	for {
		select {
		case w, ok := <-c.words:
			if !ok {
				c.tb.Fatalf("%s ended before it said %q", c.name, is)
			}
			if w.is == is {
				return w.n
			}
		case <-late.C:
			c.tb.Fatalf("%s did not say %q within 5 minutes", c.name, is)
		}
	}
}

// ask has a number from the process.
func (c *child) ask(what string) int64 {
	c.tb.Helper()
	c.order(what)
	return c.hear(what)
}

// upTeller tells when a session is up, as its log does.
type upTeller struct{ slog.Handler }

func (u upTeller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (u upTeller) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "session is up" {
		tell("up", time.Now().UnixNano())
	}
	if r.Level < slog.LevelWarn {
		return nil
	}
	return u.Handler.Handle(ctx, r)
}

func (u upTeller) WithAttrs(a []slog.Attr) slog.Handler { return upTeller{u.Handler.WithAttrs(a)} }
func (u upTeller) WithGroup(n string) slog.Handler      { return upTeller{u.Handler.WithGroup(n)} }
