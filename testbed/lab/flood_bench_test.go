//go:build unix

package lab

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/bulk"
)

const (
	floodRate = 40_000 // frames a second
	evil      = bulk.VMs - 1
	victims   = bulk.VMs - 1 // VMs beside it
)

// BenchmarkVictim reports victim_flow_rate: the rate at which seven VMs get new flows while an eighth one at the same edge floods random headers, as a share of
// their rate without: all flows by all the time that they took, of floods and of the times between them in turn, at some edges one after the other, as a phase takes
// no longer than a few collections of garbage. They begin the next flow as soon as one of so many is there, so that what the flood costs them is not hidden
// behind a pace; a first packet that is lost is sent again after a second.
func BenchmarkVictim(b *testing.B) {
	const edges, floods = 6, 4
	for b.Loop() {
		var with, without pace
		sent := 0.0
		for range edges {
			sent += victimsOf(b, floods, &with, &without)
		}
		b.ReportMetric(sent/edges/floods, "victim_flood_per_s:1/s") // the sender has to share the two cores
		b.ReportMetric(with.rate()/without.rate(), "victim_flow_rate:ratio")
	}
}

// pace is how many flows began, and how long that took.
type pace struct {
	flows int
	took  time.Duration
}

func (p *pace) rate() float64 { return float64(p.flows) / p.took.Seconds() }

// victimsOf measures at one edge, with so many floods, and returns the sum of the rates that these had.
func victimsOf(b *testing.B, floods int, with, without *pace) (sent float64) {
	const flows, window = 10_000, 192
	// Each VM may have a quarter of each table.
	r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), "routes: [{dst: 0.0.0.0/0, via: 10.2.1.0, port: gw-out}]"), share: 25, frames: (2*floods + 1) * flows})
	defer r.start()()
	phase := func(name string, n int, p *pace) {
		runtime.GC() // no phase has to clear what another one left
		arrived, again, took := r.flows(victimFlow, n*flows, (n+1)*flows, window, 10*time.Second)
		b.Logf("%s the flood: %d of %d flows in %v, %d packets sent again", name, arrived, flows, took, again)
		p.flows, p.took = p.flows+arrived, p.took+took
	}
	phase("before", 0, without)
	for n := range floods {
		ctx, cancel := context.WithCancel(b.Context())
		flooded := make(chan float64, 1)
		go func() { flooded <- r.flood(ctx) }()
		time.Sleep(2 * time.Second) // it has its share of the tables by then
		phase("during", 2*n+1, with)
		cancel()
		sent += <-flooded
		r.quiet()
		phase("after", 2*n+2, without)
	}
	_, lost := r.target.lost()
	b.Logf("%d packet-ins lost at the target; agent %+v", lost, r.agent.Stats())
	return sent
}

// victimFlow is flow i of the VMs but the last.
func victimFlow(i int) bulk.Flow {
	f := bulk.Odd(i / victims * bulk.VMs)
	f.VM = i % victims
	return f
}

// flood sends frames whose addresses and ports are random until ctx ends, and returns the rate that it had. Half of the ports pass the filter, and no two of
// those that it tells apart have a flow in common.
func (r *rig) flood(ctx context.Context) float64 {
	random := rand.New(rand.NewPCG(1, 2))
	u := packet.UDP{SrcMAC: bulk.MAC(evil), DstMAC: packet.MAC{2, 0, 0, 0, 1, 1}, TTL: 64, Payload: make([]byte, 18)}
	for i := range u.Payload {
		u.Payload[i] = 0xff // a number that no frame of a flow has
	}
	address := func() netip.Addr {
		v := random.Uint32()
		return netip.AddrFrom4([4]byte{11 + byte(v>>24)%100, byte(v >> 16), byte(v >> 8), byte(v)})
	}
	var buf []byte
	begin, n := time.Now(), 0
	full := r.vms[evil].Counters().Overflow
	for ctx.Err() == nil {
		for due := int(time.Since(begin).Seconds() * floodRate); n < due; n++ {
			u.Src, u.Dst = address(), address()
			u.SrcPort, u.DstPort = uint16(random.Uint32()), bulk.FirstOdd+uint16(random.IntN(2*bulk.Odds))
			buf = packet.AppendUDP(buf[:0], &u)
			r.vms[evil].Send(buf)
		}
		time.Sleep(500 * time.Microsecond)
	}
	n -= int(r.vms[evil].Counters().Overflow - full)
	return float64(n) / time.Since(begin).Seconds()
}
