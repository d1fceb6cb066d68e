package softswitch

import (
	"encoding/binary"
	"fmt"
	"testing"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/port"
)

// bigProbe is the probe program with room for many entries in mac.
func bigProbe(b *testing.B, c *controller) {
	config := c.probe()
	for _, t := range config.P4Info.Tables {
		if t.GetPreamble().GetAlias() == "mac" {
			t.Size = 1 << 21
		}
	}
	config.P4DeviceConfig = enlarge(b, config.P4DeviceConfig, "ingress.mac", 1<<21)
	c.push(commitNow, config)
}

func macs(c *controller, from, n int) []*p4v1.Update {
	updates := make([]*p4v1.Update, n)
	for i := range updates {
		value := binary.BigEndian.AppendUint32([]byte{2, 0}, uint32(from+i))
		updates[i] = insert(c.entry("mac", direct(c.action("forward", []byte{2})), exact(1, value...)))
	}
	return updates
}

// BenchmarkWrite inserts exact entries with a direct counter and idle timeout through
// gRPC; one operation is one entry.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1, 16, 128, 1024, 8192} {
		b.Run(fmt.Sprintf("batch%d", size), func(b *testing.B) {
			l := newLab(b)
			c := l.primary()
			bigProbe(b, c)
			b.ReportAllocs()
			b.ResetTimer()
			written := 0
			for written < b.N {
				b.StopTimer()
				n := min(size, b.N-written)
				updates := macs(c, written, n)
				b.StartTimer()
				c.write(updates...)
				written += n
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkRead reads a table of 100k entries; one operation is the whole table.
func BenchmarkRead(b *testing.B) {
	c := newLab(b).primary()
	bigProbe(b, c)
	const n = 100_000
	for i := 0; i < n; i += 1000 {
		c.write(macs(c, i, 1000)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(c.read(entity(c.entry("mac", nil)))); got != n {
			b.Fatalf("%d entries", got)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkForward takes a frame from port to port.
func BenchmarkForward(b *testing.B) {
	c := newLab(b).primary()
	c.write(insert(c.macEntry(9, 2)))
	in := port.NewBatch(1)
	in.Sizes[0] = copy(in.Frames[0], frame(9, 1, make([]byte, 100)...))
	out := port.NewBatch(port.BatchSize)
	b.ReportAllocs()
	for b.Loop() {
		c.server.process(c.server.ports[1], in, 1)
		if _, err := c.ends[2].Recv(out.Frames, out.Sizes); err != nil {
			b.Fatal(err)
		}
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	c := newLab(t).primary()
	c.write(insert(c.macEntry(9, 2)))
	in := port.NewBatch(1)
	in.Sizes[0] = copy(in.Frames[0], frame(9, 1))
	out := port.NewBatch(port.BatchSize)
	once := func() {
		c.server.process(c.server.ports[1], in, 1)
		if _, err := c.ends[2].Recv(out.Frames, out.Sizes); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * port.DefaultDepth {
		once()
	}
	if n := testing.AllocsPerRun(500, once); n >= 1 {
		t.Errorf("%v allocations per frame, want none", n)
	}
}

// BenchmarkWriteFlows inserts IPv4 flows into the project's own program; one operation
// is one entry.
func BenchmarkWriteFlows(b *testing.B) {
	l := newLab(b)
	c := l.primary()
	config := weftConfig(b)
	c.push(commitNow, config)
	g := newGenerator(config.GetP4Info())
	var flows *configv1.Table
	for _, t := range config.GetP4Info().GetTables() {
		if t.GetPreamble().GetAlias() == "flow_exact_v4" {
			flows = t
		}
	}
	const size = 1024
	capacity := int(flows.GetSize())
	b.ReportAllocs()
	b.ResetTimer()
	present := 0
	for written := 0; written < b.N; written += size {
		b.StopTimer()
		if present+size > capacity {
			c.push(commitNow, config)
			present = 0
		}
		updates := make([]*p4v1.Update, size)
		for i := range updates {
			updates[i] = insert(g.entry(flows))
		}
		b.StartTimer()
		c.write(updates...)
		present += size
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "softswitch_inserts_per_s")
}
