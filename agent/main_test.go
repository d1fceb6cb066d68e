package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDir is a temporary directory whose path leaves room for the names of sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// running starts run and ends it, with its error checked, when the test does or the returned function is called.
func running(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("did not end within 30 s")
		}
	}
	t.Cleanup(stop)
	return stop
}

// until asks again and again, and fails the test with what is last missing if that does not end.
func until(t *testing.T, missing func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for what := missing(); what != ""; what = missing() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after three minutes: %s", what)
		}
	}
}

func logger(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// startDatabase starts an empty database.
func startDatabase(t *testing.T, cfg state.EmbeddedConfig) (endpoint string, stop func()) {
	t.Helper()
	cfg.FastTimers, cfg.UnsafeNoFsync = true, true
	if cfg.Dir == "" {
		cfg.Dir = shortDir(t)
	}
	e, err := state.StartEmbedded(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e.Endpoints()[0], running(t, e.Run)
}

// openStore opens a database as another process would.
func openStore(t *testing.T, etcd Etcd) *state.Store {
	t.Helper()
	client, err := etcd.Client()
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(t.Context(), state.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	running(t, s.Run)
	return s
}

// startSwitch runs a softswitch with access ports 1 and 2 and uplink 256, each a cable in dir.
func startSwitch(t *testing.T, dir, address string, tls cli.TLS) (stop func()) {
	t.Helper()
	c := cli.Config{
		NoP4: true, DeviceID: 1, CPUPort: 510, DropPort: 511, Address: address, TLS: tls,
		Interfaces: []string{"1@unix:" + dir + "/p1", "2@unix:" + dir + "/p2", "256@unix:" + dir + "/up"},
	}
	return running(t, func(ctx context.Context) error { return cli.Run(ctx, c, t.Output()) })
}

// network is a bridge with two hosts at interfaces p1 and p2 of edge nic1, whose MACs and addresses are configured.
const network = `apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: acme}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: acme}
spec: {device: bridge/lan, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24, "fd00::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: acme}
spec: {device: bridge/lan, mac: 02:00:00:00:00:02, addresses: [10.0.0.2/24, "fd00::2/64"]}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm1, tenant: acme}
spec: {vport: vm1, edge: nic1, interface: p1}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm2, tenant: acme}
spec: {vport: vm2, edge: nic1, interface: p2}
`

func apply(t *testing.T, s *state.Store, yaml string) int64 {
	t.Helper()
	objects, err := topology.Decode("network.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := s.Apply(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// station is a host's end of a cable: it sends frames and counts those that it gets.
type station struct {
	port *port.Unix
	got  chan []byte
}

func plug(t *testing.T, path string) *station {
	t.Helper()
	p, err := port.OpenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{port: p, got: make(chan []byte, 64)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		frame, size := [][]byte{make([]byte, port.MaxFrame)}, []int{0}
		for {
			if _, err := p.Recv(frame, size); err != nil {
				return
			}
			select {
			case s.got <- append([]byte(nil), frame[0][:size[0]]...):
			default:
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-ended })
	return s
}

// udp is a packet from host from of network to host to, of the IP family of prefix "10.0.0." or "fd00::".
func udp(prefix string, from, to byte) []byte {
	addr := func(n byte) netip.Addr { return netip.MustParseAddr(prefix + string('0'+n)) }
	return packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, from}, DstMAC: packet.MAC{2, 0, 0, 0, 0, to}, Src: addr(from), Dst: addr(to), SrcPort: 40000, DstPort: 53,
	})
}
