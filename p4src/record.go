package p4src

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// Artefact is a file that a compiler made, under the word that a record calls it by.
type Artefact struct {
	Word string
	Data []byte
}

// folders are those of the sources of each architecture.
var folders = map[string][]string{"v1model": {"shared", "v1model"}, "tna": {"shared", "tna"}, "pna": {"shared", "v1model", "pna"}}

// NewRecord describes artefacts that version made of the sources of arch ("v1model", "tna", "pna") in root.
func NewRecord(root fs.FS, arch, version string, artefacts ...Artefact) (string, error) {
	sources, err := HashSources(root, arch)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "compiler %s\nsources %s\n", version, sources)
	for _, a := range artefacts {
		fmt.Fprintf(&b, "%s %x\n", a.Word, sha256.Sum256(a.Data))
	}
	return b.String(), nil
}

// HashSources returns the SHA-256, in hex, over the names and contents of all .p4 files that the program for arch is made of.
func HashSources(root fs.FS, arch string) (string, error) {
	var names []string
	for _, folder := range folders[arch] {
		err := fs.WalkDir(root, folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && path.Ext(name) == ".p4" {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("list P4 sources: %w", err)
		}
	}
	sort.Strings(names)
	h := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return "", fmt.Errorf("read P4 source: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// compilerOf returns the compiler version that a record names.
func compilerOf(record string) string {
	for line := range strings.Lines(record) {
		if v, ok := strings.CutPrefix(line, "compiler "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
