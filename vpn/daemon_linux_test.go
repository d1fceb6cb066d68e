package vpn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/testbed/wait"
)

// TestMissing: an edge says what it lacks for a daemon.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := missing("OpenVPN", "openvpn", "openvpn")
	if err == nil || err.Error() != "OpenVPN at this edge takes root, /dev/net/tun and Debian's openvpn: openvpn is not installed" {
		t.Error(err)
	}
}

// needCell skips a test where there are no namespaces.
func needCell(t *testing.T, ended func(string)) *cell {
	t.Helper()
	c, err := newCell(slog.New(slog.DiscardHandler), nobody(), ended)
	if err != nil {
		t.Skipf("SKIPPED: it takes root: %v", err)
	}
	t.Cleanup(c.close)
	return c
}

// TestCell: a daemon that ends is started again, with what it said as the reason, its folder is nobody else's, and both are gone when the cell is.
func TestCell(t *testing.T) {
	ended := make(chan string, 100)
	c := needCell(t, func(why string) { ended <- why })
	if info, err := os.Stat(c.folder.path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	c.run(func(ctx context.Context) error {
		return c.exec(ctx, strings.NewReader("no good\n"), nil, endTime, func(line string) { c.complain("it said: " + line) }, "sh", "-c", "cat; exit 3")
	})
	for range 2 {
		if why := <-ended; why != "it said: no good" {
			t.Errorf("it ended: %s", why)
		}
	}
	c.close()
	if _, err := os.Stat(c.folder.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
}

// TestRelay: packets of a daemon get to its peer and back, of strangers to a daemon that calls none, and nothing when the VPN is not held.
func TestRelay(t *testing.T) {
	c := needCell(t, func(string) {})
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			peer, err := net.ListenPacket("udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			n := new(counts)
			var held atomic.Bool
			held.Store(true)
			bind := conn.NewStdNetBind()
			r, err := newRelay(c.space, bind, held.Load, n, 0, netip.AddrPort{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			l, called, err := r.caller()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.call(l, peer.LocalAddr().String()); err != nil {
				t.Fatal(err)
			}
			var daemon net.Conn
			if err := c.space.do(func() (err error) {
				daemon, err = net.Dial("udp", called.String())
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer daemon.Close()
			buf := make([]byte, 100)
			fmt.Fprint(daemon, "hello")
			k, from, err := peer.ReadFrom(buf)
			if err != nil || string(buf[:k]) != "hello" {
				t.Fatalf("%q, %v", buf[:k], err)
			}
			stranger, err := net.ListenPacket("udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer stranger.Close()
			if _, err := stranger.WriteTo([]byte("bad"), from); err != nil {
				t.Fatal(err)
			}
			wait.Until(t, "the stranger's is dropped", func() bool { return n.notForUs.Load() == 1 })
			if _, err := peer.WriteTo([]byte("good"), from); err != nil {
				t.Fatal(err)
			}
			if k, err := daemon.Read(buf); err != nil || string(buf[:k]) != "good" {
				t.Fatalf("%q, %v", buf[:k], err)
			}
			held.Store(false)
			fmt.Fprint(daemon, "late")
			wait.Until(t, "what is not held is dropped", func() bool { return n.notHeld.Load() == 1 })
		})
	}
}
