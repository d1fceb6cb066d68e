package remote

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/netns"
)

// daemonKind is a VPN of a program's, and how the office brings its end up.
type daemonKind struct {
	needs  []string
	text   string
	office func(*bench, *netns.Host) *said
	learns string // what the office says when it learns by the next holder's call that the one before is gone; empty: nothing
	port   uint16 // at which the VPN is called; 0: it calls
}

// daemonKinds are OpenVPN and IPsec, called and calling.
func daemonKinds() map[string]daemonKind {
	openVPN := func(b *bench, h *netns.Host) *said {
		_, words := b.openVPN(h, b.profile())
		return words
	}
	ipsec := func(b *bench, h *netns.Host) *said {
		_, words := b.strongSwan(h, b.export(), ipsecSecret)
		return words
	}
	const contact = "received INITIAL_CONTACT"
	strongSwan := []string{"charon-systemd", "swanctl"}
	return map[string]daemonKind{
		"OpenVPN is called": {[]string{"openvpn"}, called + openVPNSite("  listenPort: 1194\n", behindOffice), openVPN, "", 1194},
		"OpenVPN calls":     {[]string{"openvpn"}, provider + openVPNSite("", behindOffice+`, endpoint: "[2001:db8:113::9]:1194"`), openVPN, "", 0},
		"IPsec is called":   {strongSwan, called + ipsecSite("  listenPort: 4500\n", behindOffice), ipsec, contact, 4500},
		"IPsec calls":       {strongSwan, provider + ipsecSite("", behindOffice+`, endpoint: "203.0.113.9:4500"`), ipsec, contact, 0},
	}
}

// bench brings a lab with a VPN up whose ends hear each other.
func (k *daemonKind) bench(t *testing.T, cfg benchConfig) (*bench, *netns.Host, *said) {
	t.Helper()
	needDaemon(t, k.needs...)
	cfg.text = withGateway(network + k.text)
	if cfg.powerOn == nil {
		cfg.powerOn = inNamespace
	}
	cfg.secret = func(string, string) (string, error) { return ipsecSecret, nil }
	b := newBenchOf(t, cfg)
	h := b.inetIn()
	words := k.office(b, h)
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.answers(true, "")
	return b, h, words
}

// daemonsHere are the daemons of this process's VPNs.
func daemonsHere() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, path := range all {
		cwd, _ := os.Readlink(path)
		stat, _ := os.ReadFile(filepath.Dir(path) + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if strings.HasPrefix(filepath.Base(cwd), "weft-vpn-") && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// TestDaemonFails: what is too long is answered by the router with the tunnel's MTU; a daemon that is killed is started again, and an agent that is killed is followed by another, at the same remote end; a TCP connection through the tunnel lives on.
// It is not run beside others: all daemons of this process are of its VPN.
func TestDaemonFails(t *testing.T) {
	for name, k := range daemonKinds() {
		t.Run(name, func(t *testing.T) {
			w := &ways{}
			t.Cleanup(w.close)
			b, h, words := k.bench(t, benchConfig{way: w.way})
			b.tooLong()
			pids := daemonsHere()
			if len(pids) != 1 {
				t.Fatalf("there are %d daemons", len(pids))
			}
			b.must(syscall.Kill(pids[0], syscall.SIGKILL))
			b.eventually("another daemon runs", func() error {
				if now := daemonsHere(); len(now) != 1 || now[0] == pids[0] {
					return errors.New("it does not")
				}
				return nil
			})
			b.pings(b.vm(), "192.168.50.2")
			b.answers(true, "")
			b.must(h.ServeHTTP(80))
			fetched := make(chan error, 1)
			go func() {
				_, err := b.vm().FetchAt(t.Context(), netip.MustParseAddrPort("192.168.50.2:80"), 4<<20, slowly(512<<10))
				fetched <- err
			}()
			edge, other := b.held()
			b.eventually("the database knows where the peer is", func() error {
				r, err := b.record(other)
				if err == nil && (r.Last == nil || !r.Last.Endpoints["office"].IsValid()) {
					err = errors.New("it does not")
				}
				return err
			})
			for _, pid := range daemonsHere() {
				b.must(syscall.Kill(pid, syscall.SIGSTOP)) // it is to say no goodbye
			}
			told := strings.Count(words.String(), k.learns)
			t.Logf("%s was killed, %s has it: no ping was answered for %v", edge, other, b.kill(b.vm(), "192.168.50.2", w, edge, other))
			if err := <-fetched; err != nil {
				t.Errorf("the TCP connection: %v", err)
			}
			if k.learns != "" && strings.Count(words.String(), k.learns) == told {
				t.Errorf("the office did not learn by a call that the holder is gone")
			}
		})
	}
}

// tooLong checks that what just fits into a tunnel with an MTU of 1300 gets through, and that what does not is answered by the router.
func (b *bench) tooLong() {
	b.Helper()
	for _, a := range []struct {
		to, by  string
		headers int
	}{{"192.168.50.2", "10.1.0.1", 28}, {"fd50::2", "fd01::1", 48}} {
		b.eventually("a ping of 1300 bytes is answered", func() error {
			_, err := b.vm().PingWith(b.Context(), netip.MustParseAddr(a.to), host.PingConfig{Count: 1, Size: 1300 - a.headers, DontFragment: true})
			return err
		})
		_, err := b.vm().PingWith(b.Context(), netip.MustParseAddr(a.to), host.PingConfig{Count: 1, Size: 1301 - a.headers, DontFragment: true})
		if tooBig := (*host.ICMPError)(nil); !errors.As(err, &tooBig) || tooBig.Kind != host.TooBig || tooBig.MTU != 1300 || tooBig.From.String() != a.by {
			b.Errorf("a ping of 1301 bytes to %s: %v", a.to, err)
		}
	}
}
