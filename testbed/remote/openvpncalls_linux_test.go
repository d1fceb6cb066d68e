package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/vpn"
)

// answers waits until the VPN's peer answers, or (no) until it is known that it does not, and why.
func (b *bench) answers(yes bool, why string) {
	b.Helper()
	b.eventually("the peer answers: "+strconv.FormatBool(yes), func() error {
		st, err := b.carried()
		if err == nil && (st.Peers[0].Connected != yes || !strings.Contains(st.Peers[0].Problem, why)) {
			err = fmt.Errorf("%+v", st)
		}
		return err
	})
}

// daemonsOf are the OpenVPNs of this process that have a network behind their peer.
func daemonsOf(behind string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		args, _ := os.ReadFile(path)
		dir := filepath.Dir(path)
		routes, _ := os.ReadFile(dir + "/cwd/clients/DEFAULT")
		stat, _ := os.ReadFile(dir + "/stat")
		fields := strings.Fields(string(stat))
		if string(args) != "openvpn\x00--config\x00stdin\x00" || !strings.Contains(string(routes), behind) || len(fields) < 4 || fields[3] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keepsSecrets checks that nothing of a daemon is in a file that tells a key, or that others may read, and that it runs without privileges, in a namespace of its own.
func (b *bench) keepsSecrets(pid int) {
	b.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	folder, err := filepath.EvalSymlinks(proc + "cwd")
	b.must(err)
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o077 != 0 && info.Mode()&fs.ModeSocket == 0 {
			b.Errorf("%s has mode %v", path, info.Mode())
		}
		if info.Mode().IsRegular() {
			if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "PRIVATE") {
				b.Errorf("%s has a key, or %v", path, err)
			}
		}
		return nil
	})
	b.must(err)
	status, err := os.ReadFile(proc + "status")
	b.must(err)
	if strings.Contains(string(status), "\nUid:\t0\t") {
		b.Error("the daemon is root")
	}
	own, err := os.Readlink("/proc/self/ns/net")
	b.must(err)
	if its, err := os.Readlink(proc + "ns/net"); err != nil || its == own {
		b.Errorf("the daemon is in %s, %v", its, err)
	}
}

// TestOpenVPNCalls: a VPN calls an office's OpenVPN over IPv6. With another key it gets nowhere, and says why; with the right one packets go both ways, as long as they may be, also when the daemon, and then the holder, is gone.
func TestOpenVPNCalls(t *testing.T) {
	needDaemon(t, "openvpn")
	t.Parallel()
	crypt := strings.Repeat("0123456789abcdef", 32)
	peer := strings.Replace(behindOffice, "[192.168.50.0/24", "[192.168.50.0/24, 192.168.77.0/24", 1) + `, endpoint: "[2001:db8:113::9]:1194", presharedKeySecret: crypt`
	w := &ways{}
	defer w.close()
	b := newBenchOf(t, benchConfig{
		text: withGateway(network + provider + openVPNSite("", peer)), powerOn: inNamespace, way: w.way,
		secret: func(string, string) (string, error) { return crypt, nil },
	})
	h := b.inetIn()
	profile := b.profile()
	var lines []string
	for rest := crypt; rest != ""; rest = rest[32:] {
		lines = append(lines, rest[:32])
	}
	profile += "<tls-crypt>\n-----BEGIN OpenVPN Static key V1-----\n" + strings.Join(lines, "\n") + "\n-----END OpenVPN Static key V1-----\n</tls-crypt>\n"
	private, _, err := vpn.NewPeerKey(topology.VPNOpenVPN, "office")
	b.must(err)
	own, _, _ := strings.Cut(profile, "<cert>")
	_, rest, _ := strings.Cut(profile, "</key>\n")
	strange, _ := b.openVPN(h, own+private+rest)
	b.answers(false, "TLS Error")
	strange.Stop()
	b.openVPN(h, profile)
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	for size, fits := range map[int]bool{1300 - 28: true, 1300 - 27: false} {
		r, err := b.vm().PingWith(t.Context(), netip.MustParseAddr("192.168.50.2"), host.PingConfig{Count: 1, Timeout: 2 * time.Second, Size: size, DontFragment: true})
		var tooBig *host.ICMPError
		if errors.As(err, &tooBig) == fits || (r.Received() == 1) != fits || !fits && tooBig.MTU != 1300 {
			t.Errorf("a ping of %d bytes: %+v, %v", size, r, err)
		}
	}
	pids := daemonsOf("192.168.77.0")
	if len(pids) != 1 {
		t.Fatalf("there are %d daemons", len(pids))
	}
	b.keepsSecrets(pids[0])
	b.must(syscall.Kill(pids[0], syscall.SIGKILL))
	b.pings(h, "10.1.0.5")
	b.answers(true, "")
	edge, other := b.holder()
	b.fails(w, edge, other, h)
}

