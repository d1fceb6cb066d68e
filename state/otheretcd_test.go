package state

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// otherEtcd is an etcd of other people's make.
var otherEtcd = flavour{name: "another etcd", make: func(t *testing.T, cfg EmbeddedConfig) *exec.Cmd {
	path, err := otherEtcdPath()
	if err != nil {
		t.Skipf("NOT RUN WITH ANOTHER ETCD: %v", err)
	}
	m := cfg.Cluster
	var all []string
	for name, url := range m.Members {
		all = append(all, name+"="+url)
	}
	slices.Sort(all)
	args := []string{
		"--name", m.Name, "--data-dir", cfg.Dir, "--listen-client-urls", cfg.Listen[0], "--advertise-client-urls", cfg.Listen[0],
		"--listen-peer-urls", m.Listen[0], "--initial-advertise-peer-urls", m.Members[m.Name], "--initial-cluster", strings.Join(all, ","),
		"--max-txn-ops", fmt.Sprint(maxTxnOps), "--max-request-bytes", fmt.Sprint(maxRequestBytes),
	}
	if m.Join {
		args = append(args, "--initial-cluster-state", "existing")
	}
	if cfg.TokenTTL > 0 {
		args = append(args, "--auth-token-ttl", fmt.Sprint(int(cfg.TokenTTL/time.Second)))
	}
	if cfg.CertFile != "" {
		args = append(args, "--cert-file", cfg.CertFile, "--key-file", cfg.KeyFile, "--trusted-ca-file", cfg.CAFile, "--client-cert-auth",
			"--peer-cert-file", m.CertFile, "--peer-key-file", m.KeyFile, "--peer-trusted-ca-file", m.CAFile, "--peer-client-cert-auth")
	}
	return exec.Command(path, args...)
}}

// otherEtcdPath is the etcd on PATH if weft takes it (Debian 12's is too old), else etcd 3.5 as testdata/otheretcd has it built.
var otherEtcdPath = sync.OnceValues(func() (string, error) {
	var version string
	if path, err := exec.LookPath("etcd"); err == nil {
		if out, err := exec.Command(path, "--version").Output(); err == nil {
			_, _ = fmt.Sscanf(string(out), "etcd Version: %s", &version)
		}
		if version != "" && !tellsTooSoon(version) {
			return path, nil
		}
	}
	build := exec.Command("go", "tool", "-n", "go.etcd.io/etcd/server/v3") // builds it where the go command keeps what it built, and says where
	build.Dir = filepath.Join("testdata", "otheretcd")
	build.Env = append(os.Environ(), "GOFLAGS=")
	var problem strings.Builder
	build.Stderr = &problem
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("the one on PATH is %q, and 3.5 can not be built: %w: %s", version, err, &problem)
	}
	return strings.TrimSpace(string(out)), nil
})
