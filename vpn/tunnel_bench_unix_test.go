//go:build unix

package vpn

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/topology"
)

const (
	benchPacket = 1400 // bytes of IP packet
	benchWindow = 1024 // packets on their way: none is lost
)

// window has as many tokens as packets may be on their way.
type window chan struct{}

func newWindow() window { return make(window, benchWindow) }

func (w window) open() {
	for range benchWindow {
		w <- struct{}{}
	}
}

// take takes one token at least, and as many as are there.
func (w window) take(most int, closed <-chan struct{}) int {
	select {
	case <-closed:
		return 0
	case <-w:
	}
	for n := 1; ; n++ {
		if n == most {
			return n
		}
		select {
		case <-w:
		default:
			return n
		}
	}
}

// end is a TUN device in memory: it gives packets as the window lets it, if it has one to send, and counts those that it gets.
type end struct {
	send   []byte
	from   window // of what it sends
	to     window // of what it gets
	got    chan struct{}
	closed chan struct{}
	events chan tun.Event
}

func newEnd() *end {
	return &end{closed: make(chan struct{}), events: make(chan tun.Event), got: make(chan struct{}, 1<<20)}
}

func (e *end) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if e.send == nil {
		<-e.closed
		return 0, os.ErrClosed
	}
	n := e.from.take(len(bufs), e.closed)
	if n == 0 {
		return 0, os.ErrClosed
	}
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], e.send)
	}
	return n, nil
}

func (e *end) Write(bufs [][]byte, _ int) (int, error) {
	for range bufs {
		if e.to != nil {
			e.to <- struct{}{}
		}
		e.got <- struct{}{}
	}
	return len(bufs), nil
}

func (e *end) File() *os.File           { return nil }
func (e *end) MTU() (int, error)        { return 1420, nil }
func (e *end) Name() (string, error)    { return "end", nil }
func (e *end) Events() <-chan tun.Event { return e.events }
func (e *end) BatchSize() int           { return batchSize }
func (e *end) Close() error             { close(e.closed); close(e.events); return nil }

// pair brings WireGuard up between two TUN devices over loopback, and returns how to end it.
func pair(b *testing.B, near, far tun.Device, bind conn.Bind) func() {
	b.Helper()
	var keys [2]*ecdh.PrivateKey
	var ports [2]int
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			b.Fatal(err)
		}
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ports[i] = c.LocalAddr().(*net.UDPAddr).Port
		c.Close()
	}
	var devices []*device.Device
	for i, t := range []tun.Device{far, near} {
		i = 1 - i // the far end is there when the near one calls
		transport := conn.NewStdNetBind()
		if i == 0 {
			transport = bind
		}
		d := device.NewDevice(t, transport, device.NewLogger(device.LogLevelSilent, ""))
		devices = append(devices, d)
		text := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=0.0.0.0/0\n", hex.EncodeToString(keys[i].Bytes()), ports[i], hex.EncodeToString(keys[1-i].PublicKey().Bytes()), ports[1-i])
		if err := d.IpcSet(text); err != nil {
			b.Fatal(err)
		}
		if err := d.Up(); err != nil {
			b.Fatal(err)
		}
	}
	if err := devices[1].LookupPeer(device.NoisePublicKey(keys[1].PublicKey().Bytes())).SendHandshakeInitiation(false); err != nil {
		b.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; {
		text, err := devices[1].IpcGet()
		if err == nil && !strings.Contains(text, "last_handshake_time_sec=0\n") {
			break
		}
		if time.Now().After(limit) {
			b.Fatalf("no handshake: %v", err)
		}
		runtime.Gosched()
	}
	return func() {
		for _, d := range devices {
			d.Close()
		}
	}
}

// await waits for packets that have come.
func await(b *testing.B, got <-chan struct{}, n int) {
	b.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for i := range n {
		select {
		case <-got:
		case <-limit.C:
			b.Fatalf("%d of %d packets came", i, n)
		}
	}
}

