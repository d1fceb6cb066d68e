package vpn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// carrier is the tunnel of a VPN of any type, up while the VPN is held here.
type carrier interface {
	// call has peers answer that have not, and returns when it is to be called again; zero: not before there is another place to call.
	call(now time.Time) time.Time
	// lookUp begins to look up names of peers that do not answer; located tells what was found, and moved takes that, and returns whether there is somebody to be called.
	lookUp(peers []Peer, now time.Time)
	located() <-chan found
	moved(found) bool
	status() []Peer
	// greeted tells that a peer may have come, or be somewhere else, in a moment; nil: status is all that tells.
	greeted() <-chan struct{}
	// ended is closed when the tunnel has ended by itself, for good.
	ended() <-chan struct{}
	// close takes the tunnel down: nothing leaves by it any more when it returns.
	close()
}

// open brings the tunnel of a VPN up.
func (s *site) open(ctx context.Context, rec *state.VPNRecord, hold *state.VPNHold) (carrier, error) {
	if rec.Site.Spec.TypeOr() == topology.VPNWireGuard {
		w, err := s.newTunnel(ctx, rec, hold)
		if err != nil {
			return nil, err // not a carrier that is nil
		}
		return w, nil
	}
	return s.newDaemon(ctx, rec, hold)
}

// makeKey makes the key of a VPN that has none.
func (k *Keeper) makeKey(site *topology.VPN) (state.VPNKey, error) {
	if site.Spec.TypeOr() == topology.VPNOpenVPN {
		return k.cfg.Seal.generateCertificate(site.Name)
	}
	return k.cfg.Seal.generate(site.Name)
}

// needsKey reports whether a VPN needs a key of its own, and has none.
func needsKey(r *state.VPNRecord) bool {
	return r.Key == nil && r.Site.Spec.TypeOr() != topology.VPNIPsec
}

// ready says why this edge can't carry a VPN; nil: it can.
func (k *Keeper) ready(rec *state.VPNRecord) error {
	var err error
	switch rec.Site.Spec.TypeOr() {
	case topology.VPNOpenVPN:
		if err = missing("OpenVPN", "openvpn", "openvpn"); err == nil {
			_, err = k.openVPNSecrets(rec)
		}
	case topology.VPNIPsec:
		if err = missing("IPsec", "charon-systemd", "charon-systemd and libcharon-extra-plugins"); err == nil {
			_, err = k.ipsecSecret(rec.Site)
		}
	default:
		_, _, err = k.secrets(rec)
	}
	return err
}

// peerSecret reads the secret, one of the VPN's tenant, that both ends have besides; empty: there is none.
func (k *Keeper) peerSecret(site *topology.VPN, p *topology.VPNPeerSpec) (string, error) {
	if p.PresharedKeySecret == "" {
		return "", nil
	}
	tenant, _, _ := strings.Cut(site.Name, "/")
	text, err := k.cfg.Secret(tenant, p.PresharedKeySecret)
	if err != nil {
		return "", fmt.Errorf("peer %s: secret %s: %w", p.Name, p.PresharedKeySecret, err)
	}
	if text == "" {
		return "", fmt.Errorf("peer %s: secret %s: %w", p.Name, p.PresharedKeySecret, errors.New("is empty"))
	}
	return text, nil
}
