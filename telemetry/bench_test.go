package telemetry

import (
	"fmt"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// BenchmarkSample reports telemetry_cpu: the share of one processor, in percent, that taking in all counters and statuses of 64 interfaces each second takes, but for gRPC.
func BenchmarkSample(b *testing.B) {
	const interfaces = 64
	ports := map[string]uint16{}
	var all []*gpb.Notification
	for i := range interfaces {
		name := fmt.Sprintf("Ethernet%d", 4*i)
		ports[name] = uint16(i)
		n := &gpb.Notification{Update: []*gpb.Update{up(oper(name), text("UP")), up(admin(name), text("UP"))}}
		for c := range NumCounters {
			n.Update = append(n.Update, up(path(name, "state", "counters", c.String()), uintv(0)))
		}
		all = append(all, n)
	}
	tb := newTable(3 * time.Second)
	tb.begin(ports, true)
	now, stamp := t0, int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now, stamp = now.Add(time.Second), stamp+int64(time.Second)
		for _, n := range all {
			n.Timestamp = stamp
			for _, u := range n.Update[2:] {
				u.Val.GetValue().(*gpb.TypedValue_UintVal).UintVal += 1000
			}
			tb.apply(n, now)
			tb.sweep(now)
		}
	}
	if tb.counts.Malformed+tb.counts.OutOfOrder+tb.counts.Foreign > 0 {
		b.Fatalf("%+v", tb.counts)
	}
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N), "telemetry_cpu:%")
}
