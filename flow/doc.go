// Package flow holds what a simulated packet becomes before it is entries: the key, the mask of bits that were read, guards, rewrite, the flow hash
// and the reason codes, each bit for bit as in p4src.
package flow
