//go:build !linux

package softswitch

func bePeer() {}
