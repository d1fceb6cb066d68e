package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/certs"
)

// TestEtcd: a database as a process of its own, with certificates on both sides and passwords; commands are let in by flags or the environment.
func TestEtcd(t *testing.T) {
	atRoot(t)
	ca, err := certs.New(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ca.Issue("etcd"), ca.Issue("operator"), os.WriteFile("password", []byte("warp\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := background(t, "etcd", "--dir", "db", "--listen", "https://127.0.0.1:0", "--no-fsync", "--cert", "etcd.crt", "--key", "etcd.key", "--ca", "ca.crt")
	until(t, func() (bool, string) { return strings.HasSuffix(out.String(), "\n"), "weft etcd prints " + out.String() })
	endpoint := strings.TrimSpace(out.String())
	if !strings.HasPrefix(endpoint, "https://127.0.0.1:") {
		t.Fatalf("weft etcd prints %q", endpoint)
	}
	requirePasswords(t, endpoint)

	tls := []string{"--etcd-ca", "ca.crt", "--etcd-cert", "operator.crt", "--etcd-key", "operator.key"}
	password := []string{"--etcd-user", "weft", "--etcd-password-file", "password"}
	command := func(args ...[]string) []string {
		line := []string{"apply", "-f", "examples/reference.yaml", "--etcd", endpoint}
		for _, a := range args {
			line = append(line, a...)
		}
		return line
	}
	if got := foreground(t, command(tls, password)...); strings.Count(got, "created") != 37 {
		t.Errorf("apply prints %s", got)
	}
	if err := os.WriteFile("wrong", []byte("woof"), 0o600); err != nil {
		t.Fatal(err)
	}
	var refused sync.WaitGroup
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"no certificate": {command(tls[:2], password), "certificate required"},
		"no authority":   {command(tls[2:], password), "unknown authority"},
		"no password":    {command(tls), "permission denied"},
		"wrong password": {command(tls, password[:2], []string{"--etcd-password-file", "wrong"}), "authentication failed"},
	} {
		refused.Go(func() { // at once: each waits for a connection for a while
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tc.args, &stdout, &stderr)
			if text := stderr.String(); code != exitFailed || !strings.Contains(text, tc.says) || strings.Contains(text, "warp") {
				t.Errorf("%s: status %d, %s", name, code, text)
			}
		})
	}
	refused.Wait()

	for name, value := range map[string]string{
		"WEFT_ETCD": endpoint, "WEFT_ETCD_CA": "ca.crt", "WEFT_ETCD_CERT": "operator.crt", "WEFT_ETCD_KEY": "operator.key",
		"WEFT_ETCD_USER": "weft", "WEFT_ETCD_PASSWORD_FILE": "password",
	} {
		t.Setenv(name, value)
	}
	if got := foreground(t, "get", "vport/acme/web", "-o", "name"); got != "vport/acme/web\n" {
		t.Errorf("get prints %s", got)
	}
}

// requirePasswords makes user weft, who may use /weft/ and nothing else, and lets nobody in without a password.
func requirePasswords(t *testing.T, endpoint string) {
	t.Helper()
	cfg, err := (&agent.Etcd{Endpoints: []string{endpoint}, TLS: agent.TLS{CA: "ca.crt", Cert: "operator.crt", Key: "operator.key"}}).Client()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := state.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, user := range []struct{ name, password, from, to string }{
		{"root", "secret", "\x00", "\x00"}, {"weft", "warp", "/weft/", clientv3.GetPrefixRangeEnd("/weft/")},
	} {
		_, err1 := admin.UserAdd(t.Context(), user.name, user.password)
		_, err2 := admin.RoleAdd(t.Context(), user.name)
		_, err3 := admin.RoleGrantPermission(t.Context(), user.name, user.from, user.to, clientv3.PermissionType(authpb.READWRITE))
		_, err4 := admin.UserGrantRole(t.Context(), user.name, user.name)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.AuthEnable(t.Context()); err != nil {
		t.Fatal(err)
	}
}
