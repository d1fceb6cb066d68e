// Package engine drives one edge: it keeps the edge's tables as the bindings, groups and other edges ask, answers packet-ins by
// simulation, and installs what it decided.
package engine
