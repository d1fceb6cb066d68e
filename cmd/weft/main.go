// Command weft is the one binary of the project: it validates networks, traces packets through them and runs software P4 switches.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errReported stands for an error that has been printed already.
var errReported = errors.New("reported")

// run runs one command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil || errors.Is(err, errReported):
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "%s: interrupted\n", cmd.CommandPath())
		return exitInterrupted
	default:
		for _, line := range strings.Split(err.Error(), "\n") {
			if !strings.HasPrefix(line, " ") { // else it goes on with the one before
				line = cmd.CommandPath() + ": " + line
			}
			fmt.Fprintln(stderr, line)
		}
	}
	return statusOf(err)
}
