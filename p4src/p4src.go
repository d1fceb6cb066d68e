// Package p4src carries the compiled pipeline of a weft edge: what `make p4` made of the P4 sources in this folder.
package p4src

import _ "embed"

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

//go:embed build/RECORD
var record string

// Record returns the lines that `make p4` wrote about the artefacts: "compiler VERSION", "sources SHA256", "program SHA256", "info SHA256".
func Record() string { return record }
