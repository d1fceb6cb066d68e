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

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wire"
)

const (
	bmv2Program = "simple_switch_grpc"
	dropPort    = 511                // of the pipeline
	vethMTU     = port.MaxFrame - 18 // bytes of IP packet: what a port carries
)

// bmv2 is a simple_switch_grpc in a network namespace of its own, which has no name: it goes with the process and the lab. Ports are veth pairs, whose
// other ends the lab drives by packet sockets; what else bmv2 listens at (Thrift) is reachable in the namespace only. gRPC is a unix socket.
type bmv2 struct {
	child     *child
	socket    string // of gRPC
	namespace netns.NsHandle
	ports     map[uint16]*wire.End
	patches   attached
	access    attached // of patches: those to hosts
}

func newBMv2(cfg targetConfig) (target, error) {
	program, err := exec.LookPath(bmv2Program)
	if err != nil {
		return nil, fmt.Errorf("target bmv2: %w; install p4lang's behavioral-model, or use --target softswitch", err)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("target bmv2: needs root, for network namespaces and veth pairs; use --target softswitch without")
	}
	t := &bmv2{socket: filepath.Join(cfg.dir, cfg.edge+".p4rt"), ports: cfg.ports, namespace: netns.None()}
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
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range t.patches {
		g.Go(func() error { return p.Run(ctx) })
	}
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
		if err := makeVeth(switchVeth(n), labVeth(n)); err != nil {
			return err
		}
		p, err := port.OpenInterface(labVeth(n))
		if err != nil {
			return err
		}
		patch := wire.NewPatch(end, p)
		t.patches = append(t.patches, patch)
		if n <= lastAccess {
			t.access = append(t.access, patch)
		}
	}
	return nil
}

// makeVeth makes a veth pair in the namespace of the thread, and brings both ends up.
func makeVeth(a, b string) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = a, vethMTU
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: b, PeerMTU: vethMTU}); err != nil {
		return fmt.Errorf("make veth pair %s, %s: %w", a, b, err)
	}
	for _, name := range []string{a, b} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("bring up %s: %w", name, err)
		}
	}
	return nil
}

func (t *bmv2) serves(ctx context.Context) error { return waitForSocket(ctx, t.socket) }
func (t *bmv2) address() string                  { return "unix:" + t.socket }
func (t *bmv2) profile() p4rt.Profile            { return p4rt.BMv2() }
func (t *bmv2) lost() uint64                     { return t.access.lost() }
func (t *bmv2) dial(ctx context.Context) (p4rt.Conn, error) {
	return dialSocket(ctx, t.socket)
}
