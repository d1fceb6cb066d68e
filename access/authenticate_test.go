package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

// sign returns a client's certificate.
func (a *authority) sign(c *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.ExtKeyUsage = big.NewInt(2), []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCertificates: an agent is whom the certificate names that its TLS connection was made with; one of another authority, or one that has ended, is nobody's; a token that is shown counts instead.
func TestCertificates(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	agents, others := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(agents.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := g.Authenticate(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "%s %s %s", id.Subject, id.Role, id.Method)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	server.StartTLS()
	t.Cleanup(server.Close)
	ask := func(cert *tls.Certificate, bearer string) (string, error) {
		transport := server.Client().Transport.(*http.Transport).Clone()
		defer transport.CloseIdleConnections()
		if cert != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*cert}
			// A server tells which authorities it takes; send whatever there is all the same.
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			return "", err
		}
		if bearer != "" {
			r.Header.Set("Authorization", bearer)
		}
		resp, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return strings.TrimSpace(string(b)), err
	}
	e1, dns := agents.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "e1"}}), agents.sign(&x509.Certificate{DNSNames: []string{"e2.example"}})
	nobody, forged := agents.sign(&x509.Certificate{}), others.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "e1"}})
	ended := agents.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "e1"}, NotAfter: time.Now().Add(-time.Minute)})
	for _, tc := range []struct {
		cert         *tls.Certificate
		bearer, want string
	}{
		{&e1, "", "agent:e1 agent certificate"},
		{&dns, "", "agent:e2.example agent certificate"},
		{&nobody, "", "not authenticated: the client certificate names nobody"},
		{nil, "", "not authenticated: log in, or show a token: Authorization: Bearer TOKEN"},
		{&e1, "Bearer weft_x", "not authenticated: the token is not known, has ended or was revoked; log in again, or have a new one made"},
		{&forged, "", ""},
		{&ended, "", ""},
	} {
		got, err := ask(tc.cert, tc.bearer)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("got %q, %v; want %q", got, err, tc.want)
		}
	}
}

// TestUnready: as long as it is not known who has access, nobody is told that his token does not count.
func TestUnready(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, text := newToken(Token{})
	if _, err := g.Authenticate(shown(text)); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// FuzzToken: a text is a token in one spelling alone, and none that was not made is taken.
func FuzzToken(f *testing.F) {
	_, text := newToken(Token{})
	f.Add(text)
	f.Add("weft__")
	f.Add("weft_" + strings.Repeat("a", 16) + "_" + strings.Repeat("a", 52))
	f.Add(strings.ToUpper(text))
	f.Fuzz(func(t *testing.T, text string) {
		id, s, ok := parseToken(text)
		if !ok {
			if id != "" || s.text != "" {
				t.Error("what is no token has parts")
			}
			return
		}
		if tokenHead+id+"_"+s.text != text {
			t.Errorf("%q is read as %q and another secret", text, id)
		}
		if strings.Contains(tokenKey(id), s.text) || strings.ContainsAny(id, "/ \x00") {
			t.Errorf("key %q", tokenKey(id))
		}
		made, _ := newToken(Token{})
		if made.shows(s) {
			t.Error("a secret was guessed")
		}
	})
}

// FuzzAuthorization: whatever the header says, the answer is who it is, or that it is not known; and it does not repeat the header.
func FuzzAuthorization(f *testing.F) {
	g, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	made, text := newToken(Token{Owner: "user:x", Role: ProviderAdmin})
	made.Owner = "token:first"
	g.known.tokens[made.ID] = made
	g.known.listed = map[string]bool{userPrefix: true, tokenPrefix: true}
	for _, h := range []string{"Bearer " + text, "bearer  " + text + " ", "Basic dXNlcjpwYXNz", "Bearer", "", "Bearer a.b.c", "Bearer " + text + "\x00", "Bearer " + text + ", Bearer x", text} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		id, err := g.Authenticate(r)
		if err == nil {
			if scheme, rest, _ := strings.Cut(header, " "); !strings.EqualFold(scheme, "bearer") || strings.Trim(rest, " ") != text || id.Subject != "token:first" {
				t.Errorf("%q is %v", header, id)
			}
			return
		}
		if !errors.Is(err, ErrUnauthenticated) || id.Subject != "" || id.Role != "" {
			t.Errorf("%q: %v, %v", header, id, err)
		}
		if _, shown, _ := strings.Cut(header, " "); len(shown) > 20 && strings.Contains(err.Error(), shown) {
			t.Errorf("the error repeats what was shown: %v", err)
		}
	})
}

// FuzzUserName: a name has one spelling, one key, and reads back.
func FuzzUserName(f *testing.F) {
	for _, s := range []string{"ann", "acme/ann", "-/ann", "a/b/c", "", "/", "acme/", "ann@example.com", "Ann", "..", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseUserName(text)
		if err != nil {
			return
		}
		if u.String() != text {
			t.Errorf("%q reads as %q", text, u)
		}
		back, err := parseUserKey(userKey(u))
		if err != nil || back != u || strings.Count(userKey(u), "/") != 5 {
			t.Errorf("%q has key %q, which is %v, %v", text, userKey(u), back, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	g, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	made, text := newToken(Token{Owner: "token:first", Role: ProviderAdmin})
	g.known.tokens[made.ID] = made
	g.known.listed = map[string]bool{userPrefix: true, tokenPrefix: true}
	r := shown(text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
