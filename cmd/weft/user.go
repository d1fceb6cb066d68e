package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	tty "golang.org/x/term"

	"github.com/weft-sdn/weft/client"
)

func newUser() *cobra.Command {
	var s server
	var out output
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Show, make, change and remove users of the API",
		Long: `Show the users with passwords that one may see. A user is NAME of the provider,
or TENANT/NAME of a tenant. What one may do, the role says:

  provider-admin, provider-viewer               all networks
  tenant-admin, tenant-editor, tenant-viewer    those of the tenant`,
		Example: `  weft user --server https://api.example.net:9580`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(func(c *client.Client) error {
				all, err := c.Users(cmd.Context())
				if err != nil {
					return err
				}
				w := cmd.OutOrStdout()
				switch out.form {
				case "json":
					return printJSON(w, client.Users{Items: all})
				case "yaml":
					return printYAML(w, all)
				case "name":
					for i := range all {
						fmt.Fprintln(w, userText(&all[i]))
					}
					return nil
				}
				var rows [][]string
				for i := range all {
					u := &all[i]
					how := "active"
					if u.Disabled {
						how = "disabled"
					}
					rows = append(rows, []string{userText(u), u.Role, how, u.Created.UTC().Format("2006-01-02")})
				}
				return table(w, []string{"USER", "ROLE", "STATE", "MADE"}, rows)
			})
		},
	}
	out.flags(cmd, "table", "json", "yaml", "name")
	s.flags(cmd)
	cmd.AddCommand(newUserCreate(), newUserSet(), newUserDelete())
	return cmd
}

func userText(u *client.User) string {
	if u.Tenant == "" {
		return u.Name
	}
	return u.Tenant + "/" + u.Name
}

// userName reads NAME or TENANT/NAME.
func userName(text string) (tenant, name string, err error) {
	tenant, name, of := strings.Cut(text, "/")
	if !of {
		tenant, name = "", text
	}
	if name == "" || of && tenant == "" || strings.Contains(name, "/") {
		return "", "", usage(fmt.Errorf("%q: is no user; use NAME of one of the provider, or TENANT/NAME", text))
	}
	return tenant, name, nil
}

// newPassword asks for a password twice, or reads it from standard input.
func newPassword(cmd *cobra.Command, stdin bool) (string, error) {
	if stdin {
		text, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			return "", errors.Join(usage(errors.New("standard input has no password")), err)
		}
		return text, nil
	}
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok || !tty.IsTerminal(int(f.Fd())) {
		return "", usage(errors.New("no terminal to ask for the password at; --password-stdin reads it"))
	}
	var texts [2]string
	for i, what := range []string{"new password: ", "once more: "} {
		fmt.Fprint(cmd.ErrOrStderr(), what)
		b, err := tty.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", err
		}
		texts[i] = string(b)
	}
	if texts[0] != texts[1] {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return texts[0], nil
}

func newUserCreate() *cobra.Command {
	var s server
	var role string
	var stdin bool
	cmd := &cobra.Command{
		Use:   "create {NAME | TENANT/NAME} --role ROLE",
		Short: "Make a user",
		Example: `  weft user create acme/ann --role tenant-editor --server https://api.example.net:9580
  weft user create bob --role provider-viewer --password-stdin --server https://api.example.net:9580 <password`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tenant, name, err := userName(args[0])
			if err != nil {
				return err
			}
			if role == "" {
				return usage(errors.New("--role: is missing; use provider-admin or provider-viewer, or of a tenant tenant-admin, tenant-editor or tenant-viewer"))
			}
			return s.with(func(c *client.Client) error {
				password, err := newPassword(cmd, stdin)
				if err != nil {
					return err
				}
				u, err := c.CreateUser(cmd.Context(), client.NewUser{User: client.User{Tenant: tenant, Name: name, Role: role}, Password: password})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "user %s created, %s\n", userText(&u), u.Role)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "what the user may do: a `role` (required)")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	_ = cmd.RegisterFlagCompletionFunc("role", completeRoles) // there is such a flag
	s.flags(cmd)
	return cmd
}

func completeRoles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"provider-admin", "provider-viewer", "tenant-admin", "tenant-editor", "tenant-viewer"}, cobra.ShellCompDirectiveNoFileComp
}

