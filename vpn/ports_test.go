package vpn

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// cable is a trunk whose other end the test has.
type cable struct {
	testing.TB
	trunk *trunk
	end   *port.End
}

func newCable(t testing.TB) *cable {
	t.Helper()
	near, far := port.NewLink("agent", "switch", 0)
	c := &cable{t, newTrunk(near), far}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.trunk.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// send sends a frame in a VLAN to the agent.
func (c *cable) send(vlan uint16, frame []byte) {
	tagged := append(append([]byte(nil), frame[:12]...), 0x81, 0)
	tagged = binary.BigEndian.AppendUint16(tagged, vlan)
	if n, err := c.end.Send([][]byte{append(tagged, frame[12:]...)}); n != 1 || err != nil {
		c.Fatalf("sent %d, %v", n, err)
	}
}

// receive returns the next frame from the agent, and its VLAN.
func (c *cable) receive() (uint16, []byte) {
	c.Helper()
	b := port.NewBatch(1)
	if _, err := c.end.Recv(b.Frames, b.Sizes); err != nil {
		c.Fatal(err)
	}
	f := b.Frames[0][:b.Sizes[0]]
	if binary.BigEndian.Uint16(f[12:]) != vlanType {
		c.Fatalf("a frame without a tag: %x", f)
	}
	return binary.BigEndian.Uint16(f[14:]), append(append([]byte(nil), f[:12]...), f[16:]...)
}

var (
	routerMAC  = packet.MustParseMAC("02:77:66:00:00:07")
	hostMAC    = packet.MustParseMAC("02:00:00:00:00:01")
	ipA, ipB   = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("192.168.50.2")
	ipA6, ipB6 = netip.MustParseAddr("fd01::5"), netip.MustParseAddr("fd50::2")
)

func testSite() *topology.VPN {
	return &topology.VPN{
		Name:    "acme/office",
		Private: topology.VPNPort{ID: 7, Router: true, MAC: routerMAC},
		Public:  &topology.VPNPort{ID: 9, Router: true, MAC: routerMAC, Hosts: []netip.Addr{netip.MustParseAddr("100.64.0.10"), netip.MustParseAddr("fd64::10")}},
		Spec:    topology.VPNSpec{Peers: []topology.VPNPeerSpec{{Name: "office", AllowedIPs: []netip.Prefix{netip.MustParsePrefix("192.168.50.0/24"), netip.MustParsePrefix("fd50::/64")}}}},
	}
}

func udp(src, dst netip.Addr, from, to packet.MAC, n int) []byte {
	return packet.AppendUDP(nil, &packet.UDP{SrcMAC: from, DstMAC: to, Src: src, Dst: dst, SrcPort: 1, DstPort: 2, Payload: make([]byte, n)})
}

// TestRouted: packets for the tunnel are taken, others dropped and counted; the router's questions for what is behind it are answered; what comes through it goes to the router, while the VPN is held.
func TestRouted(t *testing.T) {
	c := newCable(t)
	valid, n := true, new(counts)
	r := newRouted(newPrivate(c.trunk.link(5, n), 1400, func() bool { return valid }, n), testSite())
	c.send(5, packet.AppendARPRequest(nil, routerMAC, netip.MustParseAddr("10.9.0.1"), ipB))
	c.send(5, packet.AppendARPRequest(nil, routerMAC, netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.9.9"))) // nobody's
	c.send(5, packet.AppendNS(nil, routerMAC, netip.MustParseAddr("fe80::1"), ipB6))
	c.send(5, udp(ipA, ipB, routerMAC, hostMAC, 10)) // another station's
	c.send(5, udp(ipA, ipB, routerMAC, r.own, 1400)) // too long
	c.send(5, []byte("no frame of anybody's at all"))
	c.send(6, udp(ipA, ipB, routerMAC, r.own, 10)) // another VLAN
	for _, want := range [][]byte{udp(ipA, ipB, routerMAC, r.own, 10), udp(ipA6, ipB6, routerMAC, r.own, 20)} {
		c.send(5, want)
		bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
		got, err := r.Read(bufs, sizes, 16)
		if err != nil || got != 1 || !bytes.Equal(bufs[0][16:16+sizes[0]], want[packet.EthernetLen:]) {
			t.Fatalf("read %d, %v: %x, want %x", got, err, bufs[0][16:16+sizes[0]], want[packet.EthernetLen:])
		}
	}
	if d := n.read(); d.NotForUs != 2 || d.TooLong != 1 || c.trunk.stray.Load() != 1 {
		t.Errorf("drops %+v, %d stray", d, c.trunk.stray.Load())
	}
	for range 2 { // ARP, ND
		var f packet.Frame
		vlan, frame := c.receive()
		if err := packet.Parse(frame, &f); err != nil || vlan != 5 || f.Src() != r.own || f.Dst() != routerMAC {
			t.Fatalf("VLAN %d, %x, %v", vlan, frame, err)
		}
		if a, err := f.ARP(); err == nil && (a.SenderMAC != r.own || a.SenderIP != ipB) {
			t.Errorf("ARP %+v", a)
		}
		if a, err := f.ND(); err == nil && (a.LinkAddr != r.own || a.Target != ipB6) {
			t.Errorf("ND %+v", a)
		}
	}
	for _, want := range [][]byte{udp(ipB, ipA, r.own, routerMAC, 10), udp(ipB6, ipA6, r.own, routerMAC, 10)} {
		buf := append(make([]byte, 16), want[packet.EthernetLen:]...)
		if _, err := r.Write([][]byte{buf}, 16); err != nil {
			t.Fatal(err)
		}
		if vlan, got := c.receive(); vlan != 5 || !bytes.Equal(got, want) {
			t.Errorf("VLAN %d, %x, want %x", vlan, got, want)
		}
	}
	valid = false
	if _, err := r.Write([][]byte{append(make([]byte, 16), 0x45)}, 16); err != nil || n.read().NotHeld != 1 || c.end.Queued() != 0 {
		t.Errorf("what came when the VPN was not held: %+v, %v, %d sent", n.read(), err, c.end.Queued())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read([][]byte{make([]byte, 2000)}, make([]int, 1), 16); err == nil {
		t.Error("a closed port is read")
	}
}

// TestBridged: frames come out of the tunnel as they went in, and nothing else does.
func TestBridged(t *testing.T) {
	for name, ends := range map[string][2]string{"IPv4": {"10.255.0.1", "10.255.0.2"}, "IPv6": {"fd0f::1", "fd0f::2"}} {
		t.Run(name, func(t *testing.T) {
			c, n := newCable(t), new(counts)
			site := testSite()
			end := func(local, remote string, vlan uint16) *bridged {
				site.Spec.Ethernet = &topology.VPNEthernetSpec{Local: netip.MustParseAddr(local), Remote: netip.MustParseAddr(remote)}
				return newBridged(newPrivate(c.trunk.link(vlan, n), 1400, func() bool { return true }, n), site)
			}
			a, b := end(ends[0], ends[1], 5), end(ends[1], ends[0], 6)
			frame := udp(ipA, ipB, hostMAC, routerMAC, 100)
			c.send(5, frame)
			bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
			if _, err := a.Read(bufs, sizes, 16); err != nil {
				t.Fatal(err)
			}
			ip := bufs[0][:16+sizes[0]]
			if _, err := b.Write([][]byte{ip}, 16); err != nil {
				t.Fatal(err)
			}
			if vlan, got := c.receive(); vlan != 6 || !bytes.Equal(got, frame) {
				t.Errorf("VLAN %d, %x, want %x", vlan, got, frame)
			}
			for at := range 16 + sizes[0] - len(frame) { // every byte of the encapsulation, but for what nobody looks at
				bad := bytes.Clone(ip)
				bad[at] ^= 0x40
				if got := b.unwrap(bad[16:]); got != nil && !bytes.Equal(got, frame) {
					t.Errorf("with byte %d changed: %x", at, got)
				}
			}
			if got := a.unwrap(ip[16:]); got != nil {
				t.Error("a frame of one's own is taken")
			}
			long := packet.AppendUDP(nil, &packet.UDP{SrcMAC: hostMAC, DstMAC: routerMAC, Src: ipA, Dst: ipB, SrcPort: 1, DstPort: 2, Payload: make([]byte, 1373), DontFragment: true})
			c.send(5, long)
			c.send(5, frame)
			if got, err := a.Read(bufs, sizes, 16); got != 1 || err != nil || n.read().TooLong != 1 {
				t.Fatalf("%d, %v, %+v", got, err, n.read())
			}
			_, answer := c.receive()
			var f packet.Frame
			if err := packet.Parse(answer, &f); err != nil || !packet.IsICMPError(&f) || f.SrcAddr() != ipB || f.DstAddr() != ipA {
				t.Errorf("answer to what is too long: %x, %v", answer, err)
			}
		})
	}
}

// FuzzUnwrap: whatever comes through the tunnel, it is a frame or is dropped.
func FuzzUnwrap(f *testing.F) {
	site := testSite()
	site.Spec.Ethernet = &topology.VPNEthernetSpec{Local: netip.MustParseAddr("10.255.0.2"), Remote: netip.MustParseAddr("10.255.0.1")}
	near, _ := port.NewLink("a", "b", 0)
	b := newBridged(newPrivate(newTrunk(near).link(5, new(counts)), 1400, func() bool { return true }, new(counts)), site)
	f.Add([]byte{})
	f.Add([]byte{0x45, 0, 0})
	b.local, b.remote = b.remote, b.local
	buf := make([]byte, 2000)
	f.Add(bytes.Clone(buf[16:][:b.wrap(buf, 16, udp(ipA, ipB, hostMAC, routerMAC, 10))]))
	b.local, b.remote = b.remote, b.local
	f.Fuzz(func(t *testing.T, ip []byte) {
		if frame := b.unwrap(ip); frame != nil && len(frame) < packet.EthernetLen {
			t.Errorf("a frame of %d bytes", len(frame))
		}
	})
}

// TestPublic: UDP goes out of the port's own address and comes in to it, over both IP versions; the router's questions are answered; all else is dropped and counted.
func TestPublic(t *testing.T) {
	c, n := newCable(t), new(counts)
	valid := true
	site := testSite()
	p := newPublic(c.trunk, 8, site, func() bool { return valid }, n)
	receive, at, err := p.Open(51820)
	if err != nil || at != 51820 || len(receive) != 1 {
		t.Fatal(err)
	}
	if _, _, err := p.Open(1); err == nil {
		t.Error("it opens twice")
	}
	for i, peer := range []string{"203.0.113.9:4500", "[2001:db8::9]:4500"} {
		to, err := p.ParseEndpoint(peer)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Send([][]byte{[]byte("one"), []byte("two")}, to); err != nil {
			t.Fatal(err)
		}
		var f packet.Frame
		for _, want := range []string{"one", "two"} {
			vlan, frame := c.receive()
			if err := packet.Parse(frame, &f); err != nil || vlan != 8 || f.SrcAddr() != site.Public.Hosts[i] || f.SrcPort != 51820 || f.Dst() != routerMAC || !f.ChecksumOK() ||
				netip.AddrPortFrom(f.DstAddr(), f.DstPort).String() != peer || string(frame[f.L4+packet.UDPLen:]) != want {
				t.Fatalf("VLAN %d, %x, %v", vlan, frame, err)
			}
		}
		from := netip.MustParseAddrPort(peer)
		answer := func(dst netip.Addr, mac packet.MAC, port uint16) []byte {
			return packet.AppendUDP(nil, &packet.UDP{SrcMAC: routerMAC, DstMAC: mac, Src: from.Addr(), Dst: dst, SrcPort: from.Port(), DstPort: port, Payload: []byte("answer")})
		}
		c.send(8, answer(site.Public.Hosts[i], p.own, 51821))                                // another port
		c.send(8, answer(site.Public.Hosts[i], hostMAC, 51820))                              // another station
		c.send(8, answer(map[bool]netip.Addr{true: ipA, false: ipA6}[i == 0], p.own, 51820)) // another address
		c.send(8, answer(site.Public.Hosts[i], p.own, 51820))
		bufs, sizes, eps := [][]byte{make([]byte, 100)}, make([]int, 1), make([]conn.Endpoint, 1)
		if got, err := receive[0](bufs, sizes, eps); err != nil || got != 1 || string(bufs[0][:sizes[0]]) != "answer" || eps[0].DstToString() != peer {
			t.Fatalf("%d, %v, %q", got, err, bufs[0][:sizes[0]])
		}
	}
	if d := n.read(); d.NotForUs != 6 {
		t.Errorf("drops %+v", d)
	}
	valid = false // who has lost the VPN is silent
	c.send(8, packet.AppendARPRequest(nil, routerMAC, ipA, site.Public.Hosts[0]))
	c.send(8, packet.AppendNS(nil, routerMAC, ipA6, site.Public.Hosts[1]))
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_, _ = receive[0]([][]byte{make([]byte, 100)}, make([]int, 1), make([]conn.Endpoint, 1))
	}()
	wait.Until(t, "they are dropped", func() bool { return n.read().NotHeld == 2 })
	if c.end.Queued() != 0 {
		t.Error("it answers")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	<-reading
	if _, err := receive[0]([][]byte{make([]byte, 100)}, make([]int, 1), make([]conn.Endpoint, 1)); err == nil {
		t.Error("a closed port receives")
	}
}

// FuzzPublic: whatever comes to the public port, its payload is within the frame.
func FuzzPublic(f *testing.F) {
	near, _ := port.NewLink("a", "b", 0)
	site := testSite()
	p := newPublic(newTrunk(near), 8, site, func() bool { return true }, new(counts))
	l := p.trunk.link(8, new(counts))
	f.Add(packet.AppendUDP(nil, &packet.UDP{SrcMAC: routerMAC, DstMAC: p.own, Src: ipA, Dst: site.Public.Hosts[0], SrcPort: 1, DstPort: 51820, Payload: []byte("x")}))
	f.Add(packet.AppendUDP(nil, &packet.UDP{SrcMAC: routerMAC, DstMAC: p.own, Src: ipA6, Dst: site.Public.Hosts[1], SrcPort: 1, DstPort: 51820, Payload: []byte("x")}))
	f.Add(packet.AppendARPRequest(nil, routerMAC, ipA, site.Public.Hosts[0]))
	f.Fuzz(func(t *testing.T, data []byte) {
		var frame packet.Frame
		if payload, src, _ := p.take(l, data, &frame, 51820); payload != nil && !src.IsValid() {
			t.Error("from nowhere")
		}
	})
}
