//go:build race

package vpn

// raceEnabled: the race detector makes sync.Pool forget at random.
const raceEnabled = true
