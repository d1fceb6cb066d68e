package lab

import (
	"context"
	"math/rand/v2"
	"net/netip"
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
// their rate without, before it and after. They begin the next flow as soon as one of so many is there, so that what the flood costs them is not hidden
// behind a pace.
func BenchmarkVictim(b *testing.B) {
	const flows, window = 20_000, 192
	for b.Loop() {
		// Each VM may have a quarter of each table.
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), "routes: [{dst: 0.0.0.0/0, via: 10.2.1.0, port: gw-out}]"), share: 25, frames: 3 * flows})
		stop := r.start()
		before := r.flows(victimFlow, 0, flows, window)
		ctx, cancel := context.WithCancel(b.Context())
		flooded := make(chan float64, 1)
		go func() { flooded <- r.flood(ctx) }()
		time.Sleep(2 * time.Second) // it has its share of the tables by then
		installed := r.inserted.Load()
		during := r.victims(victimFlow, flows, 2*flows, window)
		cancel()
		rate := <-flooded
		b.Logf("flood of %.0f frames a second: %d entries before the victims' flows; agent %+v", rate, installed-flows, r.agent.Stats())
		b.ReportMetric(rate, "victim_flood_per_s:1/s") // the sender has to share the two cores
		r.quiet()
		after := r.flows(victimFlow, 2*flows, 3*flows, window)
		b.Logf("%d flows: %v before, %v during, %v after the flood", flows, before, during, after)
		b.ReportMetric((before+after).Seconds()/2/during.Seconds(), "victim_flow_rate:ratio")
		stop()
	}
}

// victimFlow is flow i of the VMs but the last.
func victimFlow(i int) bulk.Flow {
	f := bulk.Odd(i / victims * bulk.VMs)
	f.VM = i % victims
	return f
}

// victims is flows where others get entries too, so that only arrivals tell.
func (r *rig) victims(of func(i int) bulk.Flow, from, to, window int) time.Duration {
	r.Helper()
	begin := time.Now()
	arrived := r.arrived.Load()
	done := func() int64 { return r.arrived.Load() - arrived }
	var buf []byte
	ok := true
	for i := from; i < to && ok; i++ {
		if int64(i-from)-done() >= int64(window) {
			ok = r.await(func() bool { return int64(i-from)-done() < int64(window) })
		}
		buf = r.send(of(i), i, buf)
	}
	ok = ok && r.await(func() bool { return done() >= int64(to-from) })
	took := time.Since(begin)
	r.check(ok, "%d flows beside a flood: %d arrived", to-from, done())
	return took
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
