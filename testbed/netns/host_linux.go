package netns

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/nic"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// tools are the programs that a Host runs.
var tools = [...]string{"ping", "curl", "iperf3"}

// Missing tells what New and its hosts lack on this machine: privileges or programs. It is nil if nothing is missing.
func Missing() error {
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("network namespaces as hosts need %s on PATH", strings.Join(missing, ", "))
	}
	return Denied()
}

// Denied tells what New lacks on this machine, if nobody asks its hosts to run programs: privileges. It is nil if nothing is missing.
func Denied() error {
	ns, err := newNamespace()
	if err != nil {
		return fmt.Errorf("network namespaces as hosts need root: %w", err)
	}
	defer ns.close()
	return ns.do(func() error {
		tap, err := port.OpenTAP(device)
		if err != nil {
			return fmt.Errorf("network namespaces as hosts need root and /dev/net/tun: %w", err)
		}
		return tap.Close()
	})
}

// Host is a running machine. It is safe for concurrent use.
//
// Frames pass between its TAP interface and the link in this process, which counts them: what the link delivered is counted before the kernel sees it.
type Host struct {
	cfg     host.Config
	ns      *namespace
	tap     *port.TAP
	index   int // of the interface
	link    atomic.Pointer[host.Link]
	witness *host.Witness

	ctx     context.Context // ends with Close; bounds everything that runs
	cancel  context.CancelFunc
	running sync.WaitGroup // services, the pump, processes

	sent, sentBytes, received, receivedBytes, noLink, injected, refused atomic.Uint64
}

var _ scenario.Machine = (*Host)(nil)

// New powers a machine on and plugs it into link (nil: Connect later). It needs root. VLANs are not its affair: what it is plugged into tags.
func New(cfg host.Config, link host.Link) (scenario.Machine, error) {
	if err := cfg.Complete(); err != nil {
		return nil, err
	}
	if cfg.VLAN != 0 {
		return nil, fmt.Errorf("host %s: VLAN %d: a network namespace sends untagged frames; have what it is plugged into tag them", cfg.Name, cfg.VLAN)
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h := &Host{cfg: cfg, ns: ns}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.witness = host.NewWitness(h.ctx.Done())
	if err := ns.do(h.setUp); err != nil {
		h.Close()
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h.running.Go(h.pump)
	h.Connect(link)
	if err := h.awaitAddresses(); err != nil {
		h.Close()
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	return h, nil
}

// pump carries what the kernel sends to the link. A TAP gives one frame at a time.
func (h *Host) pump() {
	frame, size := [][]byte{make([]byte, port.MaxFrame)}, make([]int, 1)
	for {
		if _, err := h.tap.Recv(frame, size); err != nil {
			return // closed
		}
		h.send(frame[0][:size[0]])
	}
}

func (h *Host) send(frame []byte) {
	link := h.link.Load()
	if link == nil {
		h.noLink.Add(1)
		return
	}
	h.sent.Add(1)
	h.sentBytes.Add(uint64(len(frame)))
	(*link).Send(frame)
}

// receive carries what the link delivers to the kernel.
func (h *Host) receive(frame []byte) {
	h.received.Add(1)
	h.receivedBytes.Add(uint64(len(frame)))
	h.witness.Observe(frame)
	if n, err := h.tap.Send([][]byte{frame}); n == 0 || err != nil {
		h.refused.Add(1)
	}
}

// Connect implements scenario.Machine.
func (h *Host) Connect(link host.Link) {
	var next *host.Link
	if link != nil {
		next = &link
	}
	if before := h.link.Swap(next); before != nil {
		(*before).SetReceiver(nil)
	}
	if link != nil {
		link.SetReceiver(h.receive)
	}
}

// InjectAll implements scenario.Machine: the frames pass by the kernel.
func (h *Host) InjectAll(ctx context.Context, frames iter.Seq[[]byte]) error {
	for frame := range frames {
		if link := h.link.Load(); link != nil {
			if err := nic.WaitRoom(ctx, *link); err != nil {
				return err
			}
		}
		h.injected.Add(1)
		h.send(frame)
	}
	return nil
}

// Name implements scenario.Machine.
func (h *Host) Name() string { return h.cfg.Name }

// MAC implements scenario.Machine.
func (h *Host) MAC() [6]byte { return h.cfg.MAC }

// Gateways implements scenario.Machine.
func (h *Host) Gateways() []netip.Addr { return h.cfg.Gateways }

// Addrs implements scenario.Machine.
func (h *Host) Addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, prefix := range h.cfg.Addrs {
		addrs = append(addrs, prefix.Addr())
	}
	return addrs
}

// Tap implements scenario.Machine.
func (h *Host) Tap(depth int) *host.Tap { return h.witness.Tap(depth) }

// Counters implements scenario.Machine: frames as this process carried them, the rest by the kernel's own statistics.
func (h *Host) Counters() host.Counters {
	c := host.Counters{
		Counters: nic.Counters{
			FramesSent: h.sent.Load(), BytesSent: h.sentBytes.Load(),
			FramesReceived: h.received.Load(), BytesReceived: h.receivedBytes.Load(),
			Malformed: h.refused.Load(), NoLink: h.noLink.Load(),
		},
		Injected: h.injected.Load(),
	}
	_ = h.ns.do(func() error { // a host that is closed has none
		stats, err := readStatistics()
		if err != nil {
			return err
		}
		c.PacketsSent, c.PacketsReceived = stats["IpOutRequests"]+stats["Ip6OutRequests"], stats["IpInReceives"]+stats["Ip6InReceives"]
		c.PacketsMalformed = stats["IpInHdrErrors"] + stats["Ip6InHdrErrors"]
		c.TCPRetransmits, c.TCPResetsSent, c.TCPChecksumErrors = stats["TcpRetransSegs"], stats["TcpOutRsts"], stats["TcpInCsumErrors"]
		c.UDPChecksums = stats["UdpInCsumErrors"] + stats["Udp6InCsumErrors"]
		c.UDPSent, c.UDPReceived = stats["UdpOutDatagrams"]+stats["Udp6OutDatagrams"], stats["UdpInDatagrams"]+stats["Udp6InDatagrams"]
		c.UDPUnknown = stats["UdpNoPorts"] + stats["Udp6NoPorts"]
		return nil
	})
	return c
}

// Close implements scenario.Machine. The namespace goes when nothing of it is open any more.
func (h *Host) Close() {
	h.cancel()
	h.Connect(nil)
	if h.tap != nil {
		_ = h.tap.Close() // a descriptor of our own: there is nothing to be done about it
	}
	h.running.Wait()
	_ = h.ns.close()
}
