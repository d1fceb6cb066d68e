package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wire"
)

// lookAgain is how often a lab looks whether something that can't tell has happened.
const lookAgain = 10 * time.Millisecond

// process is a softswitch in a process of its own: cables and gRPC are unix sockets.
type process struct {
	child   *child
	socket  string // of gRPC
	ways    p4rt.Profile
	patches attached
	access  attached // of patches: those to hosts
}

func newProcess(executable string, cfg targetConfig) (target, error) {
	t := &process{socket: filepath.Join(cfg.dir, cfg.edge+".p4rt"), ways: cfg.profile()}
	args := []string{executable, "softswitch", "--no-p4", "--device-id", strconv.FormatUint(cfg.deviceID, 10),
		"--cpu-port", strconv.Itoa(offload.CPUPort), "--grpc-server-addr", "unix:" + t.socket}
	if cfg.stratum {
		args = append(args, "--profile", t.ways.Name)
	}
	for _, n := range slices.Sorted(maps.Keys(cfg.ports)) {
		path := filepath.Join(cfg.dir, fmt.Sprintf("%s.port%d", cfg.edge, n))
		args = append(args, "-i", fmt.Sprintf("%d@unix:%s", n, path))
		p, err := port.Open("unix:" + path)
		if err != nil {
			return nil, errors.Join(err, t.patches.close())
		}
		t.patches = append(t.patches, wire.NewPatch(cfg.ports[n], p))
		if n <= lastAccess {
			t.access = append(t.access, t.patches[len(t.patches)-1])
		}
	}
	if cfg.kernel != nil {
		args = append(args, "-i", fmt.Sprintf("%d@%s", cfg.kernelPort, cfg.kernel.target))
	}
	t.child = newChild(cfg.dir, cfg.edge+".softswitch", args...)
	if cfg.kernel != nil {
		t.child.in = cfg.kernel.enter
	}
	return t, nil
}

func (t *process) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range t.patches {
		g.Go(func() error { return p.Run(ctx) })
	}
	g.Go(func() error { return t.child.run(ctx) })
	return g.Wait()
}

func (t *process) serves(ctx context.Context) error { return waitForSocket(ctx, t.socket) }
func (t *process) address() string                  { return "unix:" + t.socket }
func (t *process) gnmi() (string, []grpc.DialOption) {
	return "unix:" + t.socket, plain()
}
func (t *process) profile() p4rt.Profile            { return t.ways }
func (t *process) lost() (frames, packetIns uint64) { return t.access.lost(), 0 }
func (t *process) lossy() bool                      { return false }
func (t *process) dial(ctx context.Context) (p4rt.Conn, error) {
	return dialSocket(ctx, t.socket)
}

// waitForSocket returns when something listens at a unix socket.
func waitForSocket(ctx context.Context, path string) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nothing listens at %s: %w: %w", path, context.Cause(ctx), err)
		}
	}
}
