package wireguard

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/weft-sdn/weft/testbed/host"
)

// Config describes a site.
type Config struct {
	Host       host.Config // the host behind the tunnel; its gateway is the tunnel's end
	PrivateKey string      // in base64
	PeerKey    string      // of the other end, the same
	Preshared  string      // the same; empty: none
	Endpoint   string      // where the other end is; empty: it calls
	ListenPort uint16
	Keepalive  int // seconds
	AllowedIPs []netip.Prefix
	Bind       conn.Bind // nil: the system's sockets
	Logf       func(format string, args ...any)
}

// Site is a host in memory behind wireguard-go.
type Site struct {
	*host.Host
	device *device.Device
	peer   string // key of the other end, in hex
	about  string // the other end, as it was set up

	answers sync.WaitGroup
}

// New brings a site up.
func New(cfg Config) (*Site, error) {
	g := newGateway(cfg.Host.MTU, cfg.Host.MAC)
	h, err := host.New(cfg.Host, g)
	if err != nil {
		return nil, err
	}
	if cfg.Bind == nil {
		cfg.Bind = conn.NewStdNetBind()
	}
	if cfg.Logf == nil {
		cfg.Logf = device.DiscardLogf
	}
	raw, _ := base64.StdEncoding.DecodeString(cfg.PeerKey) // checked below
	s := &Site{peer: hex.EncodeToString(raw), Host: h, device: device.NewDevice(g, cfg.Bind, &device.Logger{Verbosef: cfg.Logf, Errorf: cfg.Logf})}
	s.answers.Go(g.answers)
	text, err := cfg.text()
	if err == nil {
		_, s.about, _ = strings.Cut(text, "\npublic_key=")
		err = s.device.IpcSet(text)
	}
	if err == nil {
		err = s.device.Up()
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("site %s: %w", cfg.Host.Name, err)
	}
	return s, nil
}

// text is the configuration as wireguard-go takes it.
func (c *Config) text() (string, error) {
	var b strings.Builder
	key := func(name, text string) error {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != 32 {
			return fmt.Errorf("%s is no key", name)
		}
		fmt.Fprintf(&b, "%s=%s\n", name, hex.EncodeToString(raw))
		return nil
	}
	if err := key("private_key", c.PrivateKey); err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "listen_port=%d\n", c.ListenPort)
	if err := key("public_key", c.PeerKey); err != nil {
		return "", err
	}
	if c.Preshared != "" {
		if err := key("preshared_key", c.Preshared); err != nil {
			return "", err
		}
	}
	if c.Endpoint != "" {
		fmt.Fprintf(&b, "endpoint=%s\n", c.Endpoint)
	}
	fmt.Fprintf(&b, "persistent_keepalive_interval=%d\n", c.Keepalive)
	for _, p := range c.AllowedIPs {
		fmt.Fprintf(&b, "allowed_ip=%s\n", p)
	}
	return b.String(), nil
}

// Peer is the other end's key, in hex.
func (s *Site) Peer() string { return s.peer }

// Restart forgets what was agreed on with the other end, as an office does whose router restarts.
func (s *Site) Restart() error {
	return s.device.IpcSet("public_key=" + s.peer + "\nremove=true\npublic_key=" + s.about)
}

// UAPI tells how WireGuard is, as its configuration protocol does.
func (s *Site) UAPI() (string, error) { return s.device.IpcGet() }

// Set changes WireGuard's configuration, by its protocol.
func (s *Site) Set(text string) error { return s.device.IpcSet(text) }

// Close takes the site down.
func (s *Site) Close() {
	s.device.Close() // and the gateway with it
	s.answers.Wait()
	s.Host.Close()
}