func newUserSet() *cobra.Command {
	var s server
	var role string
	var password, stdin, oldStdin, disable, enable bool
	cmd := &cobra.Command{
		Use:   "set {NAME | TENANT/NAME}",
		Short: "Change a user's role or password, or keep the user out",
		Long: `Change a user. --password asks for another password, without showing it; who
changes the own one is asked for the present one, too. A change of password ends
the user's sessions. --disable keeps the user out, and ends what the tokens may.`,
		Example: `  weft user set acme/ann --role tenant-admin --server https://api.example.net:9580
  weft user set acme/ann --disable --server https://api.example.net:9580
  weft user set acme/ann --password --server https://api.example.net:9580`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tenant, name, err := userName(args[0])
			if err != nil {
				return err
			}
			if err := errors.Join(oneFlag(cmd, "disable", "enable"), oneFlag(cmd, "password", "password-stdin")); err != nil {
				return err
			}
			var change client.UserChange
			if role != "" {
				change.Role = &role
			}
			if disable || enable {
				change.Disabled = &disable
			}
			if change == (client.UserChange{}) && !password && !stdin {
				return usage(errors.New("nothing is to change; use --role, --password, --disable or --enable"))
			}
			return s.with(func(c *client.Client) error {
				if password || stdin {
					if err := passwordChange(cmd, c, &change, args[0], stdin, oldStdin); err != nil {
						return err
					}
				}
				u, err := c.ChangeUser(cmd.Context(), tenant, name, change)
				if err != nil {
					return err
				}
				how := ""
				if u.Disabled {
					how = ", disabled"
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "user %s changed, %s%s\n", userText(&u), u.Role, how)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "what the user may do from now on: a `role`")
	f.BoolVar(&password, "password", false, "ask for another password")
	f.BoolVar(&stdin, "password-stdin", false, "read another password from standard input")
	f.BoolVar(&oldStdin, "old-password-stdin", false, "read the present password from standard input, in the line ahead of the new one")
	f.BoolVar(&disable, "disable", false, "keep the user out")
	f.BoolVar(&enable, "enable", false, "let the user in again")
	_ = cmd.RegisterFlagCompletionFunc("role", completeRoles) // there is such a flag
	cmd.ValidArgsFunction = completeUsers(&s)
	s.flags(cmd)
	return cmd
}

// passwordChange reads a new password; of who changes the own one the present one, too.
func passwordChange(cmd *cobra.Command, c *client.Client, change *client.UserChange, user string, stdin, oldStdin bool) error {
	in := bufio.NewReader(cmd.InOrStdin())
	if stdin && oldStdin {
		text, err := in.ReadString('\n')
		if err != nil {
			return usage(errors.New("standard input has no present password, and then another one"))
		}
		change.OldPassword = strings.TrimRight(text, "\r\n")
	}
	if !stdin {
		who, err := c.Whoami(cmd.Context())
		if err != nil {
			return err
		}
		if who.Subject == "user:"+user {
			fmt.Fprint(cmd.ErrOrStderr(), "present password: ")
			b, err := tty.ReadPassword(int(os.Stdin.Fd()))
			fmt.Fprintln(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			change.OldPassword = string(b)
		}
	}
	if stdin {
		text, err := in.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			return errors.Join(usage(errors.New("standard input has no password")), err)
		}
		change.Password = &text
		return nil
	}
	text, err := newPassword(cmd, false)
	change.Password = &text
	return err
}

func newUserDelete() *cobra.Command {
	var s server
	cmd := &cobra.Command{
		Use:     "delete {NAME | TENANT/NAME}...",
		Short:   "Remove users, with their tokens",
		Example: `  weft user delete acme/ann --server https://api.example.net:9580`,
		Args:    someArgs("users, such as acme/ann"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return s.with(func(c *client.Client) error {
				for _, text := range names {
					tenant, name, err := userName(text)
					if err != nil {
						return err
					}
					if err := c.DeleteUser(cmd.Context(), tenant, name); err != nil {
						return fmt.Errorf("user %s: %w", text, err)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "user %s deleted\n", text)
				}
				return nil
			})
		},
	}
	cmd.ValidArgsFunction = completeUsers(&s)
	s.flags(cmd)
	return cmd
}
