package remote

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/vpn"
)

// needDaemon skips a test where a daemon is not installed, or can't run.
func needDaemon(t *testing.T, programs ...string) {
	t.Helper()
	err := netns.Denied()
	for _, program := range programs {
		if _, missing := exec.LookPath(program); missing != nil {
			err = errors.Join(err, missing)
		}
	}
	if _, missing := os.Stat("/dev/net/tun"); missing != nil {
		err = errors.Join(err, missing)
	}
	if err != nil {
		t.Skipf("SKIPPED: it takes root and %s: %v", strings.Join(programs, ", "), err)
	}
}

// said is what a program printed.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// profile is what weft vpn export gives for the office, with a key made for it if there is none, as the command does.
func (b *bench) profile() string {
	b.Helper()
	store, err := b.Store("e3")
	b.must(err)
	ref := topology.Ref{Kind: topology.KindVPN, Tenant: "acme", Name: "office"}
	o, _, err := store.Get(b.Context(), ref)
	b.must(err)
	spec := *o.Spec.(*topology.VPNSpec)
	b.key()
	private, public, err := vpn.NewPeerKey(spec.TypeOr(), "office")
	b.must(err)
	spec.Peers = append([]topology.VPNPeerSpec(nil), spec.Peers...)
	spec.Peers[0].PublicKey = public
	next := *o
	next.Spec, next.Status = &spec, topology.Status{}
	_, err = store.Apply(b.Context(), []*topology.Object{&next})
	b.must(err)
	var r state.VPNRecord
	b.eventually("the VPN has the key", func() error {
		if r, err = b.record("e3"); err == nil && r.Site.Spec.Peers[0].PublicKey != public {
			err = errors.New("it has another")
		}
		return err
	})
	text, err := vpn.Export(r, "office", private)
	b.must(err)
	return text
}

// openVPN runs the daemon at a machine, by a profile, until the test ends.
func (b *bench) openVPN(h *netns.Host, profile string) (*netns.Process, *said) {
	b.Helper()
	dir, err := os.MkdirTemp("", "office")
	b.must(err)
	path, words := filepath.Join(dir, "office.conf"), new(said)
	b.must(os.WriteFile(path, []byte(profile), 0o600))
	_, text, err := h.Exec(b.Context(), "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6") // a machine's own interface has it off
	if err != nil {
		b.Fatalf("IPv6: %v: %s", err, text)
	}
	p, err := h.Start(words, "openvpn", "--config", path)
	b.must(err)
	b.Cleanup(func() {
		p.Stop()
		os.RemoveAll(dir)
		if b.Failed() {
			b.Logf("the office's OpenVPN said:\n%s", words)
		}
	})
	return p, words
}

// inetIn is the machine of the world's, in a namespace.
func (b *bench) inetIn() *netns.Host {
	b.Helper()
	switch h := b.Host("inet").(type) {
	case *netns.Host:
		return h
	case *meddled:
		return h.Host
	}
	b.Fatal("inet is in no namespace")
	return nil
}

// openVPNSite is an object of an OpenVPN through a public port.
func openVPNSite(more, peer string) string {
	return fmt.Sprintf(`---
apiVersion: weft/v1
kind: VPN
metadata: {name: office, tenant: acme}
spec:
  type: openvpn
  vport: office
  edges: [e1, e2]
  publicPort: isp/vpn1
  mtu: 1300
%s  networks: [10.1.0.0/24, "fd01::/64"]
  peers:
  - {name: office, %s}
`, more, peer)
}

const behindOffice = `allowedIPs: [192.168.50.0/24, "fd50::/64"], addresses: [192.168.50.2/24, "fd50::2/64"], keepalive: 1`

// withGateway has the machine of the world's send what is elsewhere to the provider.
func withGateway(text string) string {
	return strings.Replace(withInternet(strings.Replace(text, "mtu: 1420", "mtu: 1300", 1)), "2001:db8:113::9/64\n", "2001:db8:113::9/64 gw=203.0.113.1,2001:db8:113::1\n", 1)
}

// TestOpenVPNIsCalled: an office with OpenVPN of its own calls the VPN, by the profile that it exports: ping and TCP both ways, keys agreed on again while packets go, and another edge serves when the holder is gone.
func TestOpenVPNIsCalled(t *testing.T) {
	needDaemon(t, "openvpn")
	t.Parallel()
	b := newBenchOf(t, benchConfig{text: withGateway(network + called + openVPNSite("  listenPort: 1194\n", behindOffice)), powerOn: inNamespace})
	h := b.inetIn()
	_, words := b.openVPN(h, b.profile()+"reneg-sec 3\n")
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.fetches(b.vm(), h, "10.1.0.5", "fd01::5")
	b.fetches(h, b.vm(), "192.168.50.2", "fd50::2")
	b.rekeyed()
	b.pings(h, "10.1.0.5")
	edge, other := b.holder()
	b.must(b.StopAgent(edge))
	began := time.Now()
	b.eventually("the other edge has it", func() error {
		st, err := b.status(other)
		if err == nil && st.State != vpn.Up {
			err = fmt.Errorf("%+v", st)
		}
		return err
	})
	b.pings(h, "10.1.0.5")
	t.Logf("%s ended, %s has it: %v until an answer", edge, other, time.Since(began))
	if !strings.Contains(words.String(), "server-pushed-connection-reset") {
		t.Error("the holder that ended did not tell the office")
	}
}

// daemonHere runs an office's OpenVPN on this machine, until the test ends.
func (b *bench) daemonHere(profile string) {
	b.Helper()
	words := new(said)
	cmd := exec.CommandContext(b.Context(), "openvpn", "--config", "stdin")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(profile), words, words
	b.must(cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		if b.Failed() {
			b.Logf("the office's OpenVPN said:\n%s", words)
		}
	})
}
