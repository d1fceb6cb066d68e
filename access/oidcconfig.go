package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/time/rate"

	"github.com/weft-sdn/weft/topology"
)

// OIDC is an OpenID provider whose ID tokens are taken, and what its users are here.
type OIDC struct {
	Issuer   string     `json:"issuer"`   // its URL, as in the tokens
	ClientID string     `json:"clientID"` // for which tokens must be made out
	CA       string     `json:"ca"`       // PEM file of the authority of its certificate; default: the system's
	Name     string     `json:"name"`     // claim that users are called by for people to read: preferred_username (default), email …; it decides nothing
	RoleFrom string     `json:"roleFrom"` // claim of what roles follow from: a text or a list of them; default groups
	Tenant   string     `json:"tenant"`   // claim that names the tenant, for rules that name none; default tenant
	Rules    []OIDCRule `json:"rules"`    // the first one that fits
	Scopes   []string   `json:"scopes"`   // that those who log in are to ask for; default openid, profile, email
}

// OIDCRule gives a role.
type OIDCRule struct {
	Value  string `json:"value"` // of the claim
	Role   Role   `json:"role"`
	Tenant string `json:"tenant"` // of roles of tenants: which; empty: what the tenant claim says
}

// Check fills in defaults, makes the name of a file relative to a directory, and says what is wrong with the part of a configuration file that it is, all of it.
func (o *OIDC) Check(s *topology.Source, field, dir string) (errs topology.Errors) {
	fail := func(name, value, problem, hint string) {
		name = field + "." + name
		errs = append(errs, &topology.FieldError{File: s.File, Line: s.Line(name), Field: name, Value: value, Problem: problem, Hint: hint})
	}
	o.fill(dir)
	u, err := url.Parse(o.Issuer)
	local := err == nil && u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
	if err != nil || u.Host == "" || u.Scheme != "https" && !local {
		fail("issuer", o.Issuer, "is no https URL", "use that of the OpenID provider, as it stands in its tokens")
	}
	if o.ClientID == "" {
		fail("clientID", "", "is missing", "give that of weft at the provider")
	}
	if o.CA != "" {
		if _, err := o.client(); err != nil {
			fail("ca", o.CA, "can't be used: "+err.Error(), "name a PEM file of certificates")
		}
	}
	if len(o.Rules) == 0 {
		fail("rules", "", "are missing: nobody would have a role", "give one such as {value: netops, role: provider-admin}")
	}
	for i, r := range o.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if r.Value == "" {
			fail(at+".value", "", "is missing", "give what claim "+o.RoleFrom+" has of those for whom the rule is")
		}
		switch {
		case !r.Role.Valid() || r.Role == Agent:
			fail(at+".role", string(r.Role), "is no role", "use provider-admin, provider-viewer, tenant-admin, tenant-editor or tenant-viewer")
		case !r.Role.OfTenant() && r.Tenant != "":
			fail(at+".tenant", r.Tenant, "does not go with role "+string(r.Role)+", which is of the provider", "leave it out")
		case checkTenant(r.Tenant) != nil:
			fail(at+".tenant", r.Tenant, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
		}
	}
	return errs
}

func (o *OIDC) fill(dir string) {
	or := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	or(&o.Name, "preferred_username")
	or(&o.RoleFrom, "groups")
	or(&o.Tenant, "tenant")
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid", "profile", "email"}
	}
	if o.CA != "" && !filepath.IsAbs(o.CA) {
		o.CA = filepath.Join(dir, o.CA)
	}
}

// oidcTimeout bounds a question to the provider.
const oidcTimeout = 5 * time.Second

// client is what the provider is asked with.
func (o *OIDC) client() (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, IdleConnTimeout: time.Minute}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("it holds no certificate")
		}
	}
	return &http.Client{Timeout: oidcTimeout, Transport: &paced{t, rate.NewLimiter(1, 5)}}, nil
}

// paced bounds how often the provider is asked: each token that is signed with a key which is not known would have it asked for its keys.
type paced struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements http.RoundTripper.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.limit.Allow() {
		return nil, errors.New("the OpenID provider was asked a moment ago")
	}
	return p.next.RoundTrip(r)
}

// CloseIdleConnections is for http.Client.
func (p *paced) CloseIdleConnections() {
	if c, ok := p.next.(*http.Transport); ok {
		c.CloseIdleConnections()
	}
}
