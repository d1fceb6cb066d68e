package state

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestEmbeddedRestartKeepsData(t *testing.T) {
	dir := t.TempDir()
	var endpoint string
	for i, want := range []string{"", "v0", "v1"} {
		e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir, FastTimers: true})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && e.Endpoints()[0] != endpoint {
			t.Errorf("endpoint moved from %s to %s", endpoint, e.Endpoints()[0])
		}
		endpoint = e.Endpoints()[0]
		c, err := Dial(t.Context(), ClientConfig{Endpoints: e.Endpoints()})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Get(t.Context(), "/weft/conf/x")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(resp.Kvs) > 0 {
			got = string(resp.Kvs[0].Value)
		}
		if got != want {
			t.Errorf("start %d: got %q, want %q", i, got, want)
		}
		if _, err := c.Put(t.Context(), "/weft/conf/x", []string{"v0", "v1", "v2"}[i]); err != nil {
			t.Fatal(err)
		}
		c.Close()
		e.Close()
	}
}

func TestEmbeddedDirectoryIsExclusive(t *testing.T) {
	dir := t.TempDir()
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir, FastTimers: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("second server: got %v, want ErrInUse", err)
	}
}

func TestEmbeddedListens(t *testing.T) {
	long := t.TempDir() + "/" + strings.Repeat("d", 120)
	for name, tc := range map[string]struct {
		cfg    EmbeddedConfig
		prefix string
	}{
		"socket":   {EmbeddedConfig{Dir: t.TempDir()}, "unix:///"},
		"long":     {EmbeddedConfig{Dir: long}, "http://127.0.0.1:"},
		"loopback": {EmbeddedConfig{Dir: t.TempDir(), Listen: []string{"http://[::1]:0"}}, "http://[::1]:"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.FastTimers = true
			e, err := StartEmbedded(t.Context(), tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if got := e.Endpoints(); len(got) != 1 || !strings.HasPrefix(got[0], tc.prefix) || strings.HasSuffix(got[0], ":0") {
				t.Fatalf("endpoints %v, want %s…", got, tc.prefix)
			}
			c, err := Dial(t.Context(), ClientConfig{Endpoints: e.Endpoints()})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
	}
}

func TestEmbeddedRefusals(t *testing.T) {
	if _, err := StartEmbedded(t.Context(), EmbeddedConfig{}); err == nil {
		t.Error("no directory is accepted")
	}
	if _, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: t.TempDir(), Listen: []string{"http://example.com:1"}}); err == nil {
		t.Error("a host name is accepted as listen address")
	}
	if _, err := Dial(t.Context(), ClientConfig{}); err == nil {
		t.Error("no endpoints are accepted")
	}
}

func TestEmbeddedLogs(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	if !strings.Contains(buf.String(), "component=etcd") || !strings.Contains(buf.String(), "closed etcd server") {
		t.Errorf("log lacks etcd's records: %.300s", buf.String())
	}
}
