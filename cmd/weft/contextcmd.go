package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newContext() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Show logins at servers, and choose one",
		Long: `Show the logins that are kept: at which server, as whom. The current one, marked
by *, is that which commands use.`,
		Example: `  weft context
  weft context use acme
  weft context delete old`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := loadContexts()
			if err != nil {
				return err
			}
			type row struct {
				Name    string    `json:"name"`
				Current bool      `json:"current"`
				Server  string    `json:"server"`
				Subject string    `json:"subject,omitempty"`
				Expires time.Time `json:"expires,omitzero"`
			}
			rows := []row{}
			var cells [][]string
			for _, name := range all.names() {
				a := all.Items[name]
				r := row{name, name == all.Current, a.Server, a.Subject, a.Expires}
				rows = append(rows, r)
				mark, ends := "", "-"
				if r.Current {
					mark = "*"
				}
				if !a.Expires.IsZero() {
					if ends = "ended"; time.Until(a.Expires) > 0 {
						ends = "in " + age(time.Until(a.Expires))
					}
				}
				cells = append(cells, []string{mark, name, a.Server, or(a.Subject), ends})
			}
			switch out.form {
			case "json":
				return printJSON(cmd.OutOrStdout(), map[string][]row{"items": rows})
			case "yaml":
				return printYAML(cmd.OutOrStdout(), rows)
			case "name":
				for _, r := range rows {
					fmt.Fprintln(cmd.OutOrStdout(), r.Name)
				}
				return nil
			}
			if len(rows) == 0 {
				_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no logins")
				return err
			}
			return table(cmd.OutOrStdout(), []string{"", "CONTEXT", "SERVER", "SUBJECT", "ENDS"}, cells)
		},
	}
	out.flags(cmd, "table", "json", "yaml", "name")
	cmd.AddCommand(newContextUse(), newContextDelete())
	return cmd
}

func newContextUse() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Have commands use a login",
		Example:           `  weft context use acme`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := loadContexts()
			if err != nil {
				return err
			}
			a, err := all.named(args[0])
			if err != nil {
				return err
			}
			all.Current = args[0]
			if err := all.save(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s at %s\n", or(a.Subject), a.Server)
			return err
		},
	}
}

func newContextDelete() *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Short:             "Forget a login; weft logout ends its session too",
		Example:           `  weft context delete old`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := loadContexts()
			if err != nil {
				return err
			}
			if _, err := all.named(args[0]); err != nil {
				return err
			}
			delete(all.Items, args[0])
			if all.Current == args[0] {
				all.Current = ""
			}
			return all.save()
		},
	}
}
