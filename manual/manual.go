// Package manual has what kinds of objects and their fields mean, as the comments of package topology say.
package manual

import _ "embed"

// Objects is a list of kinds in JSON, each with its name, doc and fields; a test of cmd/weft keeps it as the comments are.
//
//go:embed objects.json
var Objects []byte
