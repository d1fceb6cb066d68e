package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Exit statuses (docs/operations.md). weft diff has its own, those of diff.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitMissing     = 3   // what is named is not there
	exitConflict    = 4   // it is there already, or somebody else has changed it
	exitDenied      = 5   // not logged in, or not allowed to
	exitAway        = 6   // the server or the database does not answer, or is too busy
	exitBehind      = 7   // the change is stored, and edges do not have it yet, or can't do all of it
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// exitError ends a command with a status of its own. Its error has been printed already if it is errReported.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as one of how the command was called.
func usage(err error) error { return &exitError{exitUsage, err} }

// missing is an error of something that is not there.
func missing(format string, args ...any) error {
	return &exitError{exitMissing, fmt.Errorf(format, args...)}
}

// statusOf returns the exit status for what a command returned.
func statusOf(err error) int {
	var exit *exitError
	var switchUsage *cli.UsageError
	var away *databaseError
	var list topology.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.status
	case errors.As(err, &switchUsage):
		return exitUsage
	case errors.Is(err, state.ErrNotFound), errors.As(err, &list) && absent(list):
		return exitMissing
	case errors.Is(err, state.ErrConflict):
		return exitConflict
	case errors.Is(err, client.ErrNoAnswer), errors.Is(err, state.ErrNoAnswer), errors.Is(err, state.ErrUnknownOutcome), errors.As(err, &away):
		return exitAway
	}
	switch client.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusNotFound:
		return exitMissing
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return exitAway
	}
	return exitFailed
}

// absent reports whether all that is wrong is that objects are not there.
func absent(list topology.Errors) bool {
	return !slices.ContainsFunc(list, func(e *topology.FieldError) bool { return e.Problem != topology.Absent || e.Field != "" })
}

// markUsage makes errors of flags and arguments usage errors, in a command and all below it.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 { // whose flag it is
			return usage(unknownCommand(cmd, args[0]))
		}
		return usage(flagError(err))
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

// flagError says what is wrong with a flag's value, and what would do.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	hint := ""
	switch f.Value.Type() {
	case "uint8":
		hint = fmt.Sprintf("is no number from 0 to %d", math.MaxUint8)
	case "uint16":
		hint = fmt.Sprintf("is no number from 0 to %d", math.MaxUint16)
	case "uint", "uint32", "uint64", "int", "int64":
		hint = "is no number"
	case "bool":
		hint = "is neither true nor false"
	case "duration":
		hint = "is no duration; use one such as 10s or 2m"
	default:
		hint = invalid.Unwrap().Error()
	}
	return fmt.Errorf("--%s %q: %s", f.Name, invalid.GetValue(), hint)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return unknownCommand(cmd, args[0])
	}
	return fmt.Errorf("%q: this command takes flags alone; %s --help lists them", args[0], cmd.CommandPath())
}

// someArgs asks for one argument or more, and says what they are.
func someArgs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("nothing is named; use %s", what)
		}
		return nil
	}
}

// unknownCommand says that there is no such command, and which one may be meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("%q is no command; do you mean %s?", name, strings.Join(near, " or "))
	}
	return fmt.Errorf("%q is no command; %s --help lists them", name, cmd.CommandPath())
}

// newHelp is the command help, which fails for a command that there is not.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		Long:  "Show what a command is for, with its flags and examples: the same as COMMAND --help.",
		Example: `  weft help trace
  weft help lab run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			found, rest, err := root.Find(args)
			switch {
			case found == nil || err != nil:
				return usage(unknownCommand(root, args[0]))
			case len(rest) > 0:
				return usage(unknownCommand(found, rest[0]))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// oneFlag refuses a command line that has several of these flags.
func oneFlag(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, n := range names {
		if cmd.Flags().Changed(n) {
			given = append(given, "--"+n)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return usage(fmt.Errorf("%s: exclude each other; give one of them", strings.Join(given, " and ")))
}
