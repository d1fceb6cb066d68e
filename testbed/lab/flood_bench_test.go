//go:build unix

package lab

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
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
// their rate without, before it and after: the median of four floods. They begin the next flow as soon as one of so many is there, so that what the flood costs them is not hidden
// behind a pace; a first packet that is lost is sent again after a second.
func BenchmarkVictim(b *testing.B) {
	const flows, window, floods = 10_000, 192, 4
	for b.Loop() {
		// Each VM may have a quarter of each table.
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), "routes: [{dst: 0.0.0.0/0, via: 10.2.1.0, port: gw-out}]"), share: 25, frames: (2*floods + 1) * flows})
		stop := r.start()
		phase := func(name string, n int) (rate float64) {
			arrived, again, took := r.flows(victimFlow, n*flows, (n+1)*flows, window, 10*time.Second)
			rate = float64(arrived) / took.Seconds()
			b.Logf("%s the flood: %d of %d flows in %v, %d packets sent again: %.0f a second", name, arrived, flows, took, again, rate)
			return rate
		}
		var ratios []float64
		before, sent := phase("before", 0), 0.0
		for n := range floods {
			ctx, cancel := context.WithCancel(b.Context())
			flooded := make(chan float64, 1)
			go func() { flooded <- r.flood(ctx) }()
			time.Sleep(2 * time.Second) // it has its share of the tables by then
			during := phase("during", 2*n+1)
			cancel()
			sent += <-flooded
			r.quiet()
			after := phase("after", 2*n+2)
			ratios = append(ratios, 2*during/(before+after))
			before = after
		}
		_, lost := r.target.lost()
		b.Logf("%d packet-ins lost at the target; agent %+v", lost, r.agent.Stats())
		b.ReportMetric(sent/floods, "victim_flood_per_s:1/s") // the sender has to share the two cores
		slices.Sort(ratios)
		b.ReportMetric((ratios[floods/2-1]+ratios[floods/2])/2, "victim_flow_rate:ratio")
		stop()
	}
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
