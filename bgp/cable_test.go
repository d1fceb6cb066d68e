package bgp

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// makeNetwork makes a stack of one kind.
type makeNetwork func(name string, addrs []netip.Addr, mtu int, send func([]byte)) (network, error)

// cable joins two stacks: what one sends the other receives, by way of a bounded queue for each direction.
type cable struct {
	a, b     network
	lost     atomic.Uint64 // for want of room
	lowered  atomic.Uint64 // packets that passed with their TTL lowered
	farther  atomic.Uint32 // by how much the TTL is lowered on the way
	most     atomic.Uint32 // bytes of a packet that fit through the middle; 0: any
	tooBig   atomic.Uint64 // packets that did not
	watching atomic.Pointer[func(p []byte)]
}

// addresses of the two ends of a cable: IPv4, IPv6, link-local.
var (
	addrsA = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")}
	addrsB = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("fe80::2")}
)

const cableMTU = 1500

// newCable makes both stacks; they are closed with the test.
func newCable(t testing.TB, makeA, makeB makeNetwork) *cable {
	t.Helper()
	c := &cable{}
	toA, toB := make(chan []byte, 4096), make(chan []byte, 4096)
	into := func(queue chan<- []byte) func([]byte) {
		return func(p []byte) {
			select {
			case queue <- append([]byte(nil), p...):
			default:
				c.lost.Add(1)
			}
		}
	}
	var err error
	if c.a, err = makeA("a", addrsA, cableMTU, into(toB)); err != nil {
		t.Fatal(err)
	}
	if c.b, err = makeB("b", addrsB, cableMTU, into(toA)); err != nil {
		c.a.Close()
		t.Fatal(err)
	}
	var carriers sync.WaitGroup
	carriers.Go(func() { c.carry(toA, c.b, c.a) })
	carriers.Go(func() { c.carry(toB, c.a, c.b) })
	t.Cleanup(func() {
		for _, n := range []network{c.a, c.b} {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		close(toA) // after Close nothing is sent
		close(toB)
		carriers.Wait()
	})
	return c
}

func (c *cable) carry(queue <-chan []byte, from, to network) {
	for packet := range queue {
		if most := int(c.most.Load()); most > 0 && len(packet) > most {
			c.tooBig.Add(1)
			from.Receive(tooBig(packet, most))
			continue
		}
		if by := uint8(c.farther.Load()); by > 0 {
			lowerTTL(packet, by)
			c.lowered.Add(1)
		}
		if watch := c.watching.Load(); watch != nil {
			(*watch)(packet)
		}
		to.Receive(packet)
	}
}

// watch has packets shown to f, from the carriers' goroutines.
func (c *cable) watch(f func(p []byte)) { c.watching.Store(&f) }

// lowerTTL does to a packet what routers do, by many hops.
func lowerTTL(packet []byte, by uint8) {
	if packet[0]>>4 == 6 {
		packet[7] -= by
		return
	}
	packet[8] -= by
	sum := uint32(packet[10])<<8 + uint32(packet[11]) + uint32(by)<<8 // RFC 1624: the header's sum grows by what the field shrinks
	sum = sum&0xffff + sum>>16
	packet[10], packet[11] = byte(sum>>8), byte(sum)
}

// tooBig is what a router in the middle says of a packet that does not fit (RFC 1191, RFC 4443 §3.2).
func tooBig(p []byte, mtu int) []byte {
	if p[0]>>4 == 6 {
		quote := p[:min(len(p), 1280-48)]
		b := make([]byte, 40, 48+len(quote))
		b[0], b[6], b[7] = 6<<4, protoICMPv6, 64
		binary.BigEndian.PutUint16(b[4:], uint16(8+len(quote)))
		src := netip.MustParseAddr("2001:db8::ff")
		copy(b[8:], src.AsSlice())
		copy(b[24:], p[8:24])
		b = binary.BigEndian.AppendUint32(append(b, 2, 0, 0, 0), uint32(mtu))
		b = append(b, quote...)
		sum := packet.PseudoSum(src, netip.AddrFrom16([16]byte(p[8:])), protoICMPv6, 8+len(quote)).Add(b[40:]).Fold()
		binary.BigEndian.PutUint16(b[42:], sum)
		return b
	}
	quote := p[:28]
	b := make([]byte, 20, 28+len(quote))
	b[0], b[8], b[9] = 4<<4|5, 64, protoICMP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(quote)))
	copy(b[12:], []byte{192, 0, 2, 99})
	copy(b[16:], p[12:16])
	binary.BigEndian.PutUint16(b[10:], packet.Checksum(b))
	b = binary.BigEndian.AppendUint16(append(b, 3, 4, 0, 0, 0, 0), uint16(mtu))
	b = append(b, quote...)
	binary.BigEndian.PutUint16(b[22:], packet.Checksum(b[20:]))
	return b
}
