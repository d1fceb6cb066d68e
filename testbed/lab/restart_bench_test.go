//go:build unix

package lab

import (
	"context"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// BenchmarkRestart reports restart_reconcile_s: an agent whose target holds 100,000 flow entries ends and another one starts, while frames of these flows
// go on at 10,000 a second; the time from its start until it has reconciled the target.
// restart_entries_kept are those entries that were never touched, restart_packets_lost the frames that did not arrive, from before the end to the end of all.
func BenchmarkRestart(b *testing.B) {
	const flows, window, rate = 100_000, 1024, 10_000
	for b.Loop() {
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: flows + 60*rate})
		stop := r.start()
		r.install(bulk.Odd, 0, flows, window)
		arrived := r.arrived.Load()
		ctx, cancel := context.WithCancel(b.Context())
		sent := make(chan int, 1)
		go func() { sent <- r.cycle(ctx, flows, rate) }()
		r.check(r.await(func() bool { return r.arrived.Load()-arrived > rate }), "frames of flows that are there do not arrive")
		stop()
		inserted, modified, deleted := r.inserted.Load(), r.modified.Load(), r.deleted.Load()
		begin := time.Now()
		again := r.start()
		took := time.Since(begin)
		time.Sleep(time.Second) // what the traffic brings up now is not part of the start
		cancel()
		n := <-sent
		r.quiet()
		b.ReportMetric(took.Seconds(), "restart_reconcile_s:s")
		b.ReportMetric(float64(flows-(r.deleted.Load()-deleted)-(r.modified.Load()-modified)), "restart_entries_kept:entries")
		b.ReportMetric(float64(int64(n)-(r.arrived.Load()-arrived)), "restart_packets_lost:packets")
		b.Logf("%d entries inserted anew; agent %+v", r.inserted.Load()-inserted, r.agent.Stats())
		again()
	}
}

// cycle sends frames of flows 0..flows-1 in turn at a rate until ctx ends, or there are no numbers left, and returns how many.
func (r *rig) cycle(ctx context.Context, flows, rate int) (n int) {
	var buf []byte
	begin := time.Now()
	for ctx.Err() == nil {
		for due := min(int(time.Since(begin).Seconds()*float64(rate)), len(r.arrival)-flows); n < due; n++ {
			buf = r.send(bulk.Odd(n%flows), flows+n, buf)
		}
		time.Sleep(500 * time.Microsecond)
	}
	return n
}
