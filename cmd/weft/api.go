package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/api"
)

func newAPI() *cobra.Command {
	var file string
	var check, example bool
	cmd := &cobra.Command{
		Use:   "api --config FILE",
		Short: "Serve the management API",
		Long: `Serve the management API: REST and JSON over https, for operators and tenants,
until it is told to end (SIGTERM, SIGINT). Servers keep nothing of their own:
any number of them may serve one database.

The configuration is a YAML file: where the database is, where to listen, and
the certificate; docs/api.md has every field, and --example prints a file with
all of them. It is checked whole before anything starts.

Where nobody has access yet, the first server that starts shows the token of the
provider's first administrator, once.

/openapi.json describes all requests, and /docs is the same to read.`,
		Example: `  # Begin with an example
  weft api --example

  # Is it valid? Nothing is started.
  weft api --config /etc/weft/api.yaml --check

  weft api --config /etc/weft/api.yaml
  curl https://api.example.net:9580/healthz`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example {
				_, err := io.WriteString(cmd.OutOrStdout(), api.Example)
				return err
			}
			if file == "" {
				return usage(errors.New("--config: is missing; name the configuration file, or print one to begin with by --example"))
			}
			cfg, err := api.Load(file)
			if err := reportConfig(cmd, file, err); err != nil {
				return err
			}
			if check {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: valid\n", file)
				return err
			}
			return api.Run(cmd.Context(), cfg, cfg.Log.Logger(cmd.ErrOrStderr()), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration `file` (required)")
	cmd.Flags().BoolVar(&check, "check", false, "check the configuration and the files that it names, and end")
	cmd.Flags().BoolVar(&example, "example", false, "print a configuration with every field, commented")
	return cmd
}
