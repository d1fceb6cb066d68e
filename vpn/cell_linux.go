package vpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// cell is a network namespace with the daemon of one VPN in it. Loopback and the daemon's own device are all that it has: what it sends to its peers goes to the agent's relay, and what is for the device comes from the agent's pump.
// So nothing of it gets anywhere without the agent, and it needs no address of the host's.
type cell struct {
	log     *slog.Logger
	space   *namespace
	folder  *folder // the daemon's files
	as      owner
	stop    context.CancelFunc
	ended   func(why string) // that the daemon ended by itself
	running sync.WaitGroup

	mu   sync.Mutex
	said string // its last complaint
}

// owner is as whom a daemon runs; zero: as root.
type owner struct{ uid, gid uint32 }

const (
	endTime      = 1500 * time.Millisecond // that a daemon has to end
	firstRestart = 200 * time.Millisecond
	lastRestart  = 5 * time.Second
)

// nobody is the user that daemons are which have none of their own.
func nobody() owner {
	const none = 65534 // the kernel's own
	u, err := user.Lookup("nobody")
	if err != nil {
		return owner{none, none}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if errors.Join(err1, err2) != nil || uid == 0 {
		return owner{none, none}
	}
	return owner{uint32(uid), uint32(gid)}
}

// newCell makes a cell of a user's.
func newCell(log *slog.Logger, as owner, ended func(why string)) (*cell, error) {
	space, err := newNamespace()
	if err != nil {
		return nil, err
	}
	c := &cell{log: log, space: space, as: as, stop: func() {}, ended: ended}
	if c.folder, err = newFolder(int(as.uid), int(as.gid)); err != nil {
		_ = space.close()
		return nil, fmt.Errorf("a folder for the daemon: %w", err)
	}
	return c, nil
}

// write writes a file of the daemon's.
func (c *cell) write(name, text string) error {
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		return err
	}
	return c.give(name)
}

// path is where a file of the daemon's is.
func (c *cell) path(name string) string { return filepath.Join(c.folder.path, name) }

// give has the daemon own a file or folder.
func (c *cell) give(name string) error {
	return os.Chown(c.path(name), int(c.as.uid), int(c.as.gid))
}

// run has the daemon run, again and again, until the cell is closed. once runs it once.
func (c *cell) run(once func(ctx context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.running.Go(func() {
		wait := firstRestart
		for ctx.Err() == nil {
			began := time.Now()
			err := once(ctx)
			if ctx.Err() != nil {
				return
			}
			if time.Since(began) > lastRestart {
				wait = firstRestart
			}
			c.failed(err)
			c.ended(c.complaint())
			c.log.Warn("the daemon of the VPN ended; starting it again", "err", err, "said", c.complaint(), "in", wait)
			t := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
			wait = min(2*wait, lastRestart)
		}
	})
}

func (c *cell) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said == "" && err != nil {
		c.said = "the daemon ended: " + err.Error()
	}
}

// complain notes what the daemon complained about; empty: it is well again.
func (c *cell) complain(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = text
}

func (c *cell) complaint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said
}

// exec runs a program in the cell until it ends, or ctx does: then it is told to, and is killed when it has not within end. Its words are given to line, one by one.
func (c *cell) exec(ctx context.Context, stdin io.Reader, env []string, end time.Duration, line func(string), name string, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = stdin, w, w, c.folder.path
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH")}, env) // and nothing of the agent's
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}  // it does not outlive the agent
	if c.as != (owner{}) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.as.uid, Gid: c.as.gid}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = end
	var reading sync.WaitGroup
	reading.Go(func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			line(s.Text())
		}
		_, _ = io.Copy(io.Discard, r) // of a line that was too long
	})
	err = c.space.do(func() error {
		err := cmd.Start()
		w.Close()
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		return cmd.Wait()
	})
	_ = r.SetReadDeadline(time.Now().Add(endTime)) // whatever else has it open
	reading.Wait()
	r.Close()
	if err == nil {
		err = errors.New(name + " ended by itself")
	}
	return err
}

// close ends the daemon, and takes the cell away.
func (c *cell) close() {
	c.stop()
	c.running.Wait()
	_ = c.space.close()
	c.folder.remove()
}
