package api

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/testbed/certs"
	"github.com/weft-sdn/weft/topology"
)

// certsIn makes an authority, and certificates of it, whose files are in a directory.
func certsIn(t *testing.T, dir string, names ...string) *certs.Authority {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := certs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := ca.Issue(name); err != nil {
			t.Fatal(err)
		}
	}
	return ca
}

// write writes a file.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fieldPaths are the fields of a configuration, those of structs below their struct's: limits, limits.rate.
func fieldPaths(t reflect.Type, at string) (paths []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			paths = append(append(paths, at+name), fieldPaths(t.Field(i).Type, at+name+".")...)
		}
	}
	return paths
}

// TestExampleConfig: the example is valid, says what it seems to say, and has every field.
func TestExampleConfig(t *testing.T) {
	dir := t.TempDir()
	files := filepath.Join(dir, "tls")
	ca := certsIn(t, files, "api", "server")
	pem, err := os.ReadFile(ca.Cert("ca"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etcd-ca.crt", "agents-ca.crt", "idp-ca.crt"} {
		write(t, filepath.Join(files, name), string(pem))
	}
	write(t, filepath.Join(files, "password"), "warp\n")
	write(t, filepath.Join(dir, "api.yaml"), Example)
	got, err := Load(filepath.Join(dir, "api.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(files, name) }
	want := &Config{
		Etcd: agent.Etcd{
			Endpoints: []string{"https://192.0.2.11:2379", "https://192.0.2.12:2379", "https://192.0.2.13:2379"},
			TLS:       agent.TLS{CA: in("etcd-ca.crt"), Cert: in("api.crt"), Key: in("api.key")}, Username: "weft", PasswordFile: in("password"),
		},
		Listen: "[::]:9580", TLS: agent.TLS{CA: in("agents-ca.crt"), Cert: in("server.crt"), Key: in("server.key")},
		OIDC: &access.OIDC{
			Issuer: "https://login.example.net", ClientID: "weft", CA: in("idp-ca.crt"), Name: "preferred_username", RoleFrom: "groups", Tenant: "tenant", Scopes: []string{"openid", "profile", "email"},
			Rules: []access.OIDCRule{
				{Value: "netops", Role: access.ProviderAdmin}, {Value: "acme-admins", Role: access.TenantAdmin, Tenant: "acme"}, {Value: "customers", Role: access.TenantViewer},
			},
		},
		GNMI: "[::]:9339", Metrics: DefaultMetrics,
		Limits: Limits{Rate: 200, Burst: 400, Body: 16, Watches: 1000}, Audit: Audit{Days: 90, Records: 100_000}, Log: agent.Log{Level: "info", Format: "text"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, path := range fieldPaths(reflect.TypeFor[Config](), "") {
		if field := path[strings.LastIndexByte(path, '.')+1:]; !strings.Contains(Example, field+":") {
			t.Errorf("the example does not have field %s", path)
		}
	}
}

// TestDefaults: what is left out is what the documentation says that it is, and the limits of the example are the defaults.
func TestDefaults(t *testing.T) {
	c, err := Decode("a.yaml", t.TempDir(), []byte(smallConfig))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Etcd: agent.Etcd{Endpoints: []string{"http://127.0.0.1:2379"}}, Listen: "127.0.0.1:9580", Plain: true, Metrics: "127.0.0.1:9581",
		Limits: Limits{Rate: 200, Burst: 400, Body: 16, Watches: 1000}, Audit: Audit{Days: 90, Records: 100_000}, Log: agent.Log{Level: "info", Format: "text"},
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if c, err = Decode("a.yaml", t.TempDir(), []byte(smallConfig+"limits: {rate: 7}\n")); err != nil || c.Limits.Burst != 14 {
		t.Errorf("burst of a rate of 7: %+v, %v", c, err)
	}
}

// TestConfigDocument: docs/api.md has a row for every field and no others, its example is valid, and docs/access.md has the fields of an OpenID provider.
func TestConfigDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(b), "\n## Configuration\n")
	part, _, _ = strings.Cut(part, "\n## ")
	rows := map[string]bool{}
	for line := range strings.Lines(part) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.HasPrefix(line, "| `") && !strings.Contains(cells[1], "weft_") {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				rows[name[1]] = true
			}
		}
	}
	all := fieldPaths(reflect.TypeFor[Config](), "")
	known := map[string]bool{}
	for _, path := range all {
		known[path] = true
		has := rows[path]
		for at := path; !has && strings.Contains(at, "."); has = rows[at] {
			at = at[:strings.LastIndexByte(at, '.')]
		}
		for row := range rows {
			has = has || strings.HasPrefix(row, path+".")
		}
		if !has && path != "tls.serverName" { // which is for clients
			t.Errorf("docs/api.md has no row for %s", path)
		}
	}
	for row := range rows {
		if !known[row] {
			t.Errorf("docs/api.md has a row for %s, which is no field", row)
		}
	}
	_, rest, _ := strings.Cut(part, "```yaml\n")
	example, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("docs/api.md has no example")
	}
	dir := t.TempDir()
	certsIn(t, dir, "server")
	pem, _ := os.ReadFile(filepath.Join(dir, "ca.crt"))
	write(t, filepath.Join(dir, "etcd-ca.crt"), string(pem))
	if _, err := Decode("docs/api.md", dir, []byte(example)); err != nil {
		t.Error(err)
	}
	if b, err = os.ReadFile("../docs/access.md"); err != nil {
		t.Fatal(err)
	}
	for _, path := range fieldPaths(reflect.TypeFor[access.OIDC](), "") {
		if field := path[strings.LastIndexByte(path, '.')+1:]; !strings.Contains(string(b), field+":") && !strings.Contains(string(b), "`oidc."+field+"`") {
			t.Errorf("docs/access.md does not tell of oidc.%s", path)
		}
	}
}

