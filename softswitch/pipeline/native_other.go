//go:build !(linux && amd64) || race

// The race detector does not see what machine code reads, so it would take an entry that was found there for one that was never published.

package pipeline

// native leaves lines to the interpreter: there is no assembler for this platform.
func (x *code) native(*Program) {}

func callNative(uintptr, *slots, *byte) (uint32, *entry) { panic("pipeline: no native code") }

func writeNative(uintptr, *slots, *byte, *byte) uint32 { panic("pipeline: no native code") }
