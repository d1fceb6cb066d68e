package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/api"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

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
	guard, err := access.New(access.Config{Store: store, OIDC: &access.OIDC{Issuer: p.url, CA: p.ca, ClientID: "weft", Scopes: []string{"openid", "profile", "offline_access"}, Rules: []access.OIDCRule{
		{Value: "netops", Role: access.ProviderAdmin}, {Value: "acme-net", Role: access.TenantEditor, Tenant: "acme"}, {Value: "customers", Role: access.TenantViewer},
	}}})
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

// loginAt runs weft login while a user of the provider's does what it says in his browser, and returns what it printed.
func loginAt(t *testing.T, p *provider, user, server string, args ...string) string {
	t.Helper()
	opened := regexp.MustCompile(`(?m)^open (\S+)$`)
	var stdout, stderr buffer
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), append([]string{"login", server}, args...), &stdout, &stderr) }()
	browsed := false
	until(t, func() (bool, string) {
		if m := opened.FindStringSubmatch(stderr.String()); m != nil && !browsed {
			browsed = true
			p.browse(user, m[1])
		}
		return len(ended) > 0, stderr.String()
	})
	if code := <-ended; code != 0 {
		t.Fatalf("weft login %v: status %d: %s", args, code, stderr.String())
	}
	return stdout.String() + stderr.String()
}

