//go:build !race

#include "textflag.h"

// func callNative(entry uintptr, f *slots, frame *byte) (pc uint32, e *entry)
TEXT ·callNative(SB), NOSPLIT, $8-40
	MOVQ entry+0(FP), AX
	MOVQ f+8(FP), DI
	MOVQ frame+16(FP), SI
	CALL AX
	MOVL AX, pc+24(FP)
	MOVQ DX, e+32(FP)
	RET

// func writeNative(entry uintptr, f *slots, frame, out *byte) uint32
TEXT ·writeNative(SB), NOSPLIT, $8-36
	MOVQ entry+0(FP), AX
	MOVQ f+8(FP), DI
	MOVQ frame+16(FP), SI
	MOVQ out+24(FP), R10
	CALL AX
	MOVL AX, ret+32(FP)
	RET
