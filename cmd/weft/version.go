package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/p4src"
)

func newVersion() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of weft and of its pipeline",
		Long: `Print which weft this is, which sources it was built from and which pipeline it
carries. Two binaries with equal pipeline cookies push the same program to a
target.

"compiler", "sources", "program" and "info" are the record of the compiled
pipeline: the P4 compiler, and the SHA-256 of the P4 sources and of what was
made of them.`,
		Example: `  weft version

  # Does a target run this binary's pipeline? Compare the cookie it reports.
  weft version | grep cookie`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = new(debug.BuildInfo)
			}
			return printVersion(cmd.OutOrStdout(), info, out.form)
		},
	}
	out.flags(cmd, "text", "json")
	return cmd
}

// printVersion prints one "name value" line per fact, or an object of them; what the build did not record is left out.
func printVersion(w io.Writer, info *debug.BuildInfo, form string) error {
	lines := [][2]string{{"weft", orUnknown(info.Main.Version)}, {"go", orUnknown(info.GoVersion)}}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision", "vcs.time", "vcs.modified":
			lines = append(lines, [2]string{strings.TrimPrefix(s.Key, "vcs."), s.Value})
		}
	}
	pipe, err := p4src.V1Model()
	if err != nil {
		return err
	}
	lines = append(lines, [2]string{"cookie", fmt.Sprintf("%#016x", pipe.Cookie)})
	for line := range strings.Lines(p4src.Record()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			lines = append(lines, [2]string{name, value})
		}
	}
	if form == "json" {
		facts := map[string]string{}
		for _, l := range lines {
			facts[l[0]] = l[1]
		}
		return printJSON(w, facts)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-9s %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
