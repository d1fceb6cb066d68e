// Package internet has a routing table of the Internet, for benchmarks and tests: the one that github.com/gaissmai/bart is tested with.
package internet

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Prefixes returns every stride-th prefix of the table, both families, in order; all of them are about a million. It takes the go command, and the module in its cache.
func Prefixes(stride int) ([]netip.Prefix, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		return nil, fmt.Errorf("internet: where is bart's module: %w", err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "internal", "tests", "testdata", "prefixes.txt.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	lines := bufio.NewScanner(z)
	for n := 0; lines.Scan(); n++ {
		if n%stride != 0 {
			continue
		}
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return nil, err
		}
		all = append(all, p.Masked())
	}
	return all, lines.Err()
}
