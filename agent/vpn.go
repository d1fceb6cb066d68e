package agent

import (
	"log/slog"
	"os"
	"strings"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/vpn"
)

// VPN is how an edge holds VPNs. Without an interface it holds none.
type VPN struct {
	Interface string `json:"interface"` // one of the edge's, at which its switch and the agent exchange frames
	Device    string `json:"device"`    // the agent's end of that: a network interface, tap:NAME, or unix:PATH
	KeyFile   string `json:"keyFile"`   // whose first line is the key that private keys are sealed with in the database: 32 bytes in base64, the same at all edges
	Secrets   string `json:"secrets"`   // folder of files, one a preshared key
	UIDs      string `json:"uids"`      // FIRST-LAST: user ids, one for each daemon
}

// keeper is the configuration as package vpn wants it.
func (v *VPN) keeper(edge string, store *state.Store, log *slog.Logger) vpn.Config {
	c := vpn.Config{Edge: edge, Store: store, Interface: v.Interface, Secret: v.secret, Log: log}
	if v.Interface == "" {
		return c
	}
	c.Open = func() (vpn.Port, error) { return port.Open(v.Device) }
	c.Seal, _ = v.seal() // checked
	if v.UIDs != "" {
		c.UIDs, _ = vpn.ParseUIDs(v.UIDs) // checked
	}
	return c
}

// seal reads the key.
func (v *VPN) seal() (*vpn.Seal, error) {
	raw, err := os.ReadFile(v.KeyFile)
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return vpn.ParseSeal(line)
}

// secret reads a preshared key of a tenant's.
func (v *VPN) secret(tenant, name string) (string, error) {
	line, err := readSecret("vpn.secrets", v.Secrets, tenant, name)
	return strings.TrimSpace(line), err
}

// vpn checks what an edge has for VPNs.
func (c *checker) vpn(at string, e *Edge) {
	v := &e.VPN
	if *v == (VPN{}) {
		return
	}
	if v.Interface == "" {
		c.fail(at+".interface", "", "is missing", "name the interface at which the switch and the agent exchange frames")
	} else if _, named := e.Interfaces[v.Interface]; !named {
		c.fail(at+".interface", v.Interface, "is none of the edge's interfaces", "list it there, with the target's port")
	}
	if v.Device == "" {
		c.fail(at+".device", "", "is missing", "name the agent's end of the interface: a network interface, tap:NAME or unix:/PATH")
	}
	if v.KeyFile == "" {
		c.fail(at+".keyFile", "", "is missing", "name a file with a key that all edges have: openssl rand -base64 32 makes one")
	} else if _, err := v.seal(); err != nil {
		c.fail(at+".keyFile", v.KeyFile, err.Error(), "openssl rand -base64 32 makes a key; all edges need the same")
	}
	if _, err := vpn.ParseUIDs(v.UIDs); v.UIDs != "" && err != nil {
		c.fail(at+".uids", v.UIDs, err.Error(), "such as 61184-61247: those of nobody else on the agent's host, and of no other agent there")
	}
}
