package softswitch

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

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

// flowWriter makes batches of IPv4 flows for the project's own program.
type flowWriter struct {
	*controller
	config  *p4v1.ForwardingPipelineConfig
	random  *generator
	flows   *configv1.Table
	present int
}

const flowBatch = 1024

func newFlowWriter(b *testing.B) *flowWriter {
	w := &flowWriter{controller: newLab(b).primary(), config: weftConfig(b)}
	for _, t := range w.config.GetP4Info().GetTables() {
		if t.GetPreamble().GetAlias() == "flow_exact_v4" {
			w.flows = t
		}
	}
	w.random = newGenerator(w.config.GetP4Info())
	w.push(commitNow, w.config)
	return w
}

// batch makes room in the table and a request of new entries.
func (w *flowWriter) batch() *p4v1.WriteRequest {
	if w.present%(16*flowBatch) == 0 && w.present+16*flowBatch > int(w.flows.GetSize()) {
		w.push(commitNow, w.config)
		w.present = 0
	}
	w.present += flowBatch
	req := &p4v1.WriteRequest{DeviceId: labDevice, ElectionId: &p4v1.Uint128{Low: w.elect}}
	for range flowBatch {
		req.Updates = append(req.Updates, insert(w.random.entry(w.flows)))
	}
	return req
}

// BenchmarkWriteFlows inserts IPv4 flows into the project's own program through gRPC, in
// batches of 1024, two under way at once; one operation is one entry. In "encoded" the client
// has encoded its requests beforehand: what is measured is the switch, and gRPC's transport
// on both sides. In "client" it is generated code of the client that encodes, on the same
// cores.
func BenchmarkWriteFlows(b *testing.B) {
	b.Run("encoded", func(b *testing.B) {
		w := newFlowWriter(b)
		benchmarkWriteFlows(b, w, "softswitch_inserts_per_s:1/s", func(req *p4v1.WriteRequest) any {
			raw, err := proto.Marshal(req)
			if err != nil {
				b.Fatal(err)
			}
			return encoded(raw)
		}, grpc.ForceCodecV2(encodedCodec{encoding.GetCodecV2("proto")}))
	})
	b.Run("client", func(b *testing.B) {
		benchmarkWriteFlows(b, newFlowWriter(b), "softswitch_inserts_with_client_per_s:1/s", func(req *p4v1.WriteRequest) any { return req })
	})
}

func benchmarkWriteFlows(b *testing.B, w *flowWriter, figure string, prepare func(*p4v1.WriteRequest) any, options ...grpc.CallOption) {
	options = append(options, grpc.MaxCallSendMsgSize(maxMessage))
	b.ReportAllocs()
	b.ResetTimer()
	var used time.Duration
	written := 0
	for written < b.N {
		b.StopTimer()
		var requests []any
		for range 16 {
			requests = append(requests, prepare(w.batch()))
		}
		b.StartTimer()
		before := cpuNow(b)
		var flying errgroup.Group
		flying.SetLimit(2)
		for _, req := range requests {
			flying.Go(func() error {
				return w.conn.Invoke(context.Background(), p4v1.P4Runtime_Write_FullMethodName, req, &p4v1.WriteResponse{}, options...)
			})
		}
		if err := flying.Wait(); err != nil {
			b.Fatal(explain(err))
		}
		used += cpuNow(b) - before
		written += len(requests) * flowBatch
	}
	b.ReportMetric(float64(written)/b.Elapsed().Seconds(), figure)
	b.ReportMetric(float64(used)/float64(written), "cpu_ns/insert")
}

// encoded is a message that is encoded already.
type encoded []byte

type encodedCodec struct{ encoding.CodecV2 }

func (c encodedCodec) Marshal(v any) (mem.BufferSlice, error) {
	if raw, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
	}
	return c.CodecV2.Marshal(v)
}
