package wireguard

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/testbed/host"
)

// ParseQuick reads a file of wg-quick's with one peer, and how its machine is in the tunnel: addresses and MTU. Comments, and commands for a shell, are not for a machine in memory.
func ParseQuick(text string) (Config, error) {
	var c Config
	for n, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		if err := c.set(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return c, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	for _, a := range c.Host.Addrs {
		c.Host.Gateways = append(c.Host.Gateways, gatewayOf(a))
	}
	return c, nil
}

func (c *Config) set(name, value string) (err error) {
	switch name {
	case "PrivateKey":
		c.PrivateKey = value
	case "PublicKey":
		c.PeerKey = value
	case "PresharedKey":
		c.Preshared = value
	case "Endpoint":
		c.Endpoint = value
	case "ListenPort":
		var port uint64
		port, err = strconv.ParseUint(value, 10, 16)
		c.ListenPort = uint16(port)
	case "PersistentKeepalive":
		c.Keepalive, err = strconv.Atoi(value)
	case "MTU":
		c.Host.MTU, err = strconv.Atoi(value)
	case "Address":
		c.Host.Addrs, err = prefixes(value)
	case "AllowedIPs":
		c.AllowedIPs, err = prefixes(value)
	}
	return err
}

func prefixes(text string) (all []netip.Prefix, err error) {
	for one := range strings.SplitSeq(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// gatewayOf is an address that is on a host's link and not its own: the tunnel's end answers for all.
func gatewayOf(a netip.Prefix) netip.Addr {
	if first := a.Masked().Addr().Next(); first != a.Addr() {
		return first
	}
	return a.Addr().Next()
}

var _ host.Link = (*gateway)(nil)
