package softswitch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/port"
)

const (
	bmv2Program = "simple_switch_grpc"
	bmv2Drop    = 511
	peerMTU     = 2000 // room for a tunnel around the longest frame
)

// needBMv2 skips what needs simple_switch_grpc, and says why.
func needBMv2(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath(bmv2Program)
	if err != nil {
		t.Skipf("NOT COMPARED WITH BMV2: no %s on PATH", bmv2Program)
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT COMPARED WITH BMV2: needs root, for network namespaces and veth pairs")
	}
	return path
}

// peer is a switch in a process and a network namespace of its own. Its ports are veth
// pairs, whose far ends the test holds.
type peer struct {
	*controller
	process *exec.Cmd
	wires   map[uint16]*port.Interface
	tallies map[uint16]*tally
	heard   *heard // by listen
}

// newPeer starts simple_switch_grpc, or this softswitch if program is "".
func newPeer(t testing.TB, program string, ports ...uint16) *peer {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "grpc")
	p := &peer{wires: map[uint16]*port.Interface{}, tallies: map[uint16]*tally{}}
	args := []string{"--no-p4", "--device-id", strconv.Itoa(labDevice), "--log-console", "--log-level", "error"}
	var specs []string
	for _, n := range ports {
		specs = append(specs, fmt.Sprintf("%d@%s", n, nearEnd(n)))
		args = append(args, "-i", specs[len(specs)-1])
	}
	args = append(args, "--", "--cpu-port", strconv.Itoa(labCPU), "--drop-port", strconv.Itoa(bmv2Drop), "--grpc-server-addr", "unix:"+socket)
	p.process = exec.Command(program, args...)
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p.process = exec.Command(self)
		p.process.Env = append(os.Environ(), switchPeer+"="+socket+" "+strings.Join(specs, " "))
		p.process.Stderr = os.Stderr
	}
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.plug(ports)
		if err == nil {
			err = p.process.Start()
		}
		started <- err
		if err == nil {
			_ = p.process.Wait() // it is killed; the thread lives as long, as its death would be the process's
		}
		close(started)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.process.Process.Kill()
		<-started
		for n, w := range p.wires {
			w.Close()
			unix.Close(p.tallies[n].fd)
		}
	})
	p.controller = dialPeer(t, socket)
	return p
}

// dialPeer becomes the primary controller of a switch that is just starting.
func dialPeer(t testing.TB, socket string) *controller {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallSendMsgSize(maxMessage), grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	l := &lab{t: t, client: p4v1.NewP4RuntimeClient(conn)}
	stream, err := l.client.StreamChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{lab: l, stream: stream, cancel: cancel}
	c.arbitrate(1)
	c.want(0)
	return c
}

func nearEnd(n uint16) string { return fmt.Sprintf("s%d", n) }
func farEnd(n uint16) string  { return fmt.Sprintf("h%d", n) }

// plug puts the thread into a network namespace of its own and makes the ports there.
func (p *peer) plug(ports []uint16) error {
	space, err := netns.New()
	if err != nil {
		return err
	}
	defer space.Close()
	for _, scope := range []string{"all", "default"} { // no frames of the kernel's own
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, n := range ports {
		attributes := netlink.NewLinkAttrs()
		attributes.Name, attributes.MTU = nearEnd(n), peerMTU
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: farEnd(n), PeerMTU: peerMTU}); err != nil {
			return err
		}
		for _, name := range []string{farEnd(n), nearEnd(n)} {
			if err := noOffload(name); err != nil {
				return err
			}
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
		}
		if p.wires[n], err = port.OpenInterface(farEnd(n)); err != nil {
			return err
		}
		if p.tallies[n], err = newTally(farEnd(n)); err != nil {
			return err
		}
	}
	return nil
}

// tally counts the frames that arrive at an interface, and takes none of them: the kernel
// counts what does not fit into the queue of its socket.
type tally struct {
	fd    int
	total int64
}

func newTally(name string) (*tally, error) {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: nic.Index}))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &tally{fd: fd}, nil
}

// count is how many frames have arrived.
func (c *tally) count(t testing.TB) int64 {
	t.Helper()
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // which resets them
	if err != nil {
		t.Fatal(err)
	}
	c.total += int64(stats.Packets)
	return c.total
}

// noOffload keeps bmv2 from making room for 64 KiB in each slot of its receive queue.
func noOffload(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, set := range []uint32{unix.ETHTOOL_STXCSUM, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO} {
		value := struct{ command, data uint32 }{set, 0}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data *struct{ command, data uint32 }
			_    [16]byte
		}{data: &value}
		copy(request.name[:unix.IFNAMSIZ-1], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("%s: turn offloads off: %w", name, errno)
		}
	}
	return nil
}

// cpu is the processor time that the switch's process has used.
func (p *peer) cpu() time.Duration {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, field := range f[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// switchPeer tells the test's program to be a switch: its gRPC socket, and its ports.
const switchPeer = "WEFT_SWITCH_PEER"

// bePeer runs the softswitch if that is what the program is started for.
func bePeer() {
	words := strings.Fields(os.Getenv(switchPeer))
	if len(words) == 0 {
		return
	}
	if err := runPeer(words[0], words[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runPeer(socket string, specs []string) error {
	ports := map[uint16]port.Port{}
	for _, spec := range specs {
		number, name, _ := strings.Cut(spec, "@")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return err
		}
		if ports[uint16(n)], err = port.OpenInterface(name); err != nil {
			return err
		}
	}
	s, err := New(Options{DeviceID: labDevice, CPUPort: labCPU, DropPort: bmv2Drop, Ports: ports})
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return s.Serve(ctx, listener)
}
