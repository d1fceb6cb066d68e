package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/topology"
)

func newAgent() *cobra.Command {
	var file string
	var check, example bool
	cmd := &cobra.Command{
		Use:   "agent --config FILE",
		Short: "Run the agent of one or several edges",
		Long: `Run the agent of one or several edges: it decides first packets, programs the
edges' P4 targets and keeps them at what the database says, until it is told to
end (SIGTERM, SIGINT).

The configuration is a YAML file: where the database is, and per edge its
target, its tunnel addresses and its uplinks; docs/agent.md has every field, and
--example prints a file with all of them. It is checked whole before anything
starts; an error says line, field, what was found and what would do. A database
or a target that is away is waited for.

While it runs, a read-only status server tells what it does: weft flows asks it,
and Prometheus reads /metrics. /readyz says which edges do not serve, and why.`,
		Example: `  # Begin with an example
  weft agent --example

  # Is it valid? Nothing is started.
  weft agent --config /etc/weft/agent.yaml --check

  weft agent --config /etc/weft/agent.yaml
  curl http://127.0.0.1:9570/readyz`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example {
				_, err := io.WriteString(cmd.OutOrStdout(), agent.Example)
				return err
			}
			if file == "" {
				return usage(errors.New("--config: is missing; name the configuration file, or print one to begin with by --example"))
			}
			cfg, err := agent.Load(file)
			if err := reportConfig(cmd, file, err); err != nil {
				return err
			}
			if check {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: valid\n", file)
				return err
			}
			return agent.Run(cmd.Context(), cfg, cfg.Log.Logger(cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration `file` (required)")
	cmd.Flags().BoolVar(&check, "check", false, "check the configuration and the files that it names, and end")
	cmd.Flags().BoolVar(&example, "example", false, "print a configuration with every field, commented")
	return cmd
}

// reportConfig prints the errors of a configuration as they are; one that can't be read is named.
func reportConfig(cmd *cobra.Command, file string, err error) error {
	var list topology.Errors
	if err != nil && !errors.As(err, &list) {
		return fmt.Errorf("--config %q: %w", file, bare(err))
	}
	return report(cmd, err)
}
