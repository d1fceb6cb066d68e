package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runChild runs a shell script as a child and returns how it ended.
func runChild(ctx context.Context, t *testing.T, script string) (*child, <-chan error) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	c := newChild(t.TempDir(), "child", "sh", "-c", script)
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	return c, ended
}

func TestChildThatEndsTellsItsLastWords(t *testing.T) {
	_, ended := runChild(t.Context(), t, "echo I am done; exit 3")
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "child ended: exit status 3; its last words") ||
		!strings.HasSuffix(err.Error(), "I am done") {
		t.Error(err)
	}
	_, ended = runChild(t.Context(), t, "exit 0")
	if err := <-ended; err == nil {
		t.Error("a child that ended by itself is no error")
	}
	c := newChild(t.TempDir(), "child", filepath.Join(t.TempDir(), "nothing"))
	if err := c.run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestChildEndsWithItsContext(t *testing.T) {
	for name, script := range map[string]string{
		"asked":  "echo up; exec sleep 1000",
		"killed": "trap '' TERM; echo up; while :; do sleep 0.1; done",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c, ended := runChild(ctx, t, script)
			waitUntil(t, "the child does not come up", func() bool { text, _ := os.ReadFile(c.log); return len(text) > 0 })
			waitUntil(t, "the child has no memory", func() bool { n, ok := c.residentBytes(); return ok && n >= 100<<10 }) // it has little while it becomes another program
			pid := int(c.pid.Load())
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d after its child ended: %v", pid, err)
			}
			if _, ok := c.residentBytes(); ok {
				t.Error("a process that ended has memory")
			}
		})
	}
}
