package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	endTime   = 5 * time.Second // that a child has to end by itself
	tailLines = 5               // of a child's log in an error
)

// child is a process of a lab. Its output goes to a file; it ends with the lab, however that ends, and is waited for.
type child struct {
	name string
	args []string     // program and arguments
	log  string       // file
	in   func() error // moves the calling thread to where the process is to run; nil: it stays
	pid  atomic.Int64 // 0: does not run
}

func newChild(dir, name string, args ...string) *child {
	return &child{name: name, args: args, log: filepath.Join(dir, name+".log")}
}

// run runs the process until ctx ends (nil). A process that ends before is an error.
func (c *child) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		// The kernel kills the child when the thread that started it ends, so that one stays. It is moved for good, if it is: then it ends with this goroutine.
		runtime.LockOSThread()
		if c.in == nil {
			defer runtime.UnlockOSThread()
		}
		ended <- c.runHere(ctx)
	}()
	return <-ended
}

func (c *child) runHere(ctx context.Context) error {
	if c.in != nil {
		if err := c.in(); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	out, err := os.Create(c.log)
	if err != nil {
		return fmt.Errorf("%s: log: %w", c.name, err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.pid.Store(int64(cmd.Process.Pid))
	err = cmd.Wait()
	c.pid.Store(0)
	if ctx.Err() != nil {
		return nil // asked to end
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%s ended: %w; its last words:%s", c.name, err, c.tail())
}

// kill ends the process as SIGKILL does: false if it does not run.
func (c *child) kill() bool {
	pid := c.pid.Load()
	return pid != 0 && syscall.Kill(int(pid), syscall.SIGKILL) == nil
}

// tail returns the last lines of the log, each on a line of its own.
func (c *child) tail() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return " " + err.Error()
	}
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	var tail strings.Builder
	for _, line := range lines[max(0, len(lines)-tailLines):] {
		tail.WriteString("\n  " + line)
	}
	return tail.String()
}

// residentBytes is the physical memory that the process has now; false if it can't be told.
func (c *child) residentBytes() (uint64, bool) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", c.pid.Load()))
	if err != nil {
		return 0, false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kib uint64
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			_, err := fmt.Sscan(text, &kib)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
