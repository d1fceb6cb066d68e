package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
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

// secureDatabase runs weft etcd with TLS, and returns where it is. The current directory has etcd.crt, operator.crt, their keys and ca.crt.
func secureDatabase(t *testing.T) (endpoint string) {
	t.Helper()
	ca, err := certs.New(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ca.Issue("etcd"), ca.Issue("operator")); err != nil {
		t.Fatal(err)
	}
	out := background(t, "etcd", "--dir", "db", "--listen", "https://127.0.0.1:0", "--no-fsync", "--cert", "etcd.crt", "--key", "etcd.key", "--ca", "ca.crt")
	until(t, func() (bool, string) {
		return strings.HasSuffix(out.String(), "\n"), "weft etcd prints " + out.String()
	})
	if endpoint = strings.TrimSpace(out.String()); !strings.HasPrefix(endpoint, "https://127.0.0.1:") {
		t.Fatalf("weft etcd prints %q", endpoint)
	}
	return endpoint
}

// TestEtcd: a database as a process of its own, with certificates on both sides and passwords; commands are let in by flags or the environment.
func TestEtcd(t *testing.T) {
	atRoot(t)
	endpoint := secureDatabase(t)
	requirePasswords(t, endpoint)
	if err := os.WriteFile("password", []byte("warp\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tls := []string{"--etcd-ca", "ca.crt", "--etcd-cert", "operator.crt", "--etcd-key", "operator.key"}
	password := []string{"--etcd-user", "weft", "--etcd-password-file", "password"}
	command := func(args ...[]string) []string {
		line := []string{"apply", "-f", "examples/reference.yaml", "--etcd", endpoint}
		for _, a := range args {
			line = append(line, a...)
		}
		return line
	}
	if got := foreground(t, command(tls, password)...); strings.Count(got, "created") != 45 {
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
			if text := stderr.String(); code != exitAway || !strings.Contains(text, tc.says) || strings.Contains(text, "warp") {
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

// TestEtcdCluster: three members with certificates between them, and a database that is all of theirs.
func TestEtcdCluster(t *testing.T) {
	atRoot(t)
	ca, err := certs.New(".")
	if err != nil {
		t.Fatal(err)
	}
	// 127.64.0.0/10 by process: nobody else has the ports there.
	host := fmt.Sprintf("127.%d.%d.", 64+os.Getpid()>>8&0x3f, os.Getpid()&0xff)
	var members, endpoints []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("n%d=https://%s%d:2380", i+1, host, 251+i))
		endpoints = append(endpoints, fmt.Sprintf("http://%s%d:2379", host, 251+i))
	}
	if err := ca.Issue("peer", net.ParseIP(host+"251"), net.ParseIP(host+"252"), net.ParseIP(host+"253")); err != nil {
		t.Fatal(err)
	}
	var outs []*buffer
	for i, endpoint := range endpoints {
		name, peer, _ := strings.Cut(members[i], "=")
		outs = append(outs, background(t, "etcd", "--dir", name, "--name", name, "--listen", endpoint, "--listen-peer", peer, "--initial-cluster", strings.Join(members, ","),
			"--peer-cert", "peer.crt", "--peer-key", "peer.key", "--peer-ca", "ca.crt", "--no-fsync"))
	}
	for i, out := range outs {
		until(t, func() (bool, string) { return out.String() == endpoints[i]+"\n", "weft etcd prints " + out.String() })
	}
	t.Setenv("WEFT_ETCD", strings.Join(endpoints, ","))
	foreground(t, "apply", "-f", "examples/reference.yaml")
	got := foreground(t, "etcd", "status", "--etcd", endpoints[1])
	if strings.Count(got, " leader ") != 1 || strings.Count(got, " follower ") != 2 {
		t.Errorf("etcd status prints\n%s", got)
	}
	if got := foreground(t, "etcd", "reclaim"); strings.Count(got, ": its file had ") != 3 || strings.Count(got, " is the leader now") != 1 {
		t.Errorf("etcd reclaim prints\n%s", got)
	}
	if got := foreground(t, "get", "vport/acme/web", "-o", "name", "--etcd", endpoints[2]); got != "vport/acme/web\n" {
		t.Errorf("get prints %s", got)
	}
}

// secureAgent is the configuration of an edge whose database and status server want certificates, in the current directory.
const secureAgent = `etcd: {endpoints: ["$WEFT_ETCD"], tls: {ca: ca.crt, cert: operator.crt, key: operator.key}}
listen: 127.0.0.1:0
listenTLS: {cert: etcd.crt, key: etcd.key, ca: ca.crt}
edges:
- id: nic1
  target: {address: "unix:$PWD/sw", profile: softswitch}
  vteps: [198.51.100.1]
  uplinks: [{port: 256, mac: 02:ed:00:00:00:01, addresses: [192.0.2.2], gateways: [192.0.2.1]}]
`

// TestFlowsOverTLS: weft flows finds an agent by the database, and is let in by its certificate alone.
func TestFlowsOverTLS(t *testing.T) {
	atRoot(t)
	for name, value := range map[string]string{
		"WEFT_ETCD": secureDatabase(t), "WEFT_ETCD_CA": "ca.crt", "WEFT_ETCD_CERT": "operator.crt", "WEFT_ETCD_KEY": "operator.key",
	} {
		t.Setenv(name, value)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PWD", dir)
	if err := os.WriteFile("agent.yaml", []byte(os.ExpandEnv(secureAgent)), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, "softswitch", "--no-p4", "--cpu-port", "510", "--grpc-server-addr", "unix:"+dir+"/sw")
	background(t, "agent", "--config", "agent.yaml")
	untilEdge(t, "nic1")
	if got := foreground(t, "flows", "--agent-ca", "ca.crt", "--agent-cert", "operator.crt", "--agent-key", "operator.key"); !strings.HasPrefix(got, "EDGE ") {
		t.Errorf("flows prints %s", got)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"flows", "--agent-ca", "ca.crt"}, &stdout, &stderr); code != exitFailed ||
		!strings.HasPrefix(stderr.String(), "weft flows: edge nic1: agent at https://127.0.0.1:") || !strings.Contains(stderr.String(), "certificate required") {
		t.Errorf("without a certificate: status %d, %s", code, stderr.Bytes())
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
