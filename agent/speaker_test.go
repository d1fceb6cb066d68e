package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecret: a secret is the first line of its file, of a length that a kernel takes.
func TestSecret(t *testing.T) {
	dir := t.TempDir()
	b := BGP{Secrets: dir}
	for name, x := range map[string]struct{ content, want string }{
		"one-line": {"s3cr3t\n", "s3cr3t"}, "no-newline": {"word", "word"}, "windows": {"word\r\nmore\n", "word"}, "spaces": {" a b \n", " a b "},
		"longest": {strings.Repeat("x", maxPassword), strings.Repeat("x", maxPassword)},
		"empty":   {"\nsecond\n", ""}, "too-long": {strings.Repeat("x", maxPassword+1), ""},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(x.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := b.secret(name)
		if got != x.want || (err == nil) != (x.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, x.want)
		}
		if err != nil && x.content != "" && strings.Contains(err.Error(), strings.Repeat("x", maxPassword)) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if _, err := b.secret("none"); err == nil {
		t.Error("a file that is not there is a secret")
	}
	if _, err := new(BGP).secret("one-line"); err == nil || !strings.Contains(err.Error(), "bgp.secrets") {
		t.Errorf("without a folder: %v", err)
	}
}
