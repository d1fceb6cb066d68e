package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecret: a secret is the first line of its file, which is its tenant's, of a length that a kernel takes.
func TestSecret(t *testing.T) {
	dir := t.TempDir()
	b := BGP{Secrets: dir}
	for _, tenant := range []string{"isp", "other"} {
		if err := os.Mkdir(filepath.Join(dir, tenant), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]struct{ content, want string }{
		"one-line": {"s3cr3t\n", "s3cr3t"}, "no-newline": {"word", "word"}, "windows": {"word\r\nmore\n", "word"}, "spaces": {" a b \n", " a b "},
		"longest": {strings.Repeat("x", maxPassword), strings.Repeat("x", maxPassword)},
		"empty":   {"\nsecond\n", ""}, "too-long": {strings.Repeat("x", maxPassword+1), ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, "isp", name), []byte(x.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := b.secret("isp", name)
		if got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, x.want)
		}
		if err != nil && x.content != "" && strings.Contains(err.Error(), strings.Repeat("x", maxPassword)) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if _, err := b.secret("isp", "none"); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("of a file that is not there: %v", err)
	}
	v := VPN{Secrets: dir}
	if got, err := v.secret("isp", "spaces"); got != "a b" || err != nil {
		t.Errorf("a preshared key: %q, %v", got, err)
	}
	for _, secret := range []func(tenant, name string) (string, error){b.secret, v.secret} {
		for _, x := range [][2]string{{"other", "one-line"}, {"other", "../isp/one-line"}, {"..", "one-line"}, {"isp/..", "isp/one-line"}} {
			if got, err := secret(x[0], x[1]); err == nil {
				t.Errorf("tenant %s, secret %s: it has %q, another one's", x[0], x[1], got)
			}
		}
	}
	if _, err := new(BGP).secret("isp", "one-line"); err == nil || !strings.Contains(err.Error(), "bgp.secrets") {
		t.Errorf("without a folder: %v", err)
	}
}