const smallConfig = `etcd: {endpoints: ["http://127.0.0.1:2379"]}
plain: true
`

// TestConfigErrors: each names file, line, field, value and what would do; all of them come at once.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	certsIn(t, dir, "server")
	tls := "tls: {cert: server.crt, key: server.key}\n"
	const oidc = "oidc: {issuer: https://login.example.net, clientID: weft, rules: [{value: netops, role: provider-admin}]}\n"
	for _, tc := range []struct{ old, new, want string }{
		{"etcd: {", "etc: {", "a.yaml:1: etc: is not a known field; use one of etcd, listen, tls, plain, open, metrics, gnmi, oidc, agents, limits, audit, log"},
		{"plain: true", "plain: yes", `a.yaml:2: plain: "yes" is neither true nor false`},
		{"plain: true", "plain: true\nplain: true", `a.yaml:3: mapping key "plain" already defined at [2:1]`},
		{`"http://127.0.0.1:2379"`, "", "a.yaml:1: etcd.endpoints: is missing; list etcd's client URLs, such as https://192.0.2.1:2379"},
		{"plain: true", "listen: 9580", `a.yaml:2: listen: "9580" is not HOST:PORT; use one such as 127.0.0.1:9580 or [::]:9580`},
		{"plain: true", "plain: true\nmetrics: x", `a.yaml:3: metrics: "x" is not HOST:PORT; use one such as 127.0.0.1:9580 or [::]:9580`},
		{"plain: true", "plain: true\ngnmi: x", `a.yaml:3: gnmi: "x" is not HOST:PORT; use one such as [::]:9339, or leave it out`},
		{"plain: true", "plain: true\ngnmi: '[::]:9339'", `a.yaml:3: gnmi: "[::]:9339" is reached from elsewhere, and plain and open are for this machine alone; use a loopback address, or leave it out`},
		{"plain: true", "", "a.yaml:1: tls.cert: is missing; name PEM files of the server's certificate and its key; plain: true goes without, on this machine alone"},
		{"plain: true", "plain: true\nlisten: 192.0.2.1:9580", `a.yaml:2: plain: "true" is for this machine alone, and listen is 192.0.2.1:9580; listen at a loopback address, or give tls.cert and tls.key`},
		{"plain: true", "plain: true\n" + tls, `a.yaml:2: plain: "true" goes without tls; leave one of them out`},
		{"plain: true", "tls: {cert: server.crt}", "a.yaml:2: tls.key: is missing; name the PEM file of the certificate's key"},
		{"plain: true", "tls: {cert: none.crt, key: server.key}", `a.yaml:2: tls.cert: "` + dir + `/none.crt" can't be used with ` + dir + `/server.key: no such file or directory; name PEM files of a certificate and its key`},
		{"plain: true", tls + "agents: {ca: none.crt}", `a.yaml:3: agents.ca: "` + dir + `/none.crt" can't be used: no such file or directory; name a PEM file of certificates`},
		{"plain: true", tls + "open: true\nlisten: '[::]:9580'", `a.yaml:3: open: "true" is for this machine alone, and listen is [::]:9580; listen at a loopback address, or leave it out`},
		{"plain: true", "plain: true\nopen: true\n" + oidc, "a.yaml:4: oidc: is of no use with open; leave one of them out"},
		{"plain: true", "plain: true\noidc: {}", "a.yaml:3: oidc.clientID: is missing; give that of weft at the provider"},
		{"plain: true", "plain: true\n" + strings.Replace(oidc, "https:", "http:", 1), `a.yaml:3: oidc.issuer: "http://login.example.net" is no https URL; use that of the OpenID provider, as it stands in its tokens`},
		{"plain: true", "plain: true\n" + strings.Replace(oidc, "value: netops", "valeu: netops", 1), "a.yaml:3: oidc.rules[0].valeu: is not a known field; use one of value, role, tenant"},
		{"plain: true", "plain: true\n" + strings.Replace(oidc, "provider-admin", "agent", 1), `a.yaml:3: oidc.rules[0].role: "agent" is no role; use provider-admin, provider-viewer, tenant-admin, tenant-editor or tenant-viewer`},
		{"plain: true", "plain: true\nlimits: {body: 65}", `a.yaml:3: limits.body: "65" is more than the database takes; use 1 to 64`},
		{"plain: true", "plain: true\nlimits: {rate: -1}", `a.yaml:3: limits.rate: "-1" is not a number in range; use 0 to 4294967295`},
		{"plain: true", "plain: true\nlog: {level: loud}", `a.yaml:3: log.level: "loud" is not known; use one of info, debug, warn, error`},
	} {
		_, err := Decode("a.yaml", dir, []byte(strings.Replace(smallConfig, tc.old, tc.new, 1)))
		var list topology.Errors
		if !errors.As(err, &list) || !strings.Contains("\n"+err.Error()+"\n", "\n"+tc.want+"\n") {
			t.Errorf("%q:\n got %v\nwant %s", tc.new, err, tc.want)
		}
	}
	if _, err := Decode("a.yaml", dir, []byte("log: {level: x}\nlisten: y\n")); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("want four errors at once: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(smallConfig))
	f.Add([]byte(Example))
	f.Add([]byte("oidc: {rules: [{}, 1, []]}\nlimits: {rate: 1e9}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode("a.yaml", "/nowhere", data)
		if err == nil && (len(c.Etcd.Endpoints) == 0 || !c.Plain || !isLocal(c.Listen) || c.Limits.Rate == 0 || c.Limits.Body == 0) {
			t.Errorf("accepted: %+v", c)
		}
	})
}
