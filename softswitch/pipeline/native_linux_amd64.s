#include "textflag.h"

// func callNative(entry uintptr, f *slots) uint32
TEXT ·callNative(SB), NOSPLIT, $8-20
	MOVQ entry+0(FP), AX
	MOVQ f+8(FP), DI
	CALL AX
	MOVL AX, ret+16(FP)
	RET
