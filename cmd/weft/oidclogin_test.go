package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/api"
	"github.com/weft-sdn/weft/state"
)

// provider is an OpenID provider whose one user, ann of tenant acme, always agrees.
type provider struct {
	t   *testing.T
	key *rsa.PrivateKey
	url string

	mu        sync.Mutex
	challenge string        // of the code that was given last (RFC 7636)
	life      time.Duration // of ID tokens
	polls     int           // for the device's token
	renewed   int
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, http.StatusOK, map[string]any{
			"issuer": p.url, "authorization_endpoint": p.url + "/auth", "token_endpoint": p.url + "/token", "jwks_uri": p.url + "/keys",
			"device_authorization_endpoint": p.url + "/device", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		b64 := base64.RawURLEncoding.EncodeToString
		p.answer(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("GET /auth", p.auth)
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, http.StatusOK, map[string]any{"device_code": "dc", "user_code": "ABCD-EFGH", "verification_uri": p.url + "/activate", "expires_in": 60, "interval": 1})
	})
	mux.HandleFunc("POST /token", p.token)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *provider) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// auth sends the browser back with a code.
func (p *provider) auth(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	p.challenge = q.Get("code_challenge")
	p.mu.Unlock()
	back := url.Values{"code": {"c0de"}, "state": {q.Get("state")}}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.FormValue("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != p.challenge || p.challenge == "" || r.FormValue("code") != "c0de" {
			p.answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
			return
		}
	case "urn:ietf:params:oauth:grant-type:device_code":
		if p.polls++; p.polls == 1 {
			p.answer(w, http.StatusBadRequest, map[string]string{"error": "authorization_pending"})
			return
		}
	case "refresh_token":
		p.renewed++
	}
	p.answer(w, http.StatusOK, map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": int(p.life / time.Second), "refresh_token": "rt", "id_token": p.idToken()})
}

// idToken is signed with RS256 (RFC 7515).
func (p *provider) idToken() string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			p.t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now()
	text := part(map[string]string{"alg": "RS256", "kid": "k", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": p.url, "aud": "weft", "sub": "ann-1", "preferred_username": "ann", "groups": []string{"acme-net"}, "iat": now.Unix(), "exp": now.Add(p.life).Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// trusting serves an API that trusts the provider, and returns its URL.
func trusting(t *testing.T, p *provider) string {
	t.Helper()
	endpoint, stop, err := startDatabase(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	store, err := state.Open(t.Context(), state.Config{Client: state.ClientConfig{Endpoints: []string{endpoint}}})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := access.New(access.Config{Store: store, OIDC: &access.OIDC{Issuer: p.url, ClientID: "weft", Rules: []access.OIDCRule{{Value: "acme-net", Role: access.TenantEditor, Tenant: "acme"}}}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Options{Store: store, Guard: guard, Accounts: guard, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	for _, run := range []func(context.Context) error{store.Run, guard.Run, server.Run} {
		go func() { ended <- run(ctx) }()
	}
	s := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		s.Close()
		end()
		for range cap(ended) {
			<-ended
		}
		store.Close()
	})
	if err := store.WaitCatalogue(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return s.URL
}

// TestOIDCLogin: by a browser with PKCE, and by a device's code; the ID token is shown to the server, and renewed when it ends.
func TestOIDCLogin(t *testing.T) {
	p := newProvider(t)
	at := trusting(t, p)
	t.Setenv("WEFT_CONFIG", filepath.Join(t.TempDir(), "config.yaml"))
	t.Setenv("PATH", t.TempDir()) // no browser but this one
	opened := regexp.MustCompile(`(?m)^open (\S+)`)
	login := func(args ...string) string {
		t.Helper()
		var stdout, stderr buffer
		ended := make(chan int, 1)
		go func() { ended <- run(t.Context(), append([]string{"login", at}, args...), &stdout, &stderr) }()
		browsed := false
		until(t, func() (bool, string) {
			if m := opened.FindStringSubmatch(stderr.String()); m != nil && !browsed && strings.Contains(m[1], "/auth?") {
				browsed = true
				resp, err := http.Get(m[1])
				if err != nil {
					t.Error(err)
				} else {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			return len(ended) > 0, stderr.String()
		})
		if code := <-ended; code != 0 {
			t.Fatalf("weft login %v: status %d: %s", args, code, stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	if text := login("--oidc"); !strings.Contains(text, "tenant-editor of acme") || strings.Contains(text, "eyJ") {
		t.Errorf("login says %s", text)
	}
	if text := login("--device", "--context", "device"); !strings.Contains(text, "type in ABCD-EFGH") || !strings.Contains(text, "(context device)") {
		t.Errorf("login says %s", text)
	}
	p.mu.Lock()
	if p.polls != 2 {
		t.Errorf("the provider was asked %d times for the device's token", p.polls)
	}
	p.life = time.Second // ends within renewBefore
	p.mu.Unlock()
	login("--oidc")
	p.mu.Lock()
	p.life = time.Hour
	p.mu.Unlock()
	for range 2 {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"whoami"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "tenant-editor of acme") {
			t.Fatalf("weft whoami: status %d: %s%s", code, stdout.String(), stderr.String())
		}
	}
	if p.renewed != 1 {
		t.Errorf("the ID token was renewed %d times, want once", p.renewed)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"login", at, "--oidc", "--device"}, &out, &out); code != exitUsage {
		t.Errorf("two ways at once: status %d: %s", code, fmt.Sprint(&out))
	}
}
