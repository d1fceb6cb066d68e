package netns

import (
	"context"
	"io"
	"os/exec"
)

// Process is a program that runs in the background in a machine's namespace, until it ends, is ended, or the machine is closed.
type Process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid iff done
}

// Start starts a program in the machine's namespace. What it prints goes to output.
func (h *Host) Start(output io.Writer, name string, args ...string) (*Process, error) {
	ctx, stop := context.WithCancel(h.ctx)
	cmd, cancel := h.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = output, output
	p := &Process{cmd: cmd, cancel: stop, done: make(chan struct{})}
	started := make(chan error, 1)
	h.running.Go(func() {
		defer close(p.done)
		defer stop()
		defer cancel()
		p.err = h.ns.do(func() error {
			err := cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return cmd.Wait()
		})
		select {
		case started <- p.err: // it could not enter the namespace
		default:
		}
	})
	if err := <-started; err != nil {
		<-p.done
		return nil, h.ended(ctx, err)
	}
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is why it ended; nil: by itself and well. It is valid once Done is closed.
func (p *Process) Err() error { return p.err }

// Stop tells the program to end (SIGTERM), kills it when it does not within a second, and returns when it has ended.
func (p *Process) Stop() {
	p.cancel()
	<-p.done
}

// Kill kills the program, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}
