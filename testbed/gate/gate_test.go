package gate

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestGate: what is said to a server stays at a gate that is shut, and arrives when it opens, in order.
func TestGate(t *testing.T) {
	for network, at := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			lis, err := net.Listen(network, at)
			if err != nil {
				t.Fatal(err)
			}
			defer lis.Close()
			go func() { // an echo
				for {
					c, err := lis.Accept()
					if err != nil {
						return
					}
					go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
				}
			}()
			url := map[string]string{"tcp": "http://", "unix": "unix://"}[network] + lis.Addr().String()
			g, err := New(url)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			c, err := net.Dial(network, g.lis.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			says := func(s string) {
				t.Helper()
				if _, err := io.WriteString(c, s); err != nil {
					t.Fatal(err)
				}
			}
			hears := func(want string) {
				t.Helper()
				b := make([]byte, len(want))
				if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
					t.Fatalf("%q, %v, want %q", b, err, want)
				}
			}
			says("a")
			hears("a")
			g.Shut(true)
			says("b")
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatalf("%d bytes come through a gate that is shut", n)
			}
			if err := c.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			says("c")
			g.Shut(false)
			hears("bc")
			g.Cut(true)
			if n, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatalf("%d bytes come by a connection that is cut", n)
			}
			g.Cut(false)
			if c, err = net.Dial(network, g.lis.Addr().String()); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			says("d")
			hears("d")
		})
	}
}
