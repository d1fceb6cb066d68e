// Package examples holds the networks and scenarios that the documentation shows and `weft demo` runs.
package examples

import _ "embed"

//go:embed demo.txtar
var demo []byte

// DemoFile is where Demo is in the repository.
const DemoFile = "examples/demo.txtar"

// Demo returns the scenario of `weft demo`; docs/scenarios.md is its format. The caller must not change it.
func Demo() []byte { return demo }
