package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
)

const (
	providerTimeout = 10 * time.Second // of a question to an OpenID provider
	browserTimeout  = 5 * time.Minute  // to log in there
)

// asking has the provider asked with a limit of time, by who trusts the authority of its certificate.
func (o *oidcAccount) asking(ctx context.Context) (context.Context, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true // a login asks a few times, and is over
	if o.CA != "" {
		var err error
		if t.TLSClientConfig, err = (&agent.TLS{CA: o.CA}).Client(); err != nil {
			return nil, fmt.Errorf("--oidc-ca %s: %w", o.CA, err)
		}
	}
	return oidc.ClientContext(ctx, &http.Client{Timeout: providerTimeout, Transport: t}), nil
}

// oauth is what the provider serves.
func (o *oidcAccount) oauth(ctx context.Context, scopes []string) (*oauth2.Config, error) {
	p, err := oidc.NewProvider(ctx, o.Issuer)
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("OpenID provider %s: %w; --oidc-ca names the file of the authority that signed its certificate", o.Issuer, unknown)
	case err != nil:
		return nil, fmt.Errorf("OpenID provider %s: %w", o.Issuer, err)
	}
	return &oauth2.Config{ClientID: o.ClientID, Endpoint: p.Endpoint(), Scopes: scopes}, nil
}

// atProvider logs in at an OpenID provider; the ID token is what is shown to the server.
func (l *login) atProvider(ctx context.Context, a *account, w *client.OIDCWays) error {
	a.OIDC = &oidcAccount{Issuer: w.Issuer, ClientID: w.ClientID, CA: l.oidcCA}
	ctx, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	ctx, err := a.OIDC.asking(ctx)
	if err != nil {
		return err
	}
	cfg, err := a.OIDC.oauth(ctx, w.Scopes)
	if err != nil {
		return err
	}
	get := l.byBrowser
	if l.device {
		get = l.byDevice
	}
	t, err := get(ctx, cfg)
	if err != nil {
		return fmt.Errorf("OpenID provider %s: %w", w.Issuer, err)
	}
	return a.take(t)
}

// take keeps the ID token of an answer.
func (a *account) take(t *oauth2.Token) error {
	id, _ := t.Extra("id_token").(string)
	if id == "" {
		return fmt.Errorf("OpenID provider %s: its answer has no id_token; the scope openid would do", a.OIDC.Issuer)
	}
	a.Token, a.Expires = id, endOf(id)
	if t.RefreshToken != "" {
		a.OIDC.Refresh = t.RefreshToken
	}
	return nil
}

// endOf is when an ID token ends, as it says itself (RFC 7519 section 4.1.4): the access token, of which the answer tells, may live longer. Zero: it does not say.
func endOf(id string) time.Time {
	parts := strings.Split(id, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct {
		Expires float64 `json:"exp"` // seconds, maybe with a fraction
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}

// byDevice is the device authorization grant (RFC 8628): a code is typed in elsewhere.
func (l *login) byDevice(ctx context.Context, cfg *oauth2.Config) (*oauth2.Token, error) {
	if cfg.Endpoint.DeviceAuthURL == "" {
		return nil, errors.New("it has no device flow; --oidc uses a browser on this machine")
	}
	d, err := cfg.DeviceAuth(ctx)
	if err != nil {
		return nil, err
	}
	if d.VerificationURIComplete != "" {
		fmt.Fprintf(l.cmd.ErrOrStderr(), "open %s\n", d.VerificationURIComplete)
	} else {
		fmt.Fprintf(l.cmd.ErrOrStderr(), "open %s and type in %s\n", d.VerificationURI, d.UserCode)
	}
	return cfg.DeviceAccessToken(ctx, d)
}

// byBrowser is the authorization code grant with PKCE, which comes back to a port of this machine (RFC 8252 section 7.3).
func (l *login) byBrowser(ctx context.Context, cfg *oauth2.Config) (*oauth2.Token, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cfg.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	type answer struct {
		code string
		err  error
	}
	answers := make(chan answer, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		q, a := r.URL.Query(), answer{}
		switch {
		case q.Get("state") != state:
			http.Error(w, "This is not the answer to the login that was begun.", http.StatusBadRequest)
			return
		case q.Get("code") == "":
			a.err = fmt.Errorf("it refused: %s %s", q.Get("error"), q.Get("error_description"))
			fmt.Fprintln(w, "The login was refused. You can close this page.")
		default:
			a.code = q.Get("code")
			fmt.Fprintln(w, "You are logged in. You can close this page.")
		}
		select {
		case answers <- a:
		default:
		}
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: providerTimeout}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(listener) }()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(end) // the answer is on its way
		srv.Close()
		<-ended
	}()
	at := cfg.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
	fmt.Fprintf(l.cmd.ErrOrStderr(), "open %s\n", at)
	openBrowser(at)
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, a.err
		}
		return cfg.Exchange(ctx, a.code, oauth2.VerifierOption(verifier))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openBrowser opens a page, if there is a way to: its address is shown all the same.
func openBrowser(at string) {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	c := exec.Command(opener, at)
	if c.Start() == nil {
		go func() { _ = c.Wait() }()
	}
}

// renewBefore is how long before its end an ID token is renewed.
const renewBefore = 30 * time.Second

// renewer returns what gives a client the account's token; an ID token that ends is renewed, and kept. Of commands that run at once one renews it: many providers take a refresh token
// once.
func (a *account) renewer(name string) func(context.Context) (string, error) {
	if a.OIDC == nil || a.OIDC.Refresh == "" {
		return client.Token(a.Token)
	}
	return func(ctx context.Context) (string, error) {
		if a.lasts() {
			return a.Token, nil
		}
		unlock, err := lockContexts()
		if err != nil {
			return "", err
		}
		defer unlock()
		all, err := loadContexts()
		if err != nil {
			return "", err
		}
		if now, there := all.Items[name]; there && now.Subject == a.Subject && now.OIDC != nil {
			*a = now
		}
		if a.lasts() {
			return a.Token, nil
		}
		if ctx, err = a.OIDC.asking(ctx); err != nil {
			return "", err
		}
		cfg, err := a.OIDC.oauth(ctx, nil)
		if err != nil {
			return "", err
		}
		t, err := cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: a.OIDC.Refresh}).Token()
		if err != nil {
			return "", fmt.Errorf("the login of %s ended, and the provider does not renew it: %w; weft login logs in anew", a.Subject, err)
		}
		if err := a.take(t); err != nil {
			return "", err
		}
		if name != "" {
			all.Items[name] = *a
			err = all.save()
		}
		return a.Token, err
	}
}

// lasts reports whether the account's token is good for a request.
func (a *account) lasts() bool { return a.Expires.IsZero() || time.Until(a.Expires) > renewBefore }
