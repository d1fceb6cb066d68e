package access

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// Key layout, beside that of package state. Values are JSON that one can read with etcdctl; none holds a secret, nor what one could log in with.
//
//	/weft/access/first                   the token that was made at first
//	/weft/access/user/<tenant>/<name>    a user; the tenant is "-" for one of the provider's
//	/weft/access/token/<id>              a token or session, under a lease that ends when it expires
//	/weft/access/used/<id>               when a token was used last; nobody watches it
const (
	prefix      = "/weft/access/"
	firstKey    = prefix + "first"
	userPrefix  = prefix + "user/"
	tokenPrefix = prefix + "token/"
	usedPrefix  = prefix + "used/"
)

const providerPart = "-" // no tenant is called that

func userKey(u UserName) string {
	tenant := u.Tenant
	if tenant == "" {
		tenant = providerPart
	}
	return userPrefix + tenant + "/" + u.Name
}

func parseUserKey(key string) (UserName, error) {
	tenant, name, _ := strings.Cut(strings.TrimPrefix(key, userPrefix), "/")
	if tenant == providerPart {
		tenant = ""
	}
	u := UserName{tenant, name}
	if userKey(u) != key || u.check() != nil {
		return UserName{}, fmt.Errorf("key %q is no user's", key)
	}
	return u, nil
}

func tokenKey(id string) string { return tokenPrefix + id }
func usedKey(id string) string  { return usedPrefix + id }

// A token is weft_ID_SECRET: which one it is, and what shows that one has it, of 256 random bits. What is stored of the latter is its SHA-256: with that much randomness nothing slower is called for.
const (
	tokenHead   = "weft_"
	idBytes     = 10
	secretBytes = 32
)

// digits are those of base32 in lower case, without any that look alike.
var digits = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// secret is the last part of a token. It prints as nothing, so that it gets into no log or error.
type secret struct{ text string }

// String returns what stands for a secret.
func (secret) String() string { return "***" }

// GoString is String, for %#v.
func (secret) GoString() string { return "***" }

func (s secret) hash() [sha256.Size]byte { return sha256.Sum256([]byte(s.text)) }

// parseToken takes a token apart; false if it is none.
func parseToken(text string) (id string, s secret, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenHead)
	id, tail, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || !isDigits(id, idBytes) || !isDigits(tail, secretBytes) {
		return "", secret{}, false
	}
	return id, secret{tail}, true
}

// isDigits reports whether a text is the one spelling of so many bytes.
func isDigits(s string, n int) bool {
	if len(s) != digits.EncodedLen(n) {
		return false
	}
	b, err := digits.DecodeString(s)
	return err == nil && digits.EncodeToString(b) == s
}