// fails takes the agent that holds the VPN away without a word, and waits until packets go by the other edge.
func (b *bench) fails(w *ways, edge, other string, from pinger) {
	b.Helper()
	began := time.Now()
	w.get(edge).SetCut(true)
	b.eventually("the other edge holds it", func() error {
		if !b.holds(other) {
			return errors.New("it does not")
		}
		return nil
	})
	held := time.Since(began)
	b.pings(from, "10.1.0.5")
	b.Logf("%s was cut off: %s had it after %v, and a ping was answered after %v", edge, other, held, time.Since(began))
	w.get(edge).SetCut(false)
}

// TestOpenVPNEthernet: a bridge and a TAP of an office are on one wire through an OpenVPN: ARP, ND, MAC learning, and TCP.
func TestOpenVPNEthernet(t *testing.T) {
	needDaemon(t, "openvpn")
	t.Parallel()
	text := strings.Replace(bridge, "ip=10.1.0.5/24,fd01::5/64", "ip=10.1.0.5/24,fd01::5/64 mtu=1300", 1)
	b := newBenchOf(t, benchConfig{text: withGateway(text + called + openVPNSite("  listenPort: 1194\n", "keepalive: 1")), powerOn: inNamespace})
	h := b.inetIn()
	b.openVPN(h, strings.Replace(b.profile(), "dev tap", "dev office", 1))
	for _, a := range []string{"10.1.0.50/24", "fd01::50/64"} {
		b.eventually("the TAP has "+a, func() error {
			_, said, err := h.Exec(t.Context(), "sh", "-c", "ip link set office up && ip address replace "+a+" dev office nodad")
			if err != nil {
				err = fmt.Errorf("%w: %s", err, said)
			}
			return err
		})
	}
	b.pings(b.vm(), "10.1.0.50")
	b.pings(b.vm(), "fd01::50")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.fetches(b.vm(), h, "10.1.0.5", "fd01::5")
	if mac, err := b.vm().Resolve(t.Context(), netip.MustParseAddr("10.1.0.50")); err != nil || mac[0]&3 != 2 {
		t.Errorf("the VM has %x for 10.1.0.50, %v", mac, err)
	}
}

// TestOpenVPNNode: the encrypted packets go by the network of the edge's agent, over IPv4 and IPv6. The office's daemon is on this machine, without a device.
func TestOpenVPNNode(t *testing.T) {
	needDaemon(t, "openvpn")
	t.Parallel()
	for version, address := range map[string]string{"udp4": "127.0.0.1", "udp6": "[::1]"} {
		t.Run(version, func(t *testing.T) {
			port := freeUDP(t)
			site := strings.Replace(openVPNSite("", fmt.Sprintf("%s, endpoint: \"%s:%d\"", behindOffice, address, port)), "  publicPort: isp/vpn1\n", "", 1)
			b := newBenchOf(t, benchConfig{text: strings.Replace(network, "mtu: 1420", "mtu: 1300", 1) + site})
			profile := b.profile()
			profile = strings.NewReplacer("dev tun\ndev-type tun\n", "dev null\n", "proto udp6\n", "", "proto udp\n", "").Replace(profile) + "proto " + version + "\nifconfig-noexec\nroute-noexec\n"
			b.daemonHere(profile)
			b.answers(true, "")
			st, err := b.carried()
			if want := fmt.Sprintf("%s:%d", address, port); err != nil || st.Peers[0].Endpoint.String() != want || st.Peers[0].Handshake.IsZero() || st.PublicKey == "" || st.Type != topology.VPNOpenVPN {
				t.Errorf("%+v, %v, want endpoint %s", st, err, want)
			}
		})
	}
}
