package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	tty "golang.org/x/term"

	"github.com/weft-sdn/weft/client"
)

// login is how one logs in.
type login struct {
	server
	user                      string
	passwordStdin, tokenStdin bool
	oidc, device              bool
	oidcCA                    string
	name                      string
	in                        *bufio.Reader
	cmd                       *cobra.Command
}

func newLogin() *cobra.Command {
	var l login
	cmd := &cobra.Command{
		Use:   "login [URL]",
		Short: "Log in at a server of the API",
		Long: `Log in at a server of the API: with user and password, with a token, or at the
OpenID provider that the server trusts. Commands then speak to that server, as
that user, instead of to etcd, until weft logout.

A password is asked for without being shown; --password-stdin reads it from
standard input, as --token-stdin does with a token. --oidc opens a browser at
the provider, --device shows a code for the browser of another device; --oidc-ca
is for a provider whose certificate is of an authority of its own.

What is got is kept in ~/.config/weft/config.yaml (WEFT_CONFIG), which nobody
else may read, under a name: that of --context, or the server's. weft context
shows all of them, and chooses another.`,
		Example: `  weft login https://api.example.net:9580 --server-ca ca.crt
  weft login https://api.example.net:9580 --user acme/ann --context acme

  # The token that the first weft api showed; one of a program
  weft login https://api.example.net:9580 --token-stdin <token
  weft login https://api.example.net:9580 --device
  weft login https://api.example.net:9580 --oidc --oidc-ca idp-ca.crt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				l.url = args[0]
			}
			if err := oneFlag(cmd, "password-stdin", "token-stdin", "oidc", "device"); err != nil {
				return err
			}
			l.cmd, l.in = cmd, bufio.NewReader(cmd.InOrStdin())
			return withAdvice(l.run())
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.url, "server", "", "the API's `URL`; default: $WEFT_SERVER, or where one has logged in")
	f.StringVar(&l.ca, "server-ca", "", "PEM `file` of the authority of its certificate; default: $WEFT_SERVER_CA, or the system's")
	f.StringVar(&l.name, "context", "", "`name` under which the login is kept; default: the server's")
	f.StringVar(&l.user, "user", "", "`NAME` of a user of the provider, TENANT/NAME of one of a tenant")
	f.BoolVar(&l.passwordStdin, "password-stdin", false, "read the password from standard input")
	f.BoolVar(&l.tokenStdin, "token-stdin", false, "read a token from standard input, instead of a password")
	f.BoolVar(&l.oidc, "oidc", false, "log in at the server's OpenID provider, with a browser on this machine")
	f.BoolVar(&l.device, "device", false, "log in at the server's OpenID provider, with a browser elsewhere")
	f.StringVar(&l.oidcCA, "oidc-ca", "", "PEM `file` of the authority of the provider's certificate; default: $WEFT_OIDC_CA, as at the login before, or the system's")
	return cmd
}

// run logs in and keeps it.
func (l *login) run() error {
	ctx := l.cmd.Context()
	_, before, err := l.account()
	if err != nil {
		return err
	}
	a := account{Server: strings.TrimSuffix(before.Server, "/"), CA: before.CA}
	if a.Server == "" {
		return usage(errors.New("which server? Name its URL, such as weft login https://api.example.net:9580"))
	}
	l.oidcCA = cmp.Or(l.oidcCA, os.Getenv("WEFT_OIDC_CA"))
	if l.oidcCA == "" && before.OIDC != nil {
		l.oidcCA = before.OIDC.CA
	}
	for _, file := range []*string{&a.CA, &l.oidcCA} {
		if *file == "" {
			continue
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	if err := l.authenticate(ctx, &a); err != nil {
		return err
	}
	c, err := a.client(nil, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	who, err := c.Whoami(ctx)
	if client.StatusOf(err) != 0 {
		return fmt.Errorf("%s does not know what it was shown: %w", a.Server, err)
	}
	if err != nil {
		return err
	}
	a.Subject, a.Tenant, a.Expires = who.Subject, who.Tenant, who.Expires
	all, err := loadContexts()
	if err != nil {
		return err
	}
	name := cmp.Or(l.name, hostOf(a.Server))
	all.Items[name], all.Current = a, name
	if err := all.save(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(l.cmd.OutOrStdout(), "logged in at %s as %s (context %s)\n", a.Server, whoText(who), name)
	return err
}

// authenticate gets a token.
func (l *login) authenticate(ctx context.Context, a *account) error {
	if l.tokenStdin {
		token, err := l.line("token")
		if strings.ContainsAny(token, " \t") {
			return usage(errors.New("the first line of standard input is no token, but text of several words"))
		}
		a.Token = token
		return err
	}
	c, err := a.client(nil, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	ways, err := c.Ways(ctx)
	switch {
	case err != nil:
		return err
	case l.oidc || l.device || ways.OIDC != nil && !ways.Password && l.user == "":
		if ways.OIDC == nil {
			return fmt.Errorf("%s trusts no OpenID provider; log in by user and password, or a token", a.Server)
		}
		return l.atProvider(ctx, a, ways.OIDC)
	case !ways.Password:
		return fmt.Errorf("%s is open to all who reach it: there is nothing to log in to; --server or WEFT_SERVER names it", a.Server)
	}
	if l.user == "" {
		if l.passwordStdin {
			return usage(errors.New("--password-stdin: takes --user with it"))
		}
		fmt.Fprint(l.cmd.ErrOrStderr(), "user (NAME, or TENANT/NAME): ")
		if l.user, err = l.line("user"); err != nil {
			return err
		}
	}
	password, err := l.password()
	if err != nil {
		return err
	}
	made, err := c.Login(ctx, l.user, password)
	a.Token = made.Secret
	return err
}

// password asks for the password, without showing it.
func (l *login) password() (string, error) {
	if l.passwordStdin {
		return l.line("password")
	}
	f, ok := l.cmd.InOrStdin().(*os.File)
	if !ok || !tty.IsTerminal(int(f.Fd())) {
		return "", usage(errors.New("no terminal to ask for the password at; --password-stdin reads it, --token-stdin a token"))
	}
	fmt.Fprintf(l.cmd.ErrOrStderr(), "password of %s: ", l.user)
	text, err := tty.ReadPassword(int(f.Fd()))
	fmt.Fprintln(l.cmd.ErrOrStderr())
	return string(text), err
}

// line reads one line of standard input.
func (l *login) line(what string) (string, error) {
	text, err := l.in.ReadString('\n')
	if text = strings.TrimSpace(text); text != "" {
		return text, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = usage(fmt.Errorf("standard input has no %s", what))
	}
	return "", err
}

// whoText is an identity in words.
func whoText(who client.Identity) string {
	text := who.Subject
	if who.Role != "" {
		text += ", " + who.Role
	}
	if who.Tenant != "" {
		text += " of " + who.Tenant
	}
	return text
}

func newLogout() *cobra.Command {
	var s server
	cmd := &cobra.Command{
		Use:   "logout",
		Short: "End a login",
		Long: `End the session of a login, at the server and here. Commands speak to etcd
again, or as another login of weft context.`,
		Example: `  weft logout
  weft logout --context acme`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, a, err := s.account()
			switch {
			case err != nil:
				return err
			case name == "":
				return usage(errNoServer)
			}
			all, err := loadContexts()
			if err != nil {
				return err
			}
			delete(all.Items, name)
			if all.Current == name {
				all.Current = ""
			}
			if err := all.save(); err != nil {
				return err
			}
			c, err := a.client(nil, nil)
			if err == nil {
				err = c.Logout(cmd.Context())
				c.Close()
			}
			if status := client.StatusOf(err); err != nil && status != 401 && status != 403 && status != 404 && status != 409 && status != 422 && status != 400 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: forgotten here, but the session goes on until it runs out: %v\n", cmd.CommandPath(), err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "logged out of %s\n", a.Server)
			return err
		},
	}
	s.flags(cmd)
	return cmd
}

func newWhoami() *cobra.Command {
	var s server
	var out output
	cmd := &cobra.Command{
		Use:     "whoami",
		Short:   "Show who one is to the server",
		Long:    `Show who one is to the server of the API, and what one may do.`,
		Example: `  weft whoami --server https://api.example.net:9580`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(func(c *client.Client) error {
				who, err := c.Whoami(cmd.Context())
				if err != nil {
					return err
				}
				switch out.form {
				case "json":
					return printJSON(cmd.OutOrStdout(), who)
				case "yaml":
					return printYAML(cmd.OutOrStdout(), []client.Identity{who})
				}
				text := whoText(who) + ", at " + c.Server()
				if who.ReadOnly {
					text += ", for reading alone"
				}
				if !who.Expires.IsZero() {
					text += ", for " + age(time.Until(who.Expires)) + " yet"
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
				return err
			})
		},
	}
	out.flags(cmd, "text", "json", "yaml")
	s.flags(cmd)
	return cmd
}
