//go:build !race

package softswitch

// raceEnabled: the race detector makes sync.Pool forget at random.
const raceEnabled = false
