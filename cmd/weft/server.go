package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
)

// server are the flags that say where the API is, and who asks.
type server struct {
	url, ca, context string
	cmd              *cobra.Command
}

// flags adds the flags to a command.
func (s *server) flags(cmd *cobra.Command) {
	s.cmd = cmd
	f := cmd.Flags()
	f.StringVar(&s.url, "server", "", "the API's `URL`, such as https://api.example.net:9580; default: $WEFT_SERVER, or where one has logged in")
	f.StringVar(&s.ca, "server-ca", "", "PEM `file` of the authority of its certificate; default: $WEFT_SERVER_CA, or as at the login")
	f.StringVar(&s.context, "context", "", "`name` of the login that counts; default: $WEFT_CONTEXT, or the last one")
	_ = cmd.RegisterFlagCompletionFunc("context", completeContexts) // there is such a flag
}

// fill takes from the environment what flags do not say.
func (s *server) fill() {
	url, context := os.Getenv("WEFT_SERVER"), os.Getenv("WEFT_CONTEXT")
	if s.url != "" || s.context != "" {
		url, context = "", "" // flags count more
	}
	s.url, s.ca, s.context = cmp.Or(s.url, url), cmp.Or(s.ca, os.Getenv("WEFT_SERVER_CA")), cmp.Or(s.context, context)
}

// account returns who one is where, and the name of its context; none: nobody has logged in, and no server is named.
func (s *server) account() (name string, a account, err error) {
	s.fill()
	all, err := loadContexts()
	if err != nil {
		return "", a, err
	}
	switch {
	case s.context != "":
		name = s.context
		if a, err = all.named(name); err != nil {
			return "", a, err
		}
		if s.url != "" && !sameServer(a.Server, s.url) {
			return "", a, usage(fmt.Errorf("--context %s is a login at %s, and --server is %s; give one of them", name, a.Server, s.url))
		}
	case s.url != "":
		if known, at, ok := all.at(s.url); ok {
			name, a = known, at
		} else {
			a.Server = s.url
		}
	case all.Current != "":
		name = all.Current
		if a, err = all.named(name); err != nil {
			return "", a, err
		}
	}
	a.CA = cmp.Or(s.ca, a.CA)
	if token := os.Getenv("WEFT_TOKEN"); token != "" {
		a.Token, a.OIDC = token, nil
	}
	return name, a, nil
}

// lost says that what is watched can't be for now.
func (s *server) lost(err error) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "%s: %v; trying again\n", s.cmd.CommandPath(), err)
}

// client returns a client of an account's server. lost is client.Config.Lost.
func (a *account) client(renew func(context.Context) (string, error), lost func(error)) (*client.Client, error) {
	t := agent.TLS{CA: a.CA}
	var trust *tls.Config
	if a.CA != "" {
		var err error
		if trust, err = t.Client(); err != nil {
			return nil, fmt.Errorf("--server-ca %s: %w", a.CA, err)
		}
	}
	if renew == nil {
		renew = client.Token(a.Token)
	}
	c, err := client.New(client.Config{Server: a.Server, TLS: trust, Token: renew, UserAgent: "weft/" + agent.Version(), Lost: lost})
	if err != nil {
		return nil, usage(fmt.Errorf("--server %w", err))
	}
	return c, nil
}

// errNoServer: a command needs the API.
var errNoServer = errors.New("no server is named, and nobody has logged in; weft login URL does, --server names one")

// connect returns a client of the server that flags, environment or the last login name.
func (s *server) connect() (*client.Client, error) {
	name, a, err := s.account()
	switch {
	case err != nil:
		return nil, err
	case a.Server == "":
		return nil, usage(errNoServer)
	}
	return a.client(a.renewer(name), s.lost)
}

// with calls fn with a client of the server.
func (s *server) with(fn func(*client.Client) error) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	return withAdvice(fn(c))
}

// withAdvice says what to do about errors that an account is the reason of.
func withAdvice(err error) error {
	var unknown x509.UnknownAuthorityError
	switch {
	case client.StatusOf(err) == http.StatusUnauthorized:
		return fmt.Errorf("%w; weft login logs in", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; --server-ca names the file of the authority that signed the server's certificate", err)
	}
	return err
}

// completeContexts completes the names of logins.
func completeContexts(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := loadContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return all.names(), cobra.ShellCompDirectiveNoFileComp
}

// hostOf is what a login is called, unless it is given a name.
func hostOf(server string) string {
	_, host, _ := strings.Cut(strings.TrimSuffix(server, "/"), "://")
	return host
}
