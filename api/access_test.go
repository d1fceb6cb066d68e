package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// tenantNetwork has an object of every kind that a tenant can have.
const tenantNetwork = `
{apiVersion: weft/v1, kind: Router, metadata: {name: router, tenant: TENANT}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: bridge, tenant: TENANT}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vport, tenant: TENANT}, spec: {device: bridge/bridge, addresses: [10.0.0.2/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: wan, tenant: TENANT}, spec: {device: router/router, addresses: [192.0.2.1/24]}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: binding, tenant: TENANT}, spec: {vport: vport, edge: e-TENANT, interface: "1"}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: chain, tenant: TENANT}, spec: {}}
---
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: addressgroup, tenant: TENANT}, spec: {addresses: [10.0.0.9]}}
---
{apiVersion: weft/v1, kind: PortGroup, metadata: {name: portgroup, tenant: TENANT}, spec: {ports: [vport]}}
---
{apiVersion: weft/v1, kind: DHCP, metadata: {name: dhcp, tenant: TENANT}, spec: {dns: [10.0.0.9]}}
---
{apiVersion: weft/v1, kind: Pool, metadata: {name: pool, tenant: TENANT}, spec: {members: [{address: 10.0.0.2}]}}
---
{apiVersion: weft/v1, kind: SecurityGroup, metadata: {name: securitygroup, tenant: TENANT}, spec: {}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: floatingip, tenant: TENANT}, spec: {addresses: [203.0.113.NET], vport: vport, router: router, outside: [wan]}}
---
{apiVersion: weft/v1, kind: SNATGateway, metadata: {name: snatgateway, tenant: TENANT}, spec: {sources: [10.0.0.0/24], addresses: [203.0.113.NET], router: router, outside: [wan]}}
---
{apiVersion: weft/v1, kind: BGPSession, metadata: {name: bgpsession, tenant: TENANT}, spec: {vport: wan, localAS: 64500, peerAS: 64501, peerAddress: 192.0.2.9}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: TENANT}, spec: {device: router/router, mtu: 1400, addresses: [10.99.0.1/24]}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: vpn, tenant: TENANT}, spec: {vport: office, peers: [{name: p, endpoint: "192.0.2.8:51820", allowedIPs: [10.98.0.0/16]}]}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: TENANT, tenant: TENANT}, spec: {prefixes: [203.0.113.NET/32]}}
`

const providerNetwork = `
{apiVersion: weft/v1, kind: Fabric, metadata: {name: fabric, tenant: isp}, spec: {}}
`

// callers are those who ask, by role. Those of tenants are of acme.
var callers = map[access.Role]access.Identity{
	access.ProviderAdmin:  {Subject: "user:admin", Role: access.ProviderAdmin},
	access.ProviderViewer: {Subject: "user:viewer", Role: access.ProviderViewer},
	access.TenantAdmin:    {Subject: "user:acme/admin", Role: access.TenantAdmin, Tenant: "acme"},
	access.TenantEditor:   {Subject: "user:acme/editor", Role: access.TenantEditor, Tenant: "acme"},
	access.TenantViewer:   {Subject: "user:acme/viewer", Role: access.TenantViewer, Tenant: "acme"},
	access.Agent:          {Subject: "agent:e1", Role: access.Agent},
}

// known is a guard that takes the name of a role for a token, and decides as the real one does.
type known struct{ *access.Guard }

// Authenticate implements Guard.
func (k known) Authenticate(r *http.Request) (access.Identity, error) {
	if id, ok := callers[access.Role(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))]; ok {
		return id, nil
	}
	return k.Guard.Authenticate(r)
}

