package bgp

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// makeNetwork makes a stack of one kind.
type makeNetwork func(name string, addrs []netip.Addr, mtu int, send func([]byte)) (network, error)

// cable joins two stacks: what one sends the other receives, by way of a bounded queue for each direction.
type cable struct {
	a, b     network
	lost     atomic.Uint64 // for want of room
	lowered  atomic.Uint64 // packets that passed with their TTL lowered
	farther  atomic.Uint32 // by how much the TTL is lowered on the way
	watching atomic.Pointer[func(packet []byte)]
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
		return func(packet []byte) {
			select {
			case queue <- append([]byte(nil), packet...):
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
	carriers.Go(func() { c.carry(toA, c.a) })
	carriers.Go(func() { c.carry(toB, c.b) })
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

func (c *cable) carry(queue <-chan []byte, to network) {
	for packet := range queue {
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
func (c *cable) watch(f func(packet []byte)) { c.watching.Store(&f) }

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
