// Package p4src carries the compiled pipeline of a weft edge: what `make p4` made of the P4 sources in this folder.
package p4src

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// Files that `make p4` writes, relative to this folder.
const (
	ProgramFile = "build/weft.json"
	InfoFile    = "build/weft.p4info.txtpb"
	RecordFile  = "build/RECORD"
)

//go:embed build/weft.json
var program []byte

//go:embed build/weft.p4info.txtpb
var info []byte

//go:embed build/RECORD
var record string

// Program returns the bmv2 JSON: the device config that bmv2 and the softswitch load. It is nobody's to change: a megabyte that all edges of a process share.
func Program() []byte { return program }

// Info returns the p4info of the pipeline.
func Info() (*p4configv1.P4Info, error) {
	m := new(p4configv1.P4Info)
	if err := prototext.Unmarshal(info, m); err != nil {
		return nil, fmt.Errorf("%s: %w", InfoFile, err)
	}
	return m, nil
}

// Cookie identifies this pipeline at a target (P4Runtime section 7.1, ForwardingPipelineConfig.cookie):
// a target that reports it needs no push. Never 0.
func Cookie() uint64 {
	h := sha256.New()
	h.Write(program)
	h.Write(info)
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1
}

// Record returns the lines that `make p4` wrote about the artefacts: "compiler VERSION", "sources SHA256", "program SHA256", "info SHA256".
func Record() string { return record }

// NewRecord describes artefacts that version made of the sources in root.
func NewRecord(root fs.FS, version string, program, info []byte) (string, error) {
	sources, err := HashSources(root)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("compiler %s\nsources %s\nprogram %x\ninfo %x\n", version, sources, sha256.Sum256(program), sha256.Sum256(info)), nil
}

// HashSources returns the SHA-256, in hex, over the names and contents of all .p4 files below root.
func HashSources(root fs.FS) (string, error) {
	var names []string
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".p4" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("list P4 sources: %w", err)
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