// guardedStore is guarded, and tells the store.
func guardedStore(t *testing.T, at **state.Store) (url string, g *access.Guard) {
	t.Helper()
	store := embedded(t)
	*at = store
	g, err := access.New(access.Config{Store: store, PasswordCost: 4})
	if err != nil {
		t.Fatal(err)
	}
	running(t, g.Run)
	url = serve(t, store, func(o *Options) { o.Guard, o.Accounts = known{g}, g })
	text := providerNetwork
	for i, tenant := range []string{"acme", "globex"} {
		text += "---\n" + strings.NewReplacer("TENANT", tenant, "NET", fmt.Sprint(10+i)).Replace(tenantNetwork)
	}
	list := objects(t, text)
	put := make([]*topology.Object, len(list))
	kinds := map[topology.Kind]bool{}
	for i := range list {
		put[i], kinds[list[i].Kind] = &list[i], true
	}
	for _, k := range topology.Kinds() {
		if !kinds[k] {
			t.Errorf("the network of this test has no %s: add one", k)
		}
	}
	if _, err := store.Apply(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	admin := callers[access.ProviderAdmin]
	for _, tenant := range []string{"acme", "globex"} {
		if _, err := g.CreateUser(t.Context(), admin, access.User{Name: "ann", Tenant: tenant, Role: access.TenantEditor}, "correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	return url, g
}

// asked is an answer.
type asked struct {
	status int
	body   string
}

// ask makes a request of a role, "" for nobody. Of a stream it reads nothing.
func ask(t *testing.T, url string, role access.Role, method, path, contentType, body string) asked {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+string(role))
	}
	r.Header.Set("X-Request-Id", "r")
	return do(t, r)
}

// do makes a request.
func do(t *testing.T, r *http.Request) asked {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return asked{resp.StatusCode, ""}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return asked{resp.StatusCode, string(b)}
}

// Whom an operation is for, on objects of the caller's tenant. It is for the provider's on objects of any.
var (
	everybody = []access.Role{access.ProviderAdmin, access.ProviderViewer, access.TenantAdmin, access.TenantEditor, access.TenantViewer, access.Agent}
	people    = everybody[:5]
	editors   = []access.Role{access.ProviderAdmin, access.TenantAdmin, access.TenantEditor}
	admins    = []access.Role{access.ProviderAdmin, access.TenantAdmin}
	watchmen  = []access.Role{access.ProviderAdmin, access.ProviderViewer, access.Agent}
	owner     = []access.Role{access.ProviderAdmin}
)

// ofKind says who may read and who may change objects of a kind.
func ofKind(k topology.Kind) (read, write []access.Role) {
	switch k {
	case topology.KindFabric:
		return watchmen, owner
	case topology.KindBinding, topology.KindBGPSession, topology.KindVPN, topology.KindTenant:
		return everybody, owner
	}
	return everybody, editors
}

// route is one operation of the API, and who may carry it out.
type route struct {
	id, method, path string
	may              []access.Role
	list             bool                       // of another's there is nothing in it, rather than a refusal
	fabric           bool                       // no tenant has such objects: to one of its own the answer is that it may not
	nobody           bool                       // also who has not shown who he is
	noObject         bool                       // there is no object that could be another's
	body             func(tenant string) string // of a request
	contentType      string
}

// routes are all operations that the API says it has, with what is expected of them. One that this test does not know fails it.
func routes(t *testing.T, url string) []route {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(ask(t, url, "", http.MethodGet, "/openapi.json", "", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	var all []route
	for path, methods := range doc.Paths {
		for method, op := range methods {
			r, ok := expectation(t, url, op.OperationID)
			if !ok {
				t.Errorf("%s %s (%s): who may do that? Say so in expectation", method, path, op.OperationID)
				continue
			}
			r.id, r.method, r.path = op.OperationID, strings.ToUpper(method), path
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.id, b.id) })
	return all
}

// expectation is what is expected of an operation.
func expectation(t *testing.T, url, id string) (route, bool) {
	t.Helper()
	for _, k := range topology.Kinds() {
		verb, is := strings.CutSuffix(id, string(k))
		if !is {
			continue
		}
		read, write := ofKind(k)
		fabric := k == topology.KindFabric
		stored := func(tenant string) string { return objectOf(t, url, k, tenant) }
		switch verb {
		case "list":
			return route{may: read, noObject: true}, true
		case "listTenant":
			return route{may: read, list: true, fabric: fabric}, true
		case "get":
			return route{may: read, fabric: fabric}, true
		case "create":
			return route{may: write, fabric: fabric, body: func(tenant string) string { return strings.Replace(stored(tenant), `"name":"`, `"name":"x`, 1) }}, true
		case "put":
			return route{may: write, fabric: fabric, body: stored}, true
		case "patch":
			return route{may: write, fabric: fabric, body: func(string) string { return `{"metadata":{"labels":{"a":"b"}}}` }, contentType: "application/merge-patch+json"}, true
		case "delete":
			return route{may: write, fabric: fabric}, true
		}
	}
	user := func(tenant string) string {
		return `{"name":"eve","tenant":"` + tenant + `","role":"tenant-viewer","password":"battery staple"}`
	}
	change := func(string) string { return `{"disabled":false}` }
	r, ok := map[string]route{
		"listObjects":    {may: everybody, noObject: true},
		"watch":          {may: everybody, noObject: true},
		"apply":          {may: editors, body: func(tenant string) string { return `{"put":[` + objectOf(t, url, topology.KindVPort, tenant) + `]}` }},
		"ways":           {may: everybody, noObject: true, nobody: true},
		"login":          {may: everybody, noObject: true, nobody: true, body: func(string) string { return `{"user":"acme/ann","password":"correct horse"}` }},
		"logout":         {may: everybody, noObject: true},
		"whoami":         {may: everybody, noObject: true},
		"listTokens":     {may: everybody, noObject: true},
		"createToken":    {may: people, noObject: true, body: func(string) string { return `{}` }},
		"revokeToken":    {may: people},
		"listUsers":      {may: admins, noObject: true},
		"createUser":     {may: admins, body: user},
		"getUser":        {may: admins},
		"changeUser":     {may: admins, body: change},
		"deleteUser":     {may: admins},
		"viewEdges":      {may: watchmen, noObject: true},
		"viewInterfaces": {may: watchmen, noObject: true},
		"viewTelemetry":  {may: watchmen, noObject: true},
		"viewRpki":       {may: watchmen, noObject: true},
		"viewAudit":      {may: []access.Role{access.ProviderAdmin, access.ProviderViewer, access.TenantAdmin}, noObject: true},
		"applied":        {may: people, noObject: true},
		"traceLive":      {may: people, noObject: true, body: func(tenant string) string { return `{"vport":"` + tenant + `/vport","seconds":1}` }},
		"trace":          {may: people, noObject: true, body: func(tenant string) string { return `{"vport":"` + tenant + `/vport","dst":"10.0.0.3"}` }},
	}[id]
	if _, is := strings.CutPrefix(id, "view"); is && !ok {
		return route{may: people, noObject: true}, true // TestViewsOfTenants tries those of others
	}
	return r, ok
}

// trial asks what the routes answer.
type trial struct {
	t   *testing.T
	url string
	g   *access.Guard
}

// path is where a route is for an object of a tenant.
func (r *route) at(tenant, name string) string {
	path := strings.NewReplacer("{tenant}", tenant, "{name}", name).Replace(r.path)
	switch r.id {
	case "applied":
		return path + "?revision=1"
	case "trace", "traceLive":
		return path
	}
	if r.body != nil && strings.Contains(r.path, "/v1/users") || strings.HasPrefix(r.path, "/v1/log") || strings.HasPrefix(r.path, "/v1/tokens") || strings.HasPrefix(r.path, "/v1/users") || r.method == http.MethodGet {
		return path
	}
	return path + "?dryRun=true"
}

// name is that of the object that a tenant has.
func (r *route) name(tenant string) string {
	for _, k := range topology.Kinds() {
		if strings.HasPrefix(r.path, "/v1/"+client.Plural(k)+"/") {
			if k == topology.KindTenant {
				return tenant
			}
			return strings.ToLower(string(k))
		}
	}
	return "ann" // a user
}

func (tr *trial) ask(r *route, role access.Role, path, tenant string) asked {
	tr.t.Helper()
	body, contentType := "", r.contentType
	if r.body != nil {
		body = r.body(tenant)
	}
	if contentType == "" {
		contentType = "application/json"
	}
	return ask(tr.t, tr.url, role, r.method, path, contentType, body)
}

// users are there, whoever removed them.
func (tr *trial) users() {
	tr.t.Helper()
	for _, tenant := range []string{"acme", "globex"} {
		u := access.User{Name: "ann", Tenant: tenant, Role: access.TenantEditor}
		if _, err := tr.g.CreateUser(tr.t.Context(), callers[access.ProviderAdmin], u, "correct horse"); err != nil && !errors.Is(err, access.ErrExists) {
			tr.t.Fatal(err)
		}
	}
}

// let reports whether an answer is that of somebody who may.
func (a asked) let() bool {
	return a.status != http.StatusUnauthorized && a.status != http.StatusForbidden && a.status != http.StatusNotFound && a.status < 500
}

// own tries a route on an object of the caller's tenant; of the provider's, on one of acme's.
func (tr *trial) own(r *route, role access.Role) {
	tr.t.Helper()
	tenant := "acme"
	if r.fabric && !role.OfTenant() {
		tenant = "isp"
	}
	got := tr.ask(r, role, r.at(tenant, r.name(tenant)), tenant)
	switch may := slices.Contains(r.may, role); {
	case may && !got.let():
		tr.t.Errorf("%s: %s may, but the answer is %d %s", r.id, role, got.status, got.body)
	case !may && got.status != http.StatusForbidden:
		tr.t.Errorf("%s: %s may not, but the answer is %d %s", r.id, role, got.status, got.body)
	}
}

// anothers tries a route on an object of another tenant: what a tenant is told is the same as of what is not there.
func (tr *trial) anothers(r *route, role access.Role) {
	tr.t.Helper()
	if r.noObject || r.fabric && !role.OfTenant() {
		return
	}
	got := tr.ask(r, role, r.at("globex", r.name("globex")), "globex")
	if !role.OfTenant() {
		if may := slices.Contains(r.may, role); may != got.let() {
			tr.t.Errorf("%s: %s, of another tenant: %d %s, may: %v", r.id, role, got.status, got.body, may)
		}
		return
	}
	if r.list {
		var l client.List
		if err := json.Unmarshal([]byte(got.body), &l); got.status != http.StatusOK || err != nil || len(l.Items) != 0 || l.Total != 0 {
			tr.t.Errorf("%s: %s, of another tenant: %d %s", r.id, role, got.status, got.body)
		}
	} else if got.status != http.StatusNotFound {
		tr.t.Errorf("%s: %s, of another tenant: %d %s, want 404", r.id, role, got.status, got.body)
	}
	plain := func(a asked, tenant, name string) string {
		return fmt.Sprint(a.status, " ", regexp.MustCompile(`\b`+tenant+`/x?(`+name+`|`+r.name("globex")+`|vport)\b`).ReplaceAllString(a.body, "IT"))
	}
	told := plain(got, "globex", r.name("globex"))
	for _, other := range [][2]string{{"globex", "nothing"}, {"nobody", r.name("nobody")}} {
		body := *r
		if r.body != nil {
			body.body = func(string) string { // the same, of what is not there
				text := strings.ReplaceAll(r.body("globex"), `"tenant":"globex"`, `"tenant":"`+other[0]+`"`)
				return strings.Replace(text, `"name":"`+r.name("globex")+`"`, `"name":"`+other[1]+`"`, 1)
			}
		}
		absent := tr.ask(&body, role, r.at(other[0], other[1]), other[0])
		if is := plain(absent, other[0], other[1]); is != told {
			tr.t.Errorf("%s: %s is told %s of another tenant's, but %s of what is not there", r.id, role, told, is)
		}
	}
}

// TestEveryRoute: every route × role × own or another's object has the answer that is expected of it, and a route without expectation fails.
func TestEveryRoute(t *testing.T) {
	url, g := guarded(t)
	tr := &trial{t, url, g}
	all := routes(t, url)
	if len(all) < 7*len(topology.Kinds()) {
		t.Errorf("%d routes", len(all))
	}
	for i := range all {
		r := &all[i]
		account := strings.HasPrefix(r.path, "/v1/users")
		if r.id == "revokeToken" {
			tr.revoke(r)
		}
		for _, role := range []access.Role{"", "weft_x"} {
			if got := tr.ask(r, role, r.at("acme", r.name("acme")), "acme"); (got.status == http.StatusUnauthorized) == r.nobody {
				t.Errorf("%s: nobody: %d %s", r.id, got.status, got.body)
			}
		}
		if r.id == "revokeToken" {
			continue
		}
		for role := range callers {
			if account {
				tr.users()
			}
			tr.own(r, role)
			if account {
				tr.users()
			}
			tr.anothers(r, role)
		}
	}
	t.Logf("%d routes of %d roles", len(all), len(callers)+1)
}

// revoke tries to revoke one's own token, another tenant's, and one that is not there.
func (tr *trial) revoke(r *route) {
	tr.t.Helper()
	make := func(id access.Identity) string {
		tok, _, err := tr.g.CreateToken(tr.t.Context(), id, access.NewToken{})
		if err != nil {
			tr.t.Fatal(err)
		}
		return tok.ID
	}
	other := access.Identity{Subject: "user:globex/admin", Role: access.TenantAdmin, Tenant: "globex"}
	for role, id := range callers {
		absent := ask(tr.t, tr.url, role, r.method, "/v1/tokens/nothing", "", "")
		others := ask(tr.t, tr.url, role, r.method, "/v1/tokens/"+make(other), "", "")
		if role == access.ProviderAdmin {
			if others.status != http.StatusNoContent || absent.status != http.StatusNotFound {
				tr.t.Errorf("%s: %s: another's %d, none %d", r.id, role, others.status, absent.status)
			}
		} else if others != absent || absent.status != http.StatusNotFound {
			tr.t.Errorf("%s: %s: another's %v, none %v", r.id, role, others, absent)
		}
		if role == access.Agent {
			continue // has none
		}
		if own := ask(tr.t, tr.url, role, r.method, "/v1/tokens/"+make(id), "", ""); own.status != http.StatusNoContent {
			tr.t.Errorf("%s: %s: his own %d %s", r.id, role, own.status, own.body)
		}
	}
}
