package border

import (
	"iter"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/peer"
)

// TestBFDLoaded: while its port brings first packets of flows by the thousand, each of which the agent has to decide, a session that is watched at the default pace stays. How one at the fastest pace fares depends on the machine:
// it is logged. It runs before the others, alone.
func TestBFDLoaded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	peer.Need(t, peer.BIRD)
	quick := func(n *peer.Neighbour) { n.BFD, n.BFDTime = true, 50 }
	b := newBorder(t, testConfig{
		sessions: session("quick", "up1", 64501, isp1v4, "families: [ipv4], advertise: [{prefix: 203.0.113.0/24}], bfd: {minTx: 50, minRx: 50}") +
			session("calm", "up1", 64501, isp1v6, `families: [ipv6], advertise: [{prefix: "2001:db8:113::/48"}], bfd: {}`) + bulk.Object("Chain", "isp", "odd", bulk.ChainSpec(bulk.OddPorts())),
		peers: map[string]peer.Config{"isp1": upstream(peer.BIRD, 64501, quick, up1v4, up1v6)},
	})
	b.apply(bulk.Object("VPort", "isp", "up1", `device: router/core, addresses: [192.0.2.1/24, "2001:db8:a::1/64"], filters: {ingress: odd}`))
	b.up("e1", "quick", 1)
	b.up("e1", "calm", 1)
	before := b.bfdUp("e1", "quick", 50, 50)
	calm := b.bfdUp("e1", "calm", 300, 300)
	gateway, err := b.host("isp1").Resolve(b.limited(), up1v4)
	b.must(err)
	count := func() uint64 {
		n, err := b.Counter(b.limited(), "e1", "upcalls")
		b.must(err)
		return n
	}
	upcalls, began := count(), time.Now()
	b.must(b.host("isp1").InjectAll(b.limited(), b.floodOf(gateway, 20_000, 10*time.Second)))
	took := time.Since(began)
	upcalls = count() - upcalls
	after, _ := b.status("e1", "quick")
	still := b.up("e1", "calm", 1)
	t.Logf("%.0f first packets a second for %v; quick: lost %d times, %d sent, %d received, %d dropped; calm: lost %d times", float64(upcalls)/took.Seconds(), took.Round(time.Millisecond),
		after.BFD.Losses-before.BFD.Losses, after.BFD.Sent-before.BFD.Sent, after.BFD.Received-before.BFD.Received, after.BFD.Dropped, still.BFD.Losses-calm.BFD.Losses)
	if upcalls < 1000 {
		t.Errorf("%d first packets were decided: no load", upcalls)
	}
	if still.Flaps != calm.Flaps {
		t.Errorf("the session at the default pace was lost: %s, %+v", still.LastWhy, still.BFD)
	}
}

// floodOf are datagrams of an upstream to ports of the VM, a flow each, so many a second for a while.
func (b *border) floodOf(gateway packet.MAC, rate int, d time.Duration) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		n, end := 0, time.Now().Add(d)
		u := packet.UDP{SrcMAC: b.host("isp1").MAC(), DstMAC: gateway, Src: isp1v4, Dst: netip.MustParseAddr("203.0.113.5"), Payload: make([]byte, 16)}
		for now := range tick.C {
			if now.After(end) {
				return
			}
			for range rate / 1000 {
				u.SrcPort, u.DstPort = uint16(1024+n/bulk.Odds), uint16(bulk.FirstOdd+2*(n%bulk.Odds))
				n++
				if !yield(packet.AppendUDP(nil, &u)) {
					return
				}
			}
		}
	}
}
