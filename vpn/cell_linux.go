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
	dir     string // private: the daemon's files
	user    string // as which the daemon runs on when it has its device and sockets; empty: root
	group   string
	stop    context.CancelFunc
	ended   func(why string) // that the daemon ended by itself
	running sync.WaitGroup

	mu   sync.Mutex
	said string // its last complaint
}

const (
	unprivileged = "nobody"
	endTime      = 1500 * time.Millisecond // that a daemon has to end
	firstRestart = 200 * time.Millisecond
	lastRestart  = 5 * time.Second
)

// newCell makes a cell. drops: its daemon gives up root, and owns its folder; the folder of one that does not is root's.
func newCell(log *slog.Logger, drops bool, ended func(why string)) (*cell, error) {
	space, err := newNamespace()
	if err != nil {
		return nil, err
	}
	c := &cell{log: log, space: space, stop: func() {}, ended: ended}
	if c.dir, err = os.MkdirTemp("", "weft-vpn-"); err != nil { // mode 0700
		c.close()
		return nil, err
	}
	if u, err := user.Lookup(unprivileged); drops && err == nil {
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if g, err := user.LookupGroupId(u.Gid); err == nil && os.Chown(c.dir, uid, gid) == nil {
			c.user, c.group = u.Username, g.Name
		}
	}
	return c, nil
}

// write writes a file of the daemon's.
func (c *cell) write(name, text string) error {
	path := c.dir + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return c.give(path)
}

// give has the daemon own a file or folder.
func (c *cell) give(path string) error {
	info, err := os.Stat(c.dir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
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

// exec runs a program in the cell until it ends, or ctx does. Its words are given to line, one by one.
func (c *cell) exec(ctx context.Context, stdin io.Reader, env []string, line func(string), name string, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = stdin, w, w, c.dir
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH")}, env) // and nothing of the agent's
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}  // it does not outlive the agent
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endTime
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
	_ = os.RemoveAll(c.dir)
}
