// Package rtr is an RPKI cache of another maker, StayRTR, on this machine's loopback.
package rtr

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/weft-sdn/weft/rpki"
)

// Missing tells why there can be no cache here; nil: there can.
func Missing() error {
	if _, err := exec.LookPath("stayrtr"); err != nil {
		return errors.New("program stayrtr is not installed: Debian has it in package stayrtr")
	}
	return nil
}

// Need skips a test, and says so, where there can be no cache.
func Need(t testing.TB) {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skipf("NO RPKI CACHE: %v", err)
	}
}

// Cache is a running cache.
type Cache struct {
	Address string // HOST:PORT
	dir     string
	log     io.Writer
	args    []string
	running *exec.Cmd
	ended   chan struct{}
}

// Open starts a cache that tells these; args are further ones of the program, log is for what it says. Close it.
func Open(log io.Writer, vrps []rpki.VRP, args ...string) (*Cache, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rtr")
	c := &Cache{Address: free.Addr().String(), dir: dir, log: log, args: args}
	err = errors.Join(err, free.Close())
	if err == nil {
		err = c.Write(vrps)
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

func (c *Cache) file() string { return filepath.Join(c.dir, "vrps.json") }

// Write has the cache tell these from its next start on.
func (c *Cache) Write(vrps []rpki.VRP) error {
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
	if err != nil {
		return err
	}
	return os.WriteFile(c.file(), raw, 0o644)
}

// Change has the cache tell these from now on.
func (c *Cache) Change(vrps []rpki.VRP) error {
	if err := c.Write(vrps); err != nil {
		return err
	}
	return c.running.Process.Signal(syscall.SIGHUP)
}

// Start starts a cache that was stopped: it has a session of its own.
func (c *Cache) Start() error {
	cmd := exec.Command("stayrtr", append([]string{"-bind", c.Address, "-cache", c.file(), "-metrics.addr", "", "-checktime=false"}, c.args...)...)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	c.running, c.ended = cmd, ended
	return nil
}

// Stop kills the cache.
func (c *Cache) Stop() {
	_ = c.running.Process.Kill()
	<-c.ended
}

// Close stops the cache for good.
func (c *Cache) Close() {
	c.Stop()
	_ = os.RemoveAll(c.dir)
}
