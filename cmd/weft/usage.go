package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// Exit statuses. weft diff has its own, those of diff.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
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

// statusOf returns the exit status for what a command returned.
func statusOf(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.status
	}
	return exitFailed
}

// markUsage makes errors of flags and arguments usage errors, in a command and all below it.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
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
