package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// letIn serves a store to those who are let in, and returns the token of the first run, "" if another server has made it.
func letIn(t *testing.T, store *state.Store) (url, first string) {
	t.Helper()
	g, err := access.New(access.Config{Store: store, PasswordCost: 4})
	if err != nil {
		t.Fatal(err)
	}
	running(t, g.Run)
	if first, err = g.First(t.Context()); err != nil {
		t.Fatal(err)
	}
	return serve(t, store, func(o *Options) { o.Guard, o.Accounts = g, g }), first
}

// as is a client that shows a token.
func as(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Server: url, Retries: -1, Token: client.Token(token)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// personnel is a server whose tenant acme has a user ann, who has logged in.
type personnel struct {
	url        string
	admin, ann *client.Client
	anybody    *client.Client // shows nothing
}

func newPersonnel(t *testing.T) *personnel {
	t.Helper()
	url, first := letIn(t, embedded(t))
	p := &personnel{url: url, admin: as(t, url, first), anybody: clientOf(t, url)}
	if _, err := p.admin.CreateUser(t.Context(), client.NewUser{User: client.User{Name: "ann", Tenant: "acme", Role: "tenant-admin"}, Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	m, err := p.anybody.Login(t.Context(), "acme/ann", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	p.ann = as(t, url, m.Secret)
	return p
}

// TestFirstToken: the token of the first run is the provider's administrator, until it is revoked.
func TestFirstToken(t *testing.T) {
	url, first := letIn(t, embedded(t))
	ctx := t.Context()
	admin := as(t, url, first)
	id, err := admin.Whoami(ctx)
	if err != nil || id.Role != "provider-admin" || id.Subject != "token:first" {
		t.Fatalf("%+v, %v", id, err)
	}
	if _, err := admin.CreateUser(ctx, client.NewUser{User: client.User{Name: "root", Role: "provider-admin"}, Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	if u, err := admin.User(ctx, "", "root"); err != nil || u.Role != "provider-admin" {
		t.Errorf("%+v, %v", u, err)
	}
	if err := admin.RevokeToken(ctx, id.Token); err != nil {
		t.Fatal(err)
	}
	_, err = admin.Whoami(ctx)
	wants(t, err, http.StatusUnauthorized)
}

// TestLogin: who knows the password gets a session of his role.
func TestLogin(t *testing.T) {
	p := newPersonnel(t)
	ctx := t.Context()
	if w, err := p.anybody.Ways(ctx); err != nil || !w.Password || w.OIDC != nil {
		t.Errorf("%+v, %v", w, err)
	}
	if id, err := p.ann.Whoami(ctx); err != nil || id.Role != "tenant-admin" || id.Tenant != "acme" || id.Method != "session" || id.Expires.IsZero() {
		t.Errorf("%+v, %v", id, err)
	}
	_, err := p.anybody.Login(ctx, "acme/ann", "wrong password")
	wants(t, err, http.StatusUnauthorized)
	_, err = p.anybody.Whoami(ctx)
	wants(t, err, http.StatusUnauthorized)
}

// TestUsers: a tenant's administrator makes users of the tenant and no others; who is disabled is out at once.
func TestUsers(t *testing.T) {
	p := newPersonnel(t)
	ctx := t.Context()
	for _, tc := range []struct {
		by     *client.Client
		user   client.User
		secret string
		status int
	}{
		{p.admin, client.User{Name: "ann", Tenant: "acme", Role: "tenant-viewer"}, "correct horse", http.StatusConflict},
		{p.admin, client.User{Name: "bob", Tenant: "acme", Role: "tenant-viewer"}, "short", http.StatusUnprocessableEntity},
		{p.ann, client.User{Name: "vic", Role: "provider-admin"}, "battery staple", http.StatusForbidden},
	} {
		_, err := tc.by.CreateUser(ctx, client.NewUser{User: tc.user, Password: tc.secret})
		wants(t, err, tc.status)
	}
	if _, err := p.ann.CreateUser(ctx, client.NewUser{User: client.User{Name: "vic", Tenant: "acme", Role: "tenant-viewer"}, Password: "battery staple"}); err != nil {
		t.Fatal(err)
	}
	if users, err := p.ann.Users(ctx); err != nil || len(users) != 2 {
		t.Errorf("%+v, %v", users, err)
	}
	yes := true
	if u, err := p.admin.ChangeUser(ctx, "acme", "ann", client.UserChange{Disabled: &yes}); err != nil || !u.Disabled {
		t.Fatalf("%+v, %v", u, err)
	}
	_, err := p.ann.Whoami(ctx)
	wants(t, err, http.StatusUnauthorized)
	if err := p.admin.DeleteUser(ctx, "acme", "ann"); err != nil {
		t.Fatal(err)
	}
	wants(t, p.admin.DeleteUser(ctx, "acme", "ann"), http.StatusNotFound)
}

// TestTokens: a token does what it was made for, and a stream ends with the token that it was asked for with.
func TestTokens(t *testing.T) {
	p := newPersonnel(t)
	ctx := t.Context()
	made, err := p.ann.CreateToken(ctx, client.NewToken{Name: "ci", Kinds: []topology.Kind{topology.KindBridge}, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	ci := as(t, p.url, made.Secret)
	bridge := objects(t, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}")
	if _, err := ci.Create(ctx, &bridge[0], client.Options{}); err != nil {
		t.Fatal(err)
	}
	router := objects(t, "{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: acme}, spec: {}}")
	_, err = ci.Create(ctx, &router[0], client.Options{})
	wants(t, err, http.StatusForbidden)
	if list, err := p.ann.Tokens(ctx); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- ci.Watch(ctx, client.WatchOptions{ListOptions: client.ListOptions{Kinds: []topology.Kind{topology.KindBridge}}}, func(client.Event) error {
			select {
			case began <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-began
	if err := p.ann.RevokeToken(ctx, made.Token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ann.Patch(ctx, ref(topology.KindBridge, "lan"), client.MergePatch, []byte(`{"metadata":{"labels":{"a":"b"}}}`), client.Options{}); err != nil {
		t.Fatal(err)
	}
	wants(t, <-ended, http.StatusUnauthorized)
}

// TestPasswordsNotTold: what is sent to log in or to make users is not repeated by an answer, however wrong it is.
func TestPasswordsNotTold(t *testing.T) {
	url, first := letIn(t, embedded(t))
	const secret = "hunter-hunter-hunter"
	for _, tc := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/login", `{"user":"x","password":"` + secret + `"}`},
		{http.MethodPost, "/v1/login", `{"user":"x","password":["` + secret + `"]}`},
		{http.MethodPost, "/v1/login", `{"user":"x","passwort":"` + secret + `"}`},
		{http.MethodPost, "/v1/login", `{"user":1,"password":"` + strings.Repeat(secret, 100) + `"}`},
		{http.MethodPost, "/v1/login", `["` + secret + `"]`},
		{http.MethodPost, "/v1/login", `{"password":"` + secret},
		{http.MethodPost, "/v1/users", `{"name":"x","role":"` + secret + `","password":["` + secret + `"]}`},
		{http.MethodPost, "/v1/users", `{"name":"` + secret + `/","role":"provider-admin","password":"` + secret + `"}`},
		{http.MethodPatch, "/v1/users/-/x", `{"oldPassword":{"a":"` + secret + `"}}`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, url+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+first)
		got := do(t, r)
		if got.status/100 != 4 || strings.Contains(got.body, secret) {
			t.Errorf("%s %s: %d %s", tc.method, tc.body, got.status, got.body)
		}
	}
}

// TestLinkThroughAPI: a tenant links to a port that it was granted: its answer has nothing of the provider's, the log has both ends, and the port is let go of with the link.
func TestLinkThroughAPI(t *testing.T) {
	store := embedded(t)
	url, first := letIn(t, store)
	ctx := t.Context()
	admin := as(t, url, first)
	if _, err := admin.Apply(ctx, client.Change{Put: objects(t, `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: acme, tenant: isp}, spec: {device: router/core, addresses: [100.64.0.1/30]}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {ports: [isp/acme]}}
`)}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateToken(ctx, client.NewToken{Role: "tenant-editor", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	acme := as(t, url, made.Secret)
	res, err := acme.Apply(ctx, client.Change{Put: objects(t, `
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: wan, tenant: acme}, spec: {device: router/gw, peer: isp/acme, addresses: [100.64.0.2/30]}}
`)}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range res.Steps {
		if s.Ref.Tenant != "acme" {
			t.Errorf("the tenant is told of %+v", s)
		}
	}
	far := topology.Ref{Kind: topology.KindVPort, Tenant: "isp", Name: "acme"}
	peer := func() string {
		t.Helper()
		o, err := admin.Get(ctx, far)
		if err != nil {
			t.Fatal(err)
		}
		return o.Spec.(*topology.VPortSpec).Peer
	}
	if peer() != "acme/wan" {
		t.Errorf("peer is %q", peer())
	}
	_, err = acme.Get(ctx, far)
	wants(t, err, http.StatusNotFound)
	records, _, err := store.ListAudit(ctx, "", 1)
	if err != nil || len(records) != 1 || len(records[0].Changes) != 3 || records[0].Subject != "token:first" {
		t.Errorf("%+v, %v", records, err)
	}
	got, err := acme.Get(ctx, ref(topology.KindVPort, "wan"))
	if err != nil {
		t.Fatal(err)
	}
	put, err := acme.Put(ctx, &got.Object, client.Options{})
	if err != nil || put.Ref() != got.Ref() {
		t.Errorf("%+v, %v", put, err)
	}
	if _, err := acme.Delete(ctx, ref(topology.KindVPort, "wan"), client.Options{}); err != nil || peer() != "" {
		t.Errorf("peer is %q, %v", peer(), err)
	}
}

// TestTwoServersOneQuota: of changes that come to two servers at once, as many get through as the quota lets, and one takes the last port.
func TestTwoServersOneQuota(t *testing.T) {
	store := embedded(t)
	url, first := letIn(t, store)
	ctx := t.Context()
	admin := as(t, url, first)
	if _, err := admin.Apply(ctx, client.Change{Put: objects(t, `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: last, tenant: isp}, spec: {device: router/core}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {ports: [isp/last], quota: {Bridge: 5}}}
`)}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateToken(ctx, client.NewToken{Role: "tenant-editor", Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	other, none := letIn(t, open(t, stateConfig(store)))
	if none != "" {
		t.Error("a second token of the first run")
	}
	tenants := []*client.Client{as(t, url, made.Secret), as(t, other, made.Secret)}
	var bridges, links, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		c := tenants[i%2]
		try := func(done *atomic.Int64, text string) {
			o := objects(t, text)[0]
			_, err := c.Create(ctx, &o, client.Options{})
			var p *client.Problem
			switch {
			case err == nil:
				done.Add(1)
			case errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity && len(p.Errors) == 1:
				refused.Add(1)
			default:
				t.Error(err)
			}
		}
		wg.Go(func() {
			try(&bridges, fmt.Sprintf("{apiVersion: weft/v1, kind: Bridge, metadata: {name: b%d, tenant: acme}, spec: {}}", i))
			try(&links, fmt.Sprintf("{apiVersion: weft/v1, kind: VPort, metadata: {name: wan%d, tenant: acme}, spec: {device: router/gw, peer: isp/last}}", i))
		})
	}
	wg.Wait()
	if bridges.Load() != 5 || links.Load() != 1 || refused.Load() != 34 {
		t.Errorf("%d bridges of 5, %d links of 1, %d refused", bridges.Load(), links.Load(), refused.Load())
	}
	if list, err := admin.List(context.WithoutCancel(ctx), client.ListOptions{Kinds: []topology.Kind{topology.KindBridge}, Tenant: "acme"}); err != nil || list.Total != 5 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestOpen: a server that is open has no users, and says so.
func TestOpen(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	if id, err := c.Whoami(t.Context()); err != nil || id.Role != "provider-admin" || id.Subject != "local" {
		t.Errorf("%+v, %v", id, err)
	}
	if w, err := c.Ways(t.Context()); err != nil || w.Password || w.OIDC != nil {
		t.Errorf("%+v, %v", w, err)
	}
	_, err := c.Users(t.Context())
	wants(t, err, http.StatusNotFound)
	_, err = c.Login(t.Context(), "x", "correct horse")
	wants(t, err, http.StatusNotFound)
}
