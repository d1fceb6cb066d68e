//go:build unix

package vpn

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// words is a log that several goroutines write.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// clockNetwork has a VPN that calls its peer; %q are where that is, and its public key.
const clockNetwork = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30], mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: v, tenant: acme}, spec: {vport: office, mtu: 1300, peers: [{name: p, endpoint: %q, publicKey: %q, allowedIPs: [192.168.0.0/16, "fd50::/64"]}]}}
`

// clockDatabase is a store with clockNetwork in it.
func clockDatabase(t *testing.T, at, public string) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	running(t, s.Run)
	objects, err := topology.Decode("net.yaml", fmt.Appendf(nil, clockNetwork, at, public))
	if err == nil {
		_, err = s.Apply(t.Context(), objects)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running runs something until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestClocksDiffer: an edge whose clock is ahead held the VPN, and its handshake has a later stamp than the next holder's clock. The remote end, an independent WireGuard, refuses what is not later; the next holder waits for that, is heard, and says what happened; nothing that is told or logged has a key.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	office, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := socket.LocalAddr().(*net.UDPAddr)
	socket.Close()
	s := clockDatabase(t, at.String(), base64.StdEncoding.EncodeToString(office.PublicKey().Bytes()))
	seal, err := ParseSeal(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, keyLen)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.generate("acme/v")
	if err == nil {
		err = s.StoreVPNKey(t.Context(), "acme/v", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := seal.open("acme/v", &key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		t.Fatal(err)
	}

	far := newEnd()
	peer := device.NewDevice(far, conn.NewStdNetBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(peer.Close)
	if err = peer.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n", hex.EncodeToString(office.Bytes()), at.Port, hex.EncodeToString(private.PublicKey().Bytes()))); err == nil {
		err = peer.Up()
	}
	if err != nil {
		t.Fatal(err)
	}

	// The edge that is ahead.
	all, err := s.VPNs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hold, err := s.HoldVPN(t.Context(), all["acme/v"], "ahead", "if0")
	if err != nil {
		t.Fatal(err)
	}
	const ahead = 1500 * time.Millisecond
	stamp := time.Now().Add(ahead)
	heard(t, at, private, office.PublicKey(), stamp)
	if err := hold.Leave(t.Context(), state.VPNLast{Stamp: stamp, Endpoints: map[string]netip.AddrPort{"p": at.AddrPort()}}); err != nil {
		t.Fatal(err)
	}
	hold.Release(t.Context())

	// The one that is behind.
	log := new(words)
	near, _ := port.NewLink("agent", "switch", 0)
	k := New(Config{Edge: "behind", Store: s, Interface: "if0", Seal: seal, Open: func() (Port, error) { return near, nil }, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	k.Live(true)
	running(t, k.Run)
	status := func() Status {
		list := k.Status()
		if len(list) != 1 {
			return Status{}
		}
		return list[0]
	}
	wait.Until(t, "the edge that is behind is heard", func() bool { return status().State == Up })
	is := status()
	if is.Takeovers != 1 || is.Holder != "behind" || len(is.Peers) != 1 || is.Peers[0].Handshake.Before(stamp) {
		t.Errorf("%+v; the stamp of the handshake before was %v", is, stamp)
	}
	var told string
	wait.Until(t, "the events tell of it", func() bool {
		events, _, err := s.Events(t.Context(), state.EventFilter{Tenant: "acme", Source: "behind"})
		if err != nil {
			t.Fatal(err)
		}
		told = fmt.Sprintf("%+v", events)
		return !slices.ContainsFunc([]string{"ClockBehind", "Held", "PeerUp"}, func(reason string) bool {
			return !slices.ContainsFunc(events, func(e state.LoggedEvent) bool { return e.Reason == reason })
		})
	})
	said := log.String() + told + fmt.Sprintf("%+v", is)
	for what, secret := range map[string][]byte{"the VPN's": raw[:], "the seal's": bytes.Repeat([]byte{7}, keyLen)} {
		if strings.Contains(said, hex.EncodeToString(secret)) || strings.Contains(said, base64.StdEncoding.EncodeToString(secret)) {
			t.Errorf("%s key is in what is told", what)
		}
	}
}

// heard has a remote end take a handshake with a stamp, and refuse one that is not later.
func heard(t *testing.T, at net.Addr, private *ecdh.PrivateKey, to *ecdh.PublicKey, stamp time.Time) {
	t.Helper()
	c, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const taken, early, late = 1, 2, 3
	// answered sends handshakes until one of them is answered: an answer names whose it is.
	answered := func(next func() []byte) uint32 {
		b := make([]byte, 1500)
		for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
			if _, err := c.Write(next()); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := c.Read(b); err == nil && n == device.MessageResponseSize {
				return binary.LittleEndian.Uint32(b[8:])
			}
		}
		t.Fatal("no handshake is answered")
		return 0
	}
	if got := answered(func() []byte { return initiation(t, private, to, taken, stamp.Add(-100*time.Millisecond)) }); got != taken {
		t.Fatalf("answered %d", got)
	}
	n := 0
	if got := answered(func() []byte {
		if n++; n <= 3 {
			return initiation(t, private, to, early, stamp.Add(-200*time.Millisecond))
		}
		return initiation(t, private, to, late, stamp)
	}); got != late {
		t.Fatalf("the remote end answers a handshake with an earlier stamp: %d", got)
	}
}