// TestOIDCLogin: at a provider of another maker one logs in by a browser with PKCE, and by a device's code; commands show the ID token to the server, and renew it when it ends.
func TestOIDCLogin(t *testing.T) {
	p := newProvider(t)
	at := trusting(t, p)
	t.Setenv("WEFT_CONFIG", filepath.Join(t.TempDir(), "config.yaml"))
	t.Setenv("PATH", t.TempDir()) // no browser but the test's
	if text := loginAt(t, p, "ann", at, "--oidc"); !strings.Contains(text, "logged in at "+at+" as oidc:ann, tenant-editor of acme") || strings.Contains(text, "eyJ") {
		t.Errorf("login says %s", text)
	}
	weft := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != want {
			t.Fatalf("weft %s: status %d: %s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	net := filepath.Join(t.TempDir(), "net.yaml")
	write := func(tenant string) {
		t.Helper()
		if err := os.WriteFile(net, []byte("{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: "+tenant+"}, spec: {}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("acme")
	weft(exitOK, "apply", "-f", net)
	if out := weft(exitOK, "get", "bridges"); !strings.Contains(out, "lan") {
		t.Errorf("his bridges are\n%s", out)
	}
	write("globex")
	weft(exitMissing, "apply", "-f", net)

	if text := loginAt(t, p, "root", at, "--device", "--context", "device"); !strings.Contains(text, "/device?user_code=") || !strings.Contains(text, "provider-admin (context device)") {
		t.Errorf("login says %s", text)
	}
	weft(exitOK, "apply", "-f", net)

	p.live(renewBefore / 2) // so that each command renews it
	loginAt(t, p, "ann", at, "--oidc")
	before := p.renewals()
	p.live(time.Hour) // the access token beside it lives five minutes
	for range 3 {
		if out := weft(exitOK, "whoami"); !strings.Contains(out, "tenant-editor of acme") || !regexp.MustCompile(`for (1h0m|59m)`).MatchString(out) {
			t.Errorf("whoami says %s", out)
		}
	}
	if n := p.renewals() - before; n != 1 {
		t.Errorf("the ID token was renewed %d times, want once", n)
	}

	p.live(renewBefore / 2)
	loginAt(t, p, "ann", at, "--oidc")
	before = p.renewals()
	p.live(time.Hour)
	var together sync.WaitGroup
	for range 4 { // the provider takes each refresh token once
		together.Go(func() {
			var stdout, stderr buffer
			if code := run(t.Context(), []string{"whoami"}, &stdout, &stderr); code != exitOK {
				t.Errorf("one of several at once: status %d: %s", code, stderr.String())
			}
		})
	}
	together.Wait()
	if n := p.renewals() - before; n != 1 {
		t.Errorf("several commands at once renewed the ID token %d times, want once", n)
	}
	weft(exitUsage, "login", at, "--oidc", "--device")
}

// TestOIDCAuthority: a provider whose certificate is of an authority of its own is trusted if that is named, at the login and when the ID token is renewed.
func TestOIDCAuthority(t *testing.T) {
	p := providerAt(t, true)
	at := trusting(t, p)
	dir := t.TempDir()
	t.Setenv("WEFT_CONFIG", filepath.Join(dir, "config.yaml"))
	t.Setenv("WEFT_OIDC_CA", "")
	t.Setenv("PATH", dir)
	weft := func(want int, says string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != want || !strings.Contains(stdout.String()+stderr.String(), says) {
			t.Errorf("weft %s: status %d, want %d: %s%s", strings.Join(args, " "), code, want, stdout.String(), stderr.String())
		}
	}
	weft(exitFailed, "--oidc-ca names the file of the authority", "login", at, "--oidc")
	weft(exitFailed, "--oidc-ca "+filepath.Join(dir, "none")+": ", "login", at, "--oidc", "--oidc-ca", filepath.Join(dir, "none"))
	p.live(renewBefore / 2)
	if text := loginAt(t, p, "ann", at, "--oidc", "--oidc-ca", p.ca); !strings.Contains(text, "as oidc:ann, tenant-editor of acme") {
		t.Errorf("login says %s", text)
	}
	before := p.renewals()
	p.live(time.Hour)
	weft(exitOK, "tenant-editor of acme", "whoami")
	if n := p.renewals() - before; n != 1 {
		t.Errorf("the ID token was renewed %d times, want once", n)
	}
	loginAt(t, p, "root", at, "--device") // as before
	t.Setenv("WEFT_CONFIG", filepath.Join(dir, "other.yaml"))
	t.Setenv("WEFT_OIDC_CA", p.ca)
	loginAt(t, p, "root", at, "--oidc")
}

// TestOIDCTokens: the API takes the ID tokens that a provider of another maker makes out for it, with the role of their user, until they end, whatever key signs them; and no others.
func TestOIDCTokens(t *testing.T) {
	p := newProvider(t)
	at := trusting(t, p)
	whoami := func(token string) (client.Identity, error) {
		t.Helper()
		c, err := client.New(client.Config{Server: at, Token: client.Token(token)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Whoami(t.Context())
	}
	for user, want := range map[string]client.Identity{
		"root": {Role: "provider-admin"}, "ann": {Role: "tenant-editor", Tenant: "acme"}, "gus": {Role: "tenant-viewer", Tenant: "globex"},
	} {
		if who, err := whoami(p.token("weft", user)); err != nil || who.Subject != "oidc:"+user || who.Name != user || who.Role != want.Role || who.Tenant != want.Tenant || who.Expires.IsZero() {
			t.Errorf("%s: %+v, %v", user, who, err)
		}
	}
	refused := func(what, token, want string) {
		t.Helper()
		if _, err := whoami(token); client.StatusOf(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	refused("no group", p.token("weft", "eve"), "none of the rules fits its claim groups")
	refused("another client's", p.token("wiki", "root"), "is not one of "+p.url+" for client weft")
	refused("another provider's", newProvider(t).token("weft", "root"), "is not one of "+p.url)

	old := p.token("weft", "ann")
	p.rotate()
	renewed := p.token("weft", "ann")
	until(t, func() (bool, string) { // the provider is not asked at each request for its keys
		_, err := whoami(renewed)
		return err == nil, "the new key is not known"
	})
	refused("of a key that is withdrawn", old, "is not signed by it")

	p.live(time.Second)
	short := p.token("weft", "root")
	until(t, func() (bool, string) {
		_, err := whoami(short)
		return client.StatusOf(err) == http.StatusUnauthorized, "it does not end"
	})
	refused("expired", short, "has expired; log in again")

	// A tenant's editor is that whatever proves who he is.
	p.live(time.Hour)
	c, err := client.New(client.Config{Server: at, Token: client.Token(p.token("weft", "gus"))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bridge := &topology.Object{Kind: topology.KindBridge, Metadata: topology.Metadata{Name: "lan", Tenant: "globex"}, Spec: &topology.BridgeSpec{}}
	if _, err := c.Create(t.Context(), bridge, client.Options{}); client.StatusOf(err) != http.StatusForbidden {
		t.Errorf("a viewer writes: %v", err)
	}
}
