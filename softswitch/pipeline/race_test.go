//go:build race

package pipeline

// racing: the race detector makes sync.Pool forget contexts on purpose.
const racing = true
