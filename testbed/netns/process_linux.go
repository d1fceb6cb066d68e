package netns

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// killDelay is how long a process that was told to end may take before it is killed.
const killDelay = time.Second

// command prepares a program that runs until it ends, ctx is done, or the machine is closed. It is killed with this process. It must be run in
// namespace.do as a whole: the thread that starts it has to outlive it.
func (h *Host) command(ctx context.Context, name string, args ...string) (cmd *exec.Cmd, cancel func()) {
	ctx, stop := context.WithCancel(ctx)
	after := context.AfterFunc(h.ctx, stop)
	cmd = exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"LC_ALL=C"} // no proxies, no configuration
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, func() { after(); stop() }
}

// output runs a program in the namespace and returns what it printed, also if it failed.
func (h *Host) output(ctx context.Context, name string, args ...string) (stdout, stderr []byte, err error) {
	cmd, cancel := h.command(ctx, name, args...)
	defer cancel()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = h.ns.do(cmd.Run)
	return out.Bytes(), errs.Bytes(), h.ended(ctx, err)
}

// ended is why a program ended: ctx or the machine before what it says itself.
func (h *Host) ended(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case h.ctx.Err() != nil:
		return host.ErrClosed
	}
	return err
}

// said joins what a program printed as its error into one line.
func said(stderr []byte) string { return strings.Join(strings.Fields(string(stderr)), " ") }

// Exec runs a program in the machine's namespace and returns what it printed, also if it failed. What it leaves in the background is the caller's to end.
func (h *Host) Exec(ctx context.Context, name string, args ...string) (stdout, stderr []byte, err error) {
	return h.output(ctx, name, args...)
}
