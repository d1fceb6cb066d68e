// Package p4src carries the compiled pipeline of a weft edge: what `make p4` made of the P4 sources in this folder.
package p4src

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// Files that `make p4` writes, relative to this folder.
const (
	ProgramFile = "build/weft.json"
	InfoFile    = "build/weft.p4info.txtpb"
	RecordFile  = "build/RECORD"

	TNADir = "build/tna" // p4info, record and, from a backend, resource report of the TNA program
	PNADir = "build/pna" // p4info, record and, from a backend, specification of the PNA program
)

// FrontEndOnly is behind the compiler in a record of artefacts that no backend has seen.
const FrontEndOnly = " (front end only)"

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
