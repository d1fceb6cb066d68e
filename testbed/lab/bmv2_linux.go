package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wire"
)

const (
	bmv2Program = "simple_switch_grpc"
	dropPort    = 511  // of the pipeline
	portRate    = 5000 // frames a second that hosts may give a port: well below what bmv2 can take, since it does not tell when it can't
	portBurst   = 200  // frames beyond that: what its receive queue holds without it
	roomForTags = 8    // bytes that a frame may be longer than its IP packet by, beside the Ethernet header
)

// bmv2 is a simple_switch_grpc in a network namespace of its own, which has no name: it goes with the process and the lab. Ports are veth pairs, whose
// other ends the lab drives by packet sockets; what else bmv2 listens at (Thrift) is reachable in the namespace only. gRPC is at unix sockets.
type bmv2 struct {
	child     *child
	socket    string // of P4Runtime
	telemetry string // of gNMI, the lab's
	deviceID  uint64
	namespace netns.NsHandle
	mtu       int
	ports     map[uint16]*wire.End
	patches   attached
	access    attached // of patches: those to hosts
	sockets   packetSockets
}

// bmv2Missing tells why there can be no bmv2 here.
func bmv2Missing() error {
	if _, err := exec.LookPath(bmv2Program); err != nil {
		return fmt.Errorf("%w; install p4lang's behavioral-model", err)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, for network namespaces and veth pairs")
	}
	return nil
}

func newBMv2(cfg targetConfig) (target, error) {
	program, err := exec.LookPath(bmv2Program)
	if err != nil {
		return nil, fmt.Errorf("target bmv2: %w", err)
	}
	t := &bmv2{socket: filepath.Join(cfg.dir, cfg.edge+".p4rt"), telemetry: filepath.Join(cfg.dir, cfg.edge+".gnmi"), deviceID: cfg.deviceID, ports: cfg.ports, mtu: cfg.mtu + roomForTags, namespace: netns.None()}
	args := []string{program, "--no-p4", "--device-id", strconv.FormatUint(cfg.deviceID, 10), "--log-console", "--log-level", "warn"}
	help, err := exec.Command(program, "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("target bmv2: %s --help: %w", program, err)
	}
	if bytes.Contains(help, []byte("--notifications-addr")) {
		args = append(args, "--notifications-addr", "ipc://"+filepath.Join(cfg.dir, cfg.edge+".notifications"))
	}
	for _, n := range slices.Sorted(maps.Keys(cfg.ports)) {
		args = append(args, "-i", fmt.Sprintf("%d@%s", n, switchVeth(n)))
	}
	args = append(args, "--", "--cpu-port", strconv.Itoa(offload.CPUPort), "--drop-port", strconv.Itoa(dropPort), "--grpc-server-addr", "unix:"+t.socket)
	t.child = newChild(cfg.dir, cfg.edge+".bmv2", args...)
	t.child.in = func() error { return netns.Set(t.namespace) }
	return t, nil
}

// switchVeth and labVeth name the ends of a port's veth pair.
func switchVeth(n uint16) string { return fmt.Sprintf("switch%d", n) }
func labVeth(n uint16) string    { return fmt.Sprintf("lab%d", n) }

func (t *bmv2) run(ctx context.Context) (err error) {
	if err := inNewNamespace(t.plugIn); err != nil {
		return errors.Join(err, t.patches.close())
	}
	defer func() { err = errors.Join(err, t.namespace.Close()) }()
	defer t.sockets.close()
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range t.patches {
		g.Go(func() error { return p.Run(ctx) })
	}
	g.Go(func() error { return newCablePorts(t.ports).serve(ctx, t.telemetry, t.deviceID) })
	g.Go(func() error { return t.child.run(ctx) })
	return g.Wait()
}

// inNewNamespace calls fn on a thread in a network namespace of its own.
func inNewNamespace(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		namespace, err := netns.New()
		if err != nil {
			done <- fmt.Errorf("make a network namespace: %w", err)
			return
		}
		defer namespace.Close()
		done <- fn()
	}()
	return <-done
}

// plugIn makes the veth pairs in the namespace of the thread, keeps that namespace, and joins the pairs to the cables.
func (t *bmv2) plugIn() (err error) {
	if t.namespace, err = netns.Get(); err != nil {
		return err
	}
	for _, scope := range []string{"all", "default"} {
		// A kernel that speaks IPv6 on the pairs would send frames of its own into the lab.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for n, end := range t.ports {
		index, err := makeVeth(switchVeth(n), labVeth(n), t.mtu)
		if err != nil {
			return err
		}
		p, err := port.OpenInterface(labVeth(n))
		if err != nil {
			return err
		}
		patch := wire.NewPatch(end, p)
		t.patches = append(t.patches, patch)
		if n <= lastAccess {
			patch.Limit(portRate, portBurst)
			t.access = append(t.access, patch)
			t.sockets.watch(index)
		}
	}
	return nil
}

// makeVeth makes a veth pair in the namespace of the thread, brings both ends up and returns the index of the first. Segmentation is not left to a: bmv2
// would make room for its longest frame in every slot of its receive queue, which would have few then.
func makeVeth(a, b string, mtu int) (int, error) {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = a, mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: b, PeerMTU: uint32(mtu)}); err != nil {
		return 0, fmt.Errorf("make veth pair %s, %s: %w", a, b, err)
	}
	if err := disableOffloads(a); err != nil {
		return 0, err
	}
	index := 0
	for _, name := range []string{b, a} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			index, err = link.Attrs().Index, netlink.LinkSetUp(link)
		}
		if err != nil {
			return 0, fmt.Errorf("bring up %s: %w", name, err)
		}
	}
	return index, nil
}

func (t *bmv2) serves(ctx context.Context) error {
	return errors.Join(waitForSocket(ctx, t.socket), waitForSocket(ctx, t.telemetry))
}
func (t *bmv2) address() string                   { return "unix:" + t.socket }
func (t *bmv2) gnmi() (string, []grpc.DialOption) { return "unix:" + t.telemetry, plain() }
func (t *bmv2) profile() p4rt.Profile             { return p4rt.BMv2() }
func (t *bmv2) lost() (frames, packetIns uint64) {
	return t.access.lost() + t.sockets.dropped(int(t.child.pid.Load())), 0
}
func (t *bmv2) lossy() bool { return true }
func (t *bmv2) dial(ctx context.Context) (p4rt.Conn, error) {
	return dialSocket(ctx, t.socket)
}
