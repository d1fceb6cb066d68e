package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OIDC is an OpenID provider whose ID tokens are taken, and what its users are here.
type OIDC struct {
	Issuer   string       `json:"issuer"`             // its URL, as in the tokens
	ClientID string       `json:"clientID"`           // for which tokens must be made out
	Name     string       `json:"name,omitempty"`     // claim that users are called by for people to read: preferred_username (default), email …; it decides nothing
	RoleFrom string       `json:"roleFrom,omitempty"` // claim of what roles follow from: a text or a list of them; default groups
	Tenant   string       `json:"tenant,omitempty"`   // claim that names the tenant, for rules that name none; default tenant
	Rules    []OIDCRule   `json:"rules"`              // the first one that fits
	Scopes   []string     `json:"scopes,omitempty"`   // that those who log in are to ask for; default openid, profile, email
	Client   *http.Client `json:"-"`                  // to ask the provider with; nil: the default one, with a limit of time
}

// OIDCRule gives a role.
type OIDCRule struct {
	Value  string `json:"value"` // of the claim
	Role   Role   `json:"role"`
	Tenant string `json:"tenant,omitempty"` // of roles of tenants: which; empty: what the tenant claim says
}

// oidcTimeout bounds a question to the provider.
const oidcTimeout = 5 * time.Second

// verifier verifies ID tokens. The provider is asked for its keys when the first one is shown, and again when a token is signed with another.
type verifier struct {
	cfg OIDC
	now func() time.Time

	mu    sync.Mutex
	ready *oidc.IDTokenVerifier
	tried time.Time // the last attempt that failed
}

func newVerifier(cfg OIDC, now func() time.Time) (*verifier, error) {
	u, err := url.Parse(cfg.Issuer)
	local := err == nil && u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && !local:
		return nil, fmt.Errorf("%w: oidc: issuer: use the https URL of the OpenID provider", ErrInvalid)
	case cfg.ClientID == "":
		return nil, fmt.Errorf("%w: oidc: clientID is missing: give that of weft at the provider", ErrInvalid)
	case len(cfg.Rules) == 0:
		return nil, fmt.Errorf("%w: oidc: rules are missing: nobody would have a role", ErrInvalid)
	}
	for i, r := range cfg.Rules {
		tenant := r.Tenant
		if r.Role.OfTenant() && tenant == "" {
			tenant = "any"
		}
		if err := checkRole(r.Role, tenant); err != nil {
			return nil, fmt.Errorf("oidc: rules[%d]: %w", i, err)
		}
		if r.Value == "" {
			return nil, fmt.Errorf("%w: oidc: rules[%d]: value is missing", ErrInvalid, i)
		}
	}
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&cfg.Name, "preferred_username")
	or(&cfg.RoleFrom, "groups")
	or(&cfg.Tenant, "tenant")
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: oidcTimeout}
	}
	return &verifier{cfg: cfg, now: now}, nil
}

// provider returns what verifies tokens, once the provider has answered.
func (v *verifier) provider() (*oidc.IDTokenVerifier, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ready != nil {
		return v.ready, nil
	}
	if now := v.now(); now.Sub(v.tried) < oidcTimeout {
		return nil, errors.New("it did not answer a moment ago")
	}
	// The keys are fetched later, too, when the request that asks first is over.
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), v.cfg.Client), v.cfg.Issuer)
	if err != nil {
		v.tried = v.now()
		return nil, err
	}
	v.ready = p.Verifier(&oidc.Config{ClientID: v.cfg.ClientID, Now: v.now})
	return v.ready, nil
}

// identity is who an ID token is of.
func (v *verifier) identity(ctx context.Context, text string) (Identity, error) {
	p, err := v.provider()
	if err != nil {
		return Identity{}, fmt.Errorf("%w: the OpenID provider %s does not answer", ErrUnavailable, v.cfg.Issuer)
	}
	t, err := p.Verify(ctx, text)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return Identity{}, fmt.Errorf("%w: the ID token has expired; log in again", ErrUnauthenticated)
	case err != nil: // its text may hold parts of the token
		return Identity{}, fmt.Errorf("%w: the ID token is not one of %s for client %s, or is not signed by it", ErrUnauthenticated, v.cfg.Issuer, v.cfg.ClientID)
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil || t.Subject == "" {
		return Identity{}, fmt.Errorf("%w: the claims of the ID token can't be read", ErrUnauthenticated)
	}
	role, tenant := v.role(claims)
	if role == "" {
		return Identity{}, fmt.Errorf("%w: the ID token gives no role here: none of the rules fits its claim %s", ErrUnauthenticated, v.cfg.RoleFrom)
	}
	name, _ := claims[v.cfg.Name].(string)
	return Identity{Subject: "oidc:" + t.Subject, Name: name, Role: role, Tenant: tenant, Method: ByOIDC, Expires: t.Expiry}, nil
}

// role is what claims make of somebody; "" if nothing.
func (v *verifier) role(claims map[string]any) (Role, string) {
	values := texts(claims[v.cfg.RoleFrom])
	for _, r := range v.cfg.Rules {
		if !slices.Contains(values, r.Value) {
			continue
		}
		tenant := r.Tenant
		if tenant == "" && r.Role.OfTenant() {
			tenant, _ = claims[v.cfg.Tenant].(string)
		}
		if checkRole(r.Role, tenant) == nil {
			return r.Role, tenant
		}
	}
	return "", ""
}

// texts reads a claim that is a text or a list of texts.
func texts(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var all []string
		for _, x := range c {
			if s, ok := x.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// Ways says how one can log in: by a password, and by an OpenID provider, whose configuration it returns; nil: there is none.
func (g *Guard) Ways() (password bool, o *OIDC) {
	if g.oidc != nil {
		o = &g.oidc.cfg
	}
	return g.client != nil, o
}
