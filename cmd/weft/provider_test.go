package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// provider is an OpenID provider of another maker: zitadel's, with the pages where its users log in. Its ID tokens have the claims groups and tenant.
type provider struct {
	*storage.Storage
	t   *testing.T
	url string
	ca  string // PEM file of the authority of its certificate; none: it has no TLS

	transport http.RoundTripper // of who trusts it

	mu      sync.Mutex
	key     *key
	life    time.Duration // of ID tokens
	renewed int
}

// groups of the provider's users.
var groups = map[string][]string{"root": {"netops"}, "ann": {"staff", "acme-net"}, "gus": {"customers"}, "eve": {"staff"}}

// password of all of them.
const providerPassword = "verysecure"

func newProvider(t *testing.T) *provider { return providerAt(t, false) }

// providerAt is one with TLS, whose certificate no system trusts, or without.
func providerAt(t *testing.T, secure bool) *provider {
	t.Helper()
	p := &provider{t: t, life: time.Hour}
	p.rotate()
	p.Storage = storage.NewStorageWithClients(users{}, map[string]*storage.Client{
		"weft": storage.NativeClient("weft", "http://127.0.0.1/callback"), "wiki": storage.NativeClient("wiki", "http://127.0.0.1/callback"),
	})
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) }) // which the provider sets
	s := httptest.NewUnstartedServer(nil)
	t.Cleanup(s.Close)
	p.url = "http://" + s.Listener.Addr().String()
	if secure {
		p.url = "https://" + s.Listener.Addr().String()
	}
	s.Config.Handler = exampleop.SetupServer(p.url, p, slog.New(slog.DiscardHandler), false)
	if !secure {
		s.Start()
		return p
	}
	s.StartTLS()
	p.transport, p.ca = s.Client().Transport, filepath.Join(t.TempDir(), "idp-ca.crt")
	if err := os.WriteFile(p.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// users is the provider's storage.UserStore.
type users struct{}

func (users) GetUserByID(id string) *storage.User {
	if groups[id] == nil {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: providerPassword}
}
func (u users) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }
func (users) ExampleClientID() string                       { return storage.ServiceUserID }

// key is what the provider signs with: an op.SigningKey, and the op.Key that it shows.
type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *key) Key() any                                    { return k.private }

type publicKey struct{ *key }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.private.PublicKey }

// rotate replaces the key; the one before is withdrawn.
func (p *provider) rotate() {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = &key{rand.Text(), private}
}

// live sets how long ID tokens live from now on.
func (p *provider) live(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = d
}

// renewals is how many tokens were got by refresh tokens.
func (p *provider) renewals() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewed
}

// SigningKey and what follows take the place of methods of storage.Storage.
func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key, nil
}

// KeySet is what the provider shows.
func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []op.Key{publicKey{p.key}}, nil
}

// SetUserinfoFromRequest puts the claims of users into their ID tokens.
func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	info.AppendClaims("groups", groups[r.GetSubject()])
	info.AppendClaims("tenant", "globex")
	return p.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
}

// CreateAccessAndRefreshTokens counts renewals.
func (p *provider) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	if current != "" {
		p.mu.Lock()
		p.renewed++
		p.mu.Unlock()
	}
	return p.Storage.CreateAccessAndRefreshTokens(ctx, r, current)
}

// GetClientByClientID lets clients log in by devices, too.
func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := p.Storage.GetClientByClientID(ctx, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	return registered{c, p.life}, err
}

// registered is an op.Client whose ID tokens live for a while and have the claims of the scope profile.
type registered struct {
	op.Client
	life time.Duration
}

func (r registered) IDTokenLifetime() time.Duration       { return r.life }
func (r registered) IDTokenUserinfoClaimsAssertion() bool { return true }
func (r registered) GrantTypes() []oidc.GrantType {
	return append(r.Client.GrantTypes(), oidc.GrantTypeDeviceCode)
}

// browse is a user who opens a page of the provider's in his browser, logs in and agrees.
func (p *provider) browse(user, at string) {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: p.transport}
	page := p.visit(browser.Get(at))
	form := url.Values{"username": {user}, "password": {providerPassword}}
	if code := page.Query().Get("user_code"); code != "" {
		form.Set("user_code", code)
		p.visit(browser.PostForm(p.url+"/device/login", form))
		p.visit(browser.Get(p.url + "/device/confirm?action=allowed"))
		return
	}
	form.Set("id", page.Query().Get("authRequestID"))
	p.visit(browser.PostForm(p.url+"/login/username", form))
}

// visit is where a request of a browser ended.
func (p *provider) visit(resp *http.Response, err error) *url.URL {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s answers %s: %s", resp.Request.URL.Path, resp.Status, body)
	}
	return resp.Request.URL
}

// token is an ID token of a user for a client, by the authorization code flow with PKCE.
func (p *provider) token(clientID, user string) string {
	p.t.Helper()
	back := errors.New("back at the client")
	verifier := oauth2.GenerateVerifier()
	cfg := &oauth2.Config{
		ClientID: clientID, RedirectURL: "http://127.0.0.1:1/callback", Scopes: []string{"openid", "profile"},
		Endpoint: oauth2.Endpoint{AuthURL: p.url + "/auth", TokenURL: p.url + "/oauth/token"},
	}
	var code string
	browser := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "127.0.0.1:1" {
			code = r.URL.Query().Get("code")
			return back
		}
		return nil
	}}
	page := p.visit(browser.Get(cfg.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier))))
	resp, err := browser.PostForm(p.url+"/login/username", url.Values{"username": {user}, "password": {providerPassword}, "id": {page.Query().Get("authRequestID")}})
	if resp != nil {
		resp.Body.Close()
	}
	if !errors.Is(err, back) {
		p.t.Fatalf("the login of %s does not come back: %v", user, err)
	}
	t, err := cfg.Exchange(p.t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		p.t.Fatal(err)
	}
	id, _ := t.Extra("id_token").(string)
	return id
}