// BenchmarkTunnel reports vpn_vs_wireguard_go: how fast packets go from a data port through a private port and WireGuard, over loopback, beside WireGuard alone between two TUN devices in memory: the median of the ratios of turns in one run. vpn_vs_wireguard_go_cpu: the same of processor time, which others on the machine
// disturb less. Both sides send the same packets, as many at a time as a window lets them, so that none is lost.
func BenchmarkTunnel(b *testing.B) {
	const warm, packets, turns = 5000, 30000, 7
	ip := packet.AppendUDP(nil, &packet.UDP{Src: ipA, Dst: ipB, SrcPort: 1, DstPort: 2, Payload: make([]byte, benchPacket-packet.IPv4Len-packet.UDPLen)})[packet.EthernetLen:]
	bare := func() cost {
		near, far := newEnd(), newEnd()
		near.send, near.from = ip, newWindow()
		far.to = near.from
		stop := pair(b, near, far, conn.NewStdNetBind())
		defer stop()
		near.from.open()
		await(b, far.got, warm)
		return measured(func() { await(b, far.got, packets) })
	}
	ours := func() cost {
		c := newCable(b)
		site := testSite()
		site.Spec.Peers = []topology.VPNPeerSpec{{AllowedIPs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}
		valid, n := func() bool { return true }, new(counts)
		near, far := newRouted(newPrivate(c.trunk.link(5, n), 1420, valid, n), site), newEnd()
		w := newWindow()
		far.to = w
		g := &gate{Bind: &held{conn.NewStdNetBind(), valid, n}, counts: n, greeted: make(chan struct{}, 1)}
		stop := pair(b, &outlet{near, g}, far, g)
		defer stop()
		feeding := make(chan struct{})
		ended := make(chan struct{})
		defer func() { close(feeding); <-ended }()
		go func() {
			defer close(ended)
			frame := append(append([]byte(nil), near.own[:]...), routerMAC[:]...)
			frame = append(append(frame, 0x81, 0, 0, 5, 8, 0), ip...)
			frames := make([][]byte, port.BatchSize)
			for i := range frames {
				frames[i] = frame
			}
			for {
				n := w.take(len(frames), feeding)
				if n == 0 {
					return
				}
				_, _ = c.end.Send(frames[:n])
			}
		}()
		w.open()
		await(b, far.got, warm)
		return measured(func() { await(b, far.got, packets) })
	}
	for range b.N {
		var alone, through []cost
		var ratios, cpuRatios []float64
		bare()            // the first warms up what both have in common
		for range turns { // there and back, so that what the machine does besides weighs on both alike
			b1, o1, o2, b2 := bare(), ours(), ours(), bare()
			alone, through = append(alone, b1, b2), append(through, o1, o2)
			ratios = append(ratios, float64(b1.time+b2.time)/float64(o1.time+o2.time))
			cpuRatios = append(cpuRatios, float64(b1.cpu+b2.cpu)/float64(o1.cpu+o2.cpu))
		}
		mbps := func(all []cost) float64 {
			var times []float64
			for _, c := range all {
				times = append(times, packets*benchPacket*8/c.time.Seconds()/1e6)
			}
			return median(times)
		}
		b.ReportMetric(mbps(through), "vpn_mbps:Mbit/s")
		b.ReportMetric(mbps(alone), "wireguard_go_mbps:Mbit/s")
		b.ReportMetric(median(ratios), "vpn_vs_wireguard_go:times")
		b.ReportMetric(median(cpuRatios), "vpn_vs_wireguard_go_cpu:times")
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// cost is what something took.
type cost struct{ time, cpu time.Duration }

func measured(f func()) cost {
	began, cpu := time.Now(), cpuTime()
	f()
	return cost{time.Since(began), cpuTime() - cpu}
}

// cpuTime is that of the process.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
