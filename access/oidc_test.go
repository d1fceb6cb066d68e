package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weft-sdn/weft/testbed/wait"
)

// provider is an OpenID provider: what it says of itself, and its keys.
type provider struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey
	keyID  string
	away   atomic.Bool
	asked  atomic.Int64 // for its keys
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	p.rotate("one")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if p.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys", "authorization_endpoint": p.server.URL + "/auth", "token_endpoint": p.server.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: p.keyID, Algorithm: "ES256", Use: "sig"}}})
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) rotate(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.key, p.keyID = key, id
}

// token signs claims, over those that any token has.
func (p *provider) token(claims map[string]any) string {
	p.t.Helper()
	all := map[string]any{"iss": p.server.URL, "aud": "weft", "sub": "248289761001", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "preferred_username": "ann"}
	for k, v := range claims {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: p.keyID}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := signer.Sign(b)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := s.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *provider) config() *OIDC {
	return &OIDC{Issuer: p.server.URL, ClientID: "weft", Rules: []OIDCRule{
		{Value: "netops", Role: ProviderAdmin},
		{Value: "acme-owners", Role: TenantAdmin, Tenant: "acme"},
		{Value: "customers", Role: TenantViewer},
	}}
}

// TestOIDC: an ID token of the provider's for this client is its user's, with the role of the first rule that fits; nothing else is.
func TestOIDC(t *testing.T) {
	p, stranger := newProvider(t), newProvider(t)
	g, err := New(Config{OIDC: p.config()})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(text string) string {
		id, err := g.Authenticate(shown(text))
		switch {
		case err == nil:
			return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", id.Subject, id.Name, id.Role, id.Tenant))
		case !errors.Is(err, ErrUnauthenticated):
			return err.Error()
		case len(text) > 20 && (strings.Contains(err.Error(), text) || strings.Contains(err.Error(), strings.Split(text, ".")[1])):
			t.Errorf("the error repeats the token: %v", err)
		}
		return ""
	}
	groups := func(of ...any) map[string]any { return map[string]any{"groups": of} }
	head, body, _ := strings.Cut(p.token(groups("netops")), ".")
	body, signature, _ := strings.Cut(body, ".")
	for name, tc := range map[string]struct{ text, want string }{
		"first rule":     {p.token(groups("customers", "netops")), "oidc:248289761001 ann provider-admin"},
		"fixed tenant":   {p.token(groups("acme-owners")), "oidc:248289761001 ann tenant-admin acme"},
		"one text":       {p.token(map[string]any{"groups": "acme-owners"}), "oidc:248289761001 ann tenant-admin acme"},
		"tenant claim":   {p.token(map[string]any{"groups": []any{"customers"}, "tenant": "globex"}), "oidc:248289761001 ann tenant-viewer globex"},
		"no tenant":      {p.token(groups("customers")), ""},
		"bad tenant":     {p.token(map[string]any{"groups": []any{"customers"}, "tenant": "../x"}), ""},
		"tenant list":    {p.token(map[string]any{"groups": []any{"customers"}, "tenant": []any{"globex"}}), ""},
		"no group":       {p.token(nil), ""},
		"other group":    {p.token(groups("Netops", 7, nil)), ""},
		"for another":    {p.token(map[string]any{"groups": []any{"netops"}, "aud": "other"}), ""},
		"of another":     {stranger.token(map[string]any{"groups": []any{"netops"}}), ""},
		"claims another": {stranger.token(map[string]any{"groups": []any{"netops"}, "iss": p.server.URL}), ""},
		"expired":        {p.token(map[string]any{"groups": []any{"netops"}, "exp": time.Now().Add(-time.Hour).Unix()}), ""},
		"not yet":        {p.token(map[string]any{"groups": []any{"netops"}, "nbf": time.Now().Add(time.Hour).Unix()}), ""},
		"no subject":     {p.token(map[string]any{"groups": []any{"netops"}, "sub": ""}), ""},
		"unsigned":       {"eyJhbGciOiJub25lIn0." + body + ".", ""},
		"cut":            {head + "." + body + "." + signature[:10], ""},
		"no token":       {"a.b.c", ""},
	} {
		if got := ask(tc.text); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	p.rotate("two")
	rotated := p.token(groups("netops"))
	wait.Until(t, "a new key is taken note of", func() bool { return ask(rotated) == "oidc:248289761001 ann provider-admin" })
}

// TestOIDCAway: a provider that does not answer is asked again later, not at each request.
func TestOIDCAway(t *testing.T) {
	p := newProvider(t)
	c := &clock{at: time.Now()}
	g, err := New(Config{OIDC: p.config(), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	text := p.token(map[string]any{"groups": "netops"})
	p.away.Store(true)
	if _, err := g.Authenticate(shown(text)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	p.away.Store(false)
	if _, err := g.Authenticate(shown(text)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("asked again at once: %v", err)
	}
	c.move(oidcTimeout)
	if _, err := g.Authenticate(shown(text)); err != nil {
		t.Errorf("back: %v", err)
	}
}

// TestOIDCPace: tokens with keys that nobody has do not have the provider asked each time, and keep nobody else out.
func TestOIDCPace(t *testing.T) {
	p, stranger := newProvider(t), newProvider(t)
	g, err := New(Config{OIDC: p.config()})
	if err != nil {
		t.Fatal(err)
	}
	good := p.token(map[string]any{"groups": "netops"})
	if _, err := g.Authenticate(shown(good)); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		stranger.rotate(fmt.Sprint("key", i))
		if _, err := g.Authenticate(shown(stranger.token(map[string]any{"groups": "netops", "iss": p.server.URL}))); !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if n := p.asked.Load(); n < 2 || n > 40 {
		t.Errorf("the provider was asked %d times for its keys", n)
	}
	if _, err := g.Authenticate(shown(good)); err != nil {
		t.Error(err)
	}
}

// TestOIDCConfig: what would let in nobody, or anybody, is refused, with the field that is wrong.
func TestOIDCConfig(t *testing.T) {
	rules := []OIDCRule{{Value: "x", Role: ProviderAdmin}}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		cfg  OIDC
		want string
	}{
		{OIDC{Issuer: "http://idp.example", ClientID: "weft", Rules: rules}, `oidc.issuer: "http://idp.example" is no https URL; use that of the OpenID provider, as it stands in its tokens`},
		{OIDC{Issuer: "idp", ClientID: "weft", Rules: rules}, `oidc.issuer: "idp" is no https URL; use that of the OpenID provider, as it stands in its tokens`},
		{OIDC{Issuer: "https://idp.example", Rules: rules}, "oidc.clientID: is missing; give that of weft at the provider"},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft"}, "oidc.rules: are missing: nobody would have a role; give one such as {value: netops, role: provider-admin}"},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft", Rules: []OIDCRule{{Role: ProviderAdmin}}}, "oidc.rules[0].value: is missing; give what claim groups has of those for whom the rule is"},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft", Rules: []OIDCRule{{Value: "x", Role: Agent}}}, `oidc.rules[0].role: "agent" is no role; use provider-admin, provider-viewer, tenant-admin, tenant-editor or tenant-viewer`},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft", Rules: []OIDCRule{{Value: "x", Role: ProviderAdmin, Tenant: "acme"}}}, `oidc.rules[0].tenant: "acme" does not go with role provider-admin, which is of the provider; leave it out`},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft", Rules: []OIDCRule{{Value: "x", Role: TenantAdmin, Tenant: "A/B"}}}, `oidc.rules[0].tenant: "A/B" is not a name; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first`},
		{OIDC{Issuer: "https://idp.example", ClientID: "weft", CA: file, Rules: rules}, fmt.Sprintf("oidc.ca: %q can't be used: it holds no certificate; name a PEM file of certificates", file)},
	} {
		if _, err := New(Config{OIDC: &tc.cfg}); err == nil || err.Error() != tc.want {
			t.Errorf("\n got %v\nwant %s", err, tc.want)
		}
	}
}
