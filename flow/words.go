package flow

import "unsafe"

// keyWords is the number of 32-bit words of a key. Key has no padding, so that a key is its words; what follows does not compile if its size changes.
const keyWords = 14

var _ [keyWords * 4]byte = [unsafe.Sizeof(Key{})]byte{}

// words returns the key as words of its own alignment, for bitwise operations alone: the order of bytes within them is the machine's.
func (k *Key) words() *[keyWords]uint32 { return (*[keyWords]uint32)(unsafe.Pointer(k)) }

func (m *Mask) words() *[keyWords]uint32 { return (*Key)(m).words() }
