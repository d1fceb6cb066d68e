package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// Token is something to show in place of a password: less may be done with it than its owner may, and it ends.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"` // what it is for
	Owner    string    `json:"owner"`          // subject of who made it, and as whom it acts
	Role     Role      `json:"role"`
	Tenant   string    `json:"tenant,omitempty"`
	Scope    Scope     `json:"scope,omitzero"`
	Session  bool      `json:"session,omitempty"` // it was got by logging in
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"` // zero: never
	LastUsed time.Time `json:"lastUsed,omitzero"`
}

// storedToken is a token as in the database.
type storedToken struct {
	Token
	Hash  string `json:"hash"`            // SHA-256 of the secret part, hex
	Lease int64  `json:"lease,omitempty"` // under which it is stored; 0: none
	Tie   string `json:"tie,omitempty"`   // of a user's: his Born, or of a session his Key
	// Parent is the token that it was made with, and ends with; empty: it was made in a session.
	Parent string `json:"parent,omitempty"`
	rev    int64
}

// Bounds of a token.
const (
	maxTokenLife     = 366 * 24 * time.Hour
	defaultTokenLife = 30 * 24 * time.Hour
	maxTokenName     = 100
	maxTokenKinds    = 64
)

// newToken makes an id and a secret; text is what the user is shown, once.
func newToken(t Token) (s storedToken, text string) {
	random := make([]byte, idBytes+secretBytes)
	_, _ = rand.Read(random) // never fails
	t.ID = digits.EncodeToString(random[:idBytes])
	tail := secret{digits.EncodeToString(random[idBytes:])}
	sum := tail.hash()
	return storedToken{Token: t, Hash: hex.EncodeToString(sum[:])}, tokenHead + t.ID + "_" + tail.text
}

// newMark is a text that there was never before.
func newMark() string {
	random := make([]byte, idBytes)
	_, _ = rand.Read(random)
	return digits.EncodeToString(random)
}

// shows reports whether a secret is that of the token, in the same time whatever it is.
func (t *storedToken) shows(s secret) bool {
	want, err := hex.DecodeString(t.Hash)
	is := s.hash()
	return err == nil && len(want) == sha256.Size && subtle.ConstantTimeCompare(want, is[:]) == 1
}

// expired reports whether the token has ended.
func (t *Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// identity is who shows the token.
func (t *Token) identity() Identity {
	method := ByToken
	if t.Session {
		method = BySession
	}
	return Identity{Subject: t.Owner, Role: t.Role, Tenant: t.Tenant, Method: method, Token: t.ID, Expires: t.Expires, Scope: t.Scope}
}

// NewToken is what somebody wants a token for. Role and tenant are his own if none are given.
type NewToken struct {
	Name   string
	Role   Role
	Tenant string
	Scope  Scope
	Life   time.Duration // 0: 30 days
}

// within narrows what is asked for to what who asks has, or says why that can't be.
func (n NewToken) within(who Identity, now time.Time) (Token, error) {
	if n.Role == "" {
		n.Role = who.Role
	}
	if n.Tenant == "" && n.Role.OfTenant() {
		n.Tenant = who.Tenant
	}
	if n.Life == 0 {
		n.Life = defaultTokenLife
		if left := who.Expires.Sub(now); who.Method == ByToken && !who.Expires.IsZero() {
			n.Life = min(n.Life, left)
		}
	}
	t := Token{Name: n.Name, Owner: who.Subject, Role: n.Role, Tenant: n.Tenant, Scope: n.Scope, Created: now, Expires: now.Add(n.Life)}
	if err := checkRole(t.Role, t.Tenant); err != nil {
		return Token{}, err
	}
	switch {
	case n.Life < time.Minute || n.Life > maxTokenLife:
		return Token{}, fmt.Errorf("%w: a token lives from a minute to %d days", ErrInvalid, maxTokenLife/(24*time.Hour))
	case len(n.Name) > maxTokenName:
		return Token{}, fmt.Errorf("%w: the name of a token has %d characters at most", ErrInvalid, maxTokenName)
	case len(n.Scope.Kinds) > maxTokenKinds:
		return Token{}, fmt.Errorf("%w: a token is for %d kinds at most; list none to have it for all", ErrInvalid, maxTokenKinds)
	case !covers(who.Role, who.Tenant, t.Role, t.Tenant):
		return Token{}, fmt.Errorf("%w: a token may do no more than who makes it, whose role is %s", ErrForbidden, who.Role)
	case who.Method == ByToken && !who.Expires.IsZero() && t.Expires.After(who.Expires):
		return Token{}, fmt.Errorf("%w: a token made with a token ends with it, at %s", ErrForbidden, who.Expires.UTC().Format(time.RFC3339))
	}
	for _, k := range t.Scope.Kinds {
		if !knownKind(k) {
			return Token{}, fmt.Errorf("%w: scope: there is no kind of that name; use those of the API, such as VPort or Flow", ErrInvalid)
		}
	}
	if len(who.Scope.Kinds) > 0 && (len(t.Scope.Kinds) == 0 || slices.ContainsFunc(t.Scope.Kinds, func(k topology.Kind) bool { return !who.Scope.Covers(k) })) {
		return Token{}, fmt.Errorf("%w: what was shown is for kinds %v alone, and so must be a token made with it", ErrForbidden, who.Scope.Kinds)
	}
	return t, nil
}
