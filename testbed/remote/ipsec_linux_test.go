package remote

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/vpn"
)

const ipsecSecret = "an IPsec of a test's has this secret"

// strongSwanConf is that of the office: charon with ESP by itself.
const strongSwanConf = `charon-systemd {
  load_modular = no
  load = random nonce openssl pem pubkey kdf kernel-libipsec kernel-netlink socket-default vici
  retransmit_timeout = 1.0
  retransmit_base = 1.0
  retransmit_tries = 8
  plugins {
    vici {
      socket = unix://DIR/vici
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      mtu = 1300
    }
  }
  journal {
    default = -1
  }
  filelog {
    stderr {
      default = 1
    }
  }
}
`

// strongSwan runs charon at a machine, with what the VPN exports, until the test ends.
func (b *bench) strongSwan(h *netns.Host, conf, secret string) (*netns.Process, *said) {
	b.Helper()
	dir, err := os.MkdirTemp("", "office")
	b.must(err)
	words := new(said)
	file := func(name, text string) string {
		b.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return filepath.Join(dir, name)
	}
	sh := func(script string) {
		b.Helper()
		if out, text, err := h.Exec(b.Context(), "sh", "-c", script); err != nil {
			b.Fatalf("%s: %v: %s%s", script, err, out, text)
		}
	}
	sh("ip link del office 2>/dev/null; ip link add name office type bridge && echo 0 >/proc/sys/net/ipv6/conf/office/disable_ipv6 && ip link set office up && ip address add 192.168.50.2/24 dev office && ip address add fd50::2/64 dev office nodad && echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
	conf = strings.Replace(conf, "# secret = the key of the secret psk of the edges", fmt.Sprintf("secret = %q", secret), 1)
	charon, err := exec.LookPath("charon-systemd")
	b.must(err)
	p, err := h.Start(words, "env", "STRONGSWAN_CONF="+file("strongswan.conf", strings.ReplaceAll(strongSwanConf, "DIR", dir)), charon)
	b.must(err)
	b.Cleanup(func() {
		p.Stop()
		os.RemoveAll(dir)
		if b.Failed() {
			b.Logf("the office's charon said:\n%s\nof\n%s", words, conf)
		}
	})
	b.eventually("charon runs", func() error {
		_, err := os.Stat(filepath.Join(dir, "vici"))
		return err
	})
	swanctl, err := exec.LookPath("swanctl")
	b.must(err)
	sh(fmt.Sprintf(swanctl+" --load-all --file %s --uri unix://%s/vici", file("swanctl.conf", conf), dir))
	return p, words
}

// ipsecSite is an object of an IPsec through a public port.
func ipsecSite(more, peer string) string {
	return strings.Replace(openVPNSite(more, peer+", presharedKeySecret: psk"), "type: openvpn", "type: ipsec", 1)
}

// export is what weft vpn export gives for the office.
func (b *bench) export() string {
	b.Helper()
	r, err := b.record("e3")
	b.must(err)
	conf, err := vpn.Export(r, "office", "")
	b.must(err)
	return conf
}

// TestIPsecIsCalled: an office with strongSwan calls the VPN, by the swanctl.conf that it exports.
func TestIPsecIsCalled(t *testing.T) {
	needDaemon(t, "charon-systemd", "swanctl")
	t.Parallel()
	text := withGateway(network + called + ipsecSite("  listenPort: 4500\n", behindOffice))
	b := newBenchOf(t, benchConfig{text: text, powerOn: inNamespace, secret: func(string, string) (string, error) { return ipsecSecret, nil }})
	h := b.inetIn()
	b.strongSwan(h, strings.Replace(b.export(), "esp_proposals", "rekey_time = 2s\n        life_time = 30s\n        rand_time = 0s\n        esp_proposals", 1), ipsecSecret)
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.fetches(b.vm(), h, "10.1.0.5", "fd01::5")
	b.fetches(h, b.vm(), "192.168.50.2", "fd50::2")
	b.rekeyed()
	b.pings(h, "10.1.0.5")
	edge, other := b.held()
	b.must(b.StopAgent(edge))
	began := time.Now()
	b.pings(h, "10.1.0.5")
	t.Logf("%s ended, %s has it: %v until an answer", edge, other, time.Since(began))
}

// held waits until an edge holds the VPN.
func (b *bench) held() (edge, other string) {
	b.Helper()
	b.eventually("an edge holds the VPN", func() error {
		for edge, other = range map[string]string{"e1": "e2", "e2": "e1"} {
			if b.holds(edge) {
				return nil
			}
		}
		st1, err1 := b.status("e1")
		st2, err2 := b.status("e2")
		return fmt.Errorf("%+v %+v %w", st1, st2, errors.Join(err1, err2))
	})
	return edge, other
}

// rekeyed waits until the ends have agreed on keys again.
func (b *bench) rekeyed() {
	b.Helper()
	var first time.Time
	b.eventually("they agree on keys again", func() error {
		st, err := b.carried()
		switch {
		case err != nil:
			return err
		case first.IsZero():
			first = st.Peers[0].Handshake
		}
		if p := st.Peers[0]; !p.Connected || !p.Handshake.After(first) {
			err = fmt.Errorf("%+v", st)
		}
		return err
	})
}

// TestIPsecCalls: a VPN calls an office's strongSwan over IPv6. With another secret it gets nowhere, and says so.
func TestIPsecCalls(t *testing.T) {
	needDaemon(t, "charon-systemd", "swanctl")
	t.Parallel()
	secret := func(string, string) (string, error) { return ipsecSecret, nil }
	b := newBenchOf(t, benchConfig{text: withGateway(network + provider + ipsecSite("", behindOffice+`, endpoint: "[2001:db8:113::9]:4500"`)), powerOn: inNamespace, secret: secret})
	h := b.inetIn()
	p, _ := b.strongSwan(h, b.export(), "this is another secret than the VPN's")
	b.answers(false, "IPsec: ")
	p.Stop()
	b.strongSwan(h, b.export(), ipsecSecret)
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.answers(true, "")
}
