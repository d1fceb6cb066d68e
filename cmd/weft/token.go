package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

func newToken() *cobra.Command {
	var s server
	var out output
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Show, make and revoke tokens of the API",
		Long: `Show the tokens and sessions that one may see: the own ones, and as an
administrator those of all whom one looks after. The secret of a token is shown
once, when it is made.`,
		Example: `  weft token --server https://api.example.net:9580`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(func(c *client.Client) error {
				all, err := c.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				return printTokens(cmd, all, out.form)
			})
		},
	}
	out.flags(cmd, "table", "json", "yaml", "name")
	s.flags(cmd)
	cmd.AddCommand(newTokenCreate(), newTokenRevoke())
	return cmd
}

func printTokens(cmd *cobra.Command, all []client.APIToken, form string) error {
	w := cmd.OutOrStdout()
	switch form {
	case "json":
		return printJSON(w, client.Tokens{Items: all})
	case "yaml":
		return printYAML(w, all)
	case "name":
		for i := range all {
			fmt.Fprintln(w, all[i].ID)
		}
		return nil
	}
	var rows [][]string
	for i := range all {
		t := &all[i]
		what, ends := or(t.Name), "-"
		if t.Session {
			what = "(session)"
		}
		if !t.Expires.IsZero() {
			ends = "in " + age(time.Until(t.Expires))
		}
		used := "-"
		if !t.LastUsed.IsZero() {
			used = age(time.Since(t.LastUsed)) + " ago"
		}
		may := t.Role
		if t.Tenant != "" {
			may += " of " + t.Tenant
		}
		if t.ReadOnly {
			may += ", reads"
		}
		if len(t.Kinds) > 0 {
			may += ", " + kindsText(t.Kinds)
		}
		rows = append(rows, []string{t.ID, what, t.Owner, may, used, ends})
	}
	return table(w, []string{"ID", "NAME", "OWNER", "MAY", "USED", "ENDS"}, rows)
}

func newTokenCreate() *cobra.Command {
	var s server
	var n client.NewToken
	var kinds []string
	var life time.Duration
	var out output
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Make a token; its secret is printed, once",
		Long: `Make a token, that a program shows as Authorization: Bearer SECRET, or weft takes
from WEFT_TOKEN. It may do at most what its maker may: less with --role,
--tenant, --read-only or --kind. Its secret is printed, and told this once.`,
		Example: `  # For a program that reads what acme has
  weft token create billing --role tenant-viewer --tenant acme --server https://api.example.net:9580

  # For one that moves ports, for a day
  weft token create mover --kind binding --for 24h --server https://api.example.net:9580`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name, n.Seconds = strings.Join(args, ""), int64(life/time.Second)
			if len(kinds) > 0 {
				all, err := parseKinds(kinds)
				if err != nil {
					return err
				}
				n.Kinds = all
			}
			return s.with(func(c *client.Client) error {
				made, err := c.CreateToken(cmd.Context(), n)
				switch {
				case err != nil:
					return err
				case out.form == "json":
					return printJSON(cmd.OutOrStdout(), made)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "token %s, %s: keep what follows, it is not shown again\n", made.Token.ID, made.Token.Role)
				_, err = fmt.Fprintln(cmd.OutOrStdout(), made.Secret)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.Role, "role", "", "what it may do at most: a `role` such as tenant-viewer; default: as much as you")
	f.StringVar(&n.Tenant, "tenant", "", "the `tenant` of such a role; default: yours")
	f.BoolVar(&n.ReadOnly, "read-only", false, "it is for reading alone")
	f.StringSliceVar(&kinds, "kind", nil, "it is for objects of this `kind` alone; more may follow")
	f.DurationVar(&life, "for", 0, "how long it lives; default: 30 days")
	_ = cmd.RegisterFlagCompletionFunc("kind", kindNames) // there are such flags
	_ = cmd.RegisterFlagCompletionFunc("role", completeRoles)
	out.flags(cmd, "secret", "json")
	s.flags(cmd)
	return cmd
}

func newTokenRevoke() *cobra.Command {
	var s server
	cmd := &cobra.Command{
		Use:     "revoke ID...",
		Short:   "End tokens and sessions",
		Example: `  weft token revoke g72aepijuerz5z26 --server https://api.example.net:9580`,
		Args:    someArgs("ids of tokens, as weft token shows them"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return s.with(func(c *client.Client) error {
				for _, id := range ids {
					if err := c.RevokeToken(cmd.Context(), id); err != nil {
						return fmt.Errorf("token %s: %w", id, err)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "token %s revoked\n", id)
				}
				return nil
			})
		},
	}
	cmd.ValidArgsFunction = completeTokens(&s)
	s.flags(cmd)
	return cmd
}

// kindNames completes kinds for a flag.
func kindNames(*cobra.Command, []string, string) (words []string, _ cobra.ShellCompDirective) {
	for _, k := range topology.Kinds() {
		words = append(words, strings.ToLower(string(k)))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
