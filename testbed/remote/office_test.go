package remote

import "github.com/weft-sdn/weft/testbed/wireguard"

type (
	// Site is a remote office in memory.
	Site = wireguard.Site
	// Config describes one.
	Config = wireguard.Config
)

var (
	// New brings an office up.
	New = wireguard.New
	// Through is a transport by a host in memory.
	Through = wireguard.Through
)
