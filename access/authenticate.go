package access

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Authenticate says who a request is from: by the token in its Authorization header, else by the client certificate that the TLS connection was made with. No error tells what was shown.
func (g *Guard) Authenticate(r *http.Request) (Identity, error) {
	headers := r.Header.Values("Authorization")
	switch {
	case len(headers) > 1:
		return Identity{}, fmt.Errorf("%w: there are several Authorization headers", ErrUnauthenticated)
	case len(headers) == 1:
		text, ok := bearer(headers[0])
		if !ok {
			return Identity{}, fmt.Errorf("%w: the Authorization header is not Bearer and a token", ErrUnauthenticated)
		}
		return g.byBearer(r.Context(), text)
	case r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0:
		return byCertificate(r.TLS.VerifiedChains[0][0])
	}
	return Identity{}, fmt.Errorf("%w: log in, or show a token: Authorization: Bearer TOKEN", ErrUnauthenticated)
}

// maxBearer is how long what is shown may be, in bytes: ID tokens with many claims are the longest.
const maxBearer = 16 << 10

// bearer reads an Authorization header (RFC 6750 section 2.1).
func bearer(header string) (string, bool) {
	scheme, text, ok := strings.Cut(header, " ")
	text = strings.Trim(text, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || text == "" || len(text) > maxBearer {
		return "", false
	}
	for i := range len(text) {
		c := text[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~+/=", c) >= 0) {
			return "", false
		}
	}
	return text, true
}

func (g *Guard) byBearer(ctx context.Context, text string) (Identity, error) {
	if !strings.HasPrefix(text, tokenHead) {
		if g.oidc == nil || strings.Count(text, ".") != 2 {
			return Identity{}, fmt.Errorf("%w: what was shown is no token of weft's", ErrUnauthenticated)
		}
		return g.oidc.identity(ctx, text)
	}
	id, s, ok := parseToken(text)
	if !ok {
		return Identity{}, badToken()
	}
	if !g.known.isReady() {
		return Identity{}, ErrUnavailable
	}
	t, ok := g.known.token(id)
	if !ok { // another server may have made it a moment ago
		if err := g.hear(ctx); err != nil {
			return Identity{}, err
		}
		t, ok = g.known.token(id)
	}
	if !ok || !t.shows(s) {
		return Identity{}, badToken()
	}
	now := g.cfg.Now()
	role, ok := g.known.stands(&t, now)
	if !ok {
		return Identity{}, badToken()
	}
	t.Role = role
	g.used.note(&t, now)
	return t.identity(), nil
}

func badToken() error {
	return fmt.Errorf("%w: the token is not known, has ended or was revoked; log in again, or have a new one made", ErrUnauthenticated)
}

// hearTime bounds how long a server waits to hear what is stored.
const hearTime = 2 * time.Second

// hear waits until what is stored of users and tokens is known here, for somebody who shows what is not. That is done so many times a second: more are told that it is not there.
func (g *Guard) hear(ctx context.Context) error {
	if g.client == nil || !g.misses.Allow() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	if err := g.catchUp(ctx); err != nil {
		g.cfg.Log.Warn("users and tokens can't be looked up", "err", err)
		return ErrUnavailable
	}
	return nil
}

// byCertificate is who a client certificate that was verified is of. The authority that a server verifies with gives certificates to agents alone.
func byCertificate(c *x509.Certificate) (Identity, error) {
	name := c.Subject.CommonName
	if name == "" && len(c.DNSNames) > 0 {
		name = c.DNSNames[0]
	}
	if name == "" {
		return Identity{}, fmt.Errorf("%w: the client certificate names nobody", ErrUnauthenticated)
	}
	return Identity{Subject: "agent:" + name, Role: Agent, Method: ByCertificate, Expires: c.NotAfter}, nil
}
