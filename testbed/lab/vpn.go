package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wire"
	"github.com/weft-sdn/weft/vpn"

	service "github.com/weft-sdn/weft/agent"
)

// vpnInterface is where an edge's switch and its agent exchange the frames of VPNs: a cable that ends at a socket, as it does between processes.
const vpnInterface = "vpn"

func (e *edge) vpnSocket(dir string) string { return filepath.Join(dir, e.plan.name+".vpn") }

// runVPN joins the cable to the socket until ctx ends.
func (e *edge) runVPN(dir string) func(context.Context) error {
	return func(ctx context.Context) error {
		if e.kernel != nil {
			return errors.Join(until(ctx), e.kernel.close())
		}
		p, err := port.Open("unix:" + e.vpnSocket(dir))
		if err != nil {
			return err
		}
		return wire.NewPatch(e.vpn.B(), p).Run(ctx)
	}
}

// vpnKeyFile is that of all edges of the lab.
func vpnKeyFile(dir string) string { return filepath.Join(dir, "vpn.key") }

// newVPNKey makes the key that the lab's edges seal private keys with.
func newVPNKey(dir string) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	if err := os.WriteFile(vpnKeyFile(dir), []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return fmt.Errorf("key of VPNs: %w", err)
	}
	return nil
}

// vpnService is the configuration of an agent of the service.
func (e *edge) vpnService(dir string) service.VPN {
	if e.vpn == nil {
		return service.VPN{}
	}
	v := service.VPN{Interface: vpnInterface, Device: "unix:" + e.vpnSocket(dir), KeyFile: vpnKeyFile(dir)}
	if e.kernel != nil {
		v.Device = e.kernel.agent
	}
	return v
}

// User ids of daemons, by edge: those that systemd has for services without a user.
const (
	firstVPNUser = 61184
	vpnUsers     = 16
)

// vpnConfig is the same of an agent in this process.
func (e *edge) vpnConfig(dir string, store *state.Store, log *slog.Logger) (vpn.Config, error) {
	c := vpn.Config{Edge: e.plan.name, Store: store, Interface: vpnInterface, Secret: e.cfg.VPNSecret, Log: log}
	if e.vpn == nil {
		return c, nil
	}
	raw, err := os.ReadFile(vpnKeyFile(dir))
	if err == nil {
		c.Seal, err = vpn.ParseSeal(string(raw))
	}
	c.UIDs.First = firstVPNUser + vpnUsers*uint32(e.plan.n%256)
	c.UIDs.Last = c.UIDs.First + vpnUsers - 1
	c.Open = func() (vpn.Port, error) { return port.Open("unix:" + e.vpnSocket(dir)) }
	return c, err
}
