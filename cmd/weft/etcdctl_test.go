package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/weft-sdn/weft/state"
)

// TestEtcdctl runs what docs/operations.md has for etcdctl: it makes room in a full database, and lets nobody in without a password.
func TestEtcdctl(t *testing.T) {
	if _, err := exec.LookPath("etcdctl"); err != nil {
		t.Skip("no etcdctl on PATH, to run its commands of docs/operations.md; Debian has it in package etcd-client")
	}
	root := atRoot(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var space, users string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(doc), -1) {
		switch {
		case strings.Contains(block[1], "etcdctl alarm disarm"):
			space = block[1]
		case strings.Contains(block[1], "etcdctl auth enable"):
			users = block[1]
		}
	}
	out := background(t, "etcd", "--dir", "db", "--listen", "http://127.0.0.1:0", "--no-fsync", "--quota", "1")
	until(t, func() (bool, string) {
		return strings.HasSuffix(out.String(), "\n"), "weft etcd prints " + out.String()
	})
	endpoint := strings.TrimSpace(out.String())
	cfg := state.ClientConfig{Endpoints: []string{endpoint}}
	shell := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script)
		cmd.Env = append(os.Environ(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+endpoint)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s\n%v\n%s", script, err, out)
		}
	}

	client, err := state.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	put := func() error {
		_, err := client.Put(t.Context(), "/fill", strings.Repeat("x", 100<<10))
		return err
	}
	for err == nil {
		err = put()
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	shell(space)
	if err := put(); err != nil {
		t.Errorf("after etcdctl made room: %v", err)
	}

	shell(strings.NewReplacer("user add root", "user add root:secret", "user add weft", "user add weft:warp").Replace(users))
	if err := put(); err == nil {
		t.Error("wrote without a password")
	}
	cfg.Username, cfg.Password = "weft", "warp"
	s, err := state.Open(t.Context(), state.Config{Client: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Client().Put(t.Context(), "/weft/x", "x"); err != nil {
		t.Errorf("user weft can not write: %v", err)
	}
	if _, err := s.Client().Put(t.Context(), "/fill", "x"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("user weft wrote outside of /weft/: %v", err)
	}
}
