package rpki

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// stayrtr is a cache of another maker, Debian's package of that name.
type stayrtr struct {
	t       *testing.T
	address string
	file    string
	args    []string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// startStayRTR starts one with VRPs.
func startStayRTR(t *testing.T, vrps []VRP, args ...string) *stayrtr {
	t.Helper()
	if _, err := exec.LookPath("stayrtr"); err != nil {
		t.Skip("NO RPKI CACHE: program stayrtr is not installed: Debian has it in package stayrtr")
	}
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stayrtr{t: t, address: l.Addr().String(), file: filepath.Join(t.TempDir(), "vrps.json"), args: args}
	l.Close()
	s.write(vrps)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *stayrtr) write(vrps []VRP) {
	s.t.Helper()
	type roa struct {
		Prefix    netip.Prefix `json:"prefix"`
		MaxLength uint8        `json:"maxLength"`
		ASN       string       `json:"asn"`
	}
	list := []roa{}
	for _, v := range vrps {
		list = append(list, roa{v.Prefix, v.MaxLen, fmt.Sprintf("AS%d", v.AS)})
	}
	raw, err := json.Marshal(map[string]any{"roas": list})
	if err == nil {
		err = os.WriteFile(s.file, raw, 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stayrtr) start() {
	s.t.Helper()
	s.cmd = exec.Command("stayrtr", append([]string{"-bind", s.address, "-cache", s.file, "-metrics.addr", "", "-checktime=false"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.t.Output(), s.t.Output()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
}

func (s *stayrtr) stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// change has the cache tell these VRPs.
func (s *stayrtr) change(vrps []VRP) {
	s.t.Helper()
	s.write(vrps)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

func vrp(prefix string, most uint8, as uint32) VRP { return VRP{netip.MustParsePrefix(prefix), most, as} }

// startClient runs a client of caches until the test ends.
func startClient(t *testing.T, caches ...Cache) *Client {
	t.Helper()
	c := New(caches, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

// eventually waits until it is so.
func eventually(t *testing.T, c *Client, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s; caches %+v", what, c.Status())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestStayRTR: a cache of another maker tells what it has, in either version of the protocol, and what changes; after it was away, too, and in another session.
func TestStayRTR(t *testing.T) {
	for _, version := range []uint8{0, 1, 2} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			first := []VRP{vrp("198.51.100.0/22", 24, 64501), vrp("198.51.100.0/24", 24, 64502), vrp("2001:db8:51::/48", 48, 64501), vrp("203.0.113.0/24", 24, 0)}
			cache := startStayRTR(t, first, "-protocol", fmt.Sprint(version), "-rtr.refresh", "7", "-rtr.retry", "8", "-rtr.expire", "900")
			c := startClient(t, Cache{Address: cache.address})
			eventually(t, c, "it told all", func() bool { s := c.Status()[0]; return s.Up && s.V4 == 3 && s.V6 == 1 })
			s := c.Status()[0]
			if want := min(version, 1); s.Version != want {
				t.Errorf("version %d, want %d", s.Version, want)
			}
			if version > 0 && (s.Refresh != 7 || s.Retry != 8 || s.Expire != 900) {
				t.Errorf("timers %+v", s)
			}
			check := func(prefix string, from uint32, want State) {
				t.Helper()
				if got, why := c.Validate(netip.MustParsePrefix(prefix), from); got != want {
					t.Errorf("%s of AS %d is %s (%v), want %s", prefix, from, got, why, want)
				}
			}
			check("198.51.100.0/24", 64501, Valid)
			check("198.51.100.0/24", 64502, Valid)
			check("198.51.101.0/24", 64502, Invalid)
			check("198.51.100.0/25", 64501, Invalid)
			check("203.0.113.0/24", 64501, Invalid)
			check("203.0.113.0/24", NoOrigin, Invalid)
			check("2001:db8:51::/48", 64501, Valid)
			check("2001:db8:51::/48", 64502, Invalid)
			check("2001:db8::/32", 64502, NotFound)
			check("192.0.2.0/24", 64501, NotFound)

			second := append(first[1:3:3], vrp("192.0.2.0/24", 24, 64503), vrp("2001:db8:52::/48", 64, 64503))
			cache.change(second)
			eventually(t, c, "it told what changed", func() bool { s := c.Status()[0]; return s.V4 == 2 && s.V6 == 2 })
			check("198.51.101.0/24", 64502, NotFound)
			check("192.0.2.0/24", 64503, Valid)
			check("2001:db8:52:1::/64", 64503, Valid)

			cache.stop()
			eventually(t, c, "it is away", func() bool { s := c.Status()[0]; return !s.Up && s.V4 == 2 && s.V6 == 2 && s.Lost == 1 && s.Why != "" })
			check("192.0.2.0/24", 64503, Valid)
			cache.write(first)
			cache.start()
			eventually(t, c, "it is back", func() bool { s := c.Status()[0]; return s.Up && s.V4 == 3 && s.V6 == 1 && s.Why == "" })
			check("192.0.2.0/24", 64503, NotFound)
			check("203.0.113.0/24", 64501, Invalid)
		})
	}
}
