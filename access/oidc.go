package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/weft-sdn/weft/topology"
)

// verifier verifies ID tokens. The provider is asked for its keys when the first one is shown, and again when a token is signed with another.
type verifier struct {
	cfg    OIDC
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	ready *oidc.IDTokenVerifier
	tried time.Time // the last attempt that failed
}

func newVerifier(cfg OIDC, now func() time.Time) (*verifier, error) {
	if errs := cfg.Check(new(topology.Source), "oidc", "."); len(errs) > 0 {
		return nil, errs
	}
	client, err := cfg.client()
	if err != nil {
		return nil, err
	}
	return &verifier{cfg: cfg, client: client, now: now}, nil
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
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), v.client), v.cfg.Issuer)
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
