package lab

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

var (
	moveEdges = []string{"e1", "e2", "e3"}
	moveScene = "-- network.yaml --\n" + bulk.Object("Bridge", "red", "lan", "") +
		bulk.Object("VPort", "red", "still", `device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24]`) +
		bulk.Object("VPort", "red", "mover", `device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24]`) +
		bulk.Object("Binding", "red", "still", `vport: still, edge: e1, interface: "1"`) +
		bulk.Object("Binding", "red", "mover", `vport: mover, edge: e2, interface: "1"`) +
		"-- edges --\ne1\ne2\ne3\n-- hosts --\n"
)

// BenchmarkMove reports move_dark_ms: a VM that gets a frame each millisecond from another edge moves, twenty times, between two further ones; the longest
// time without a frame where it is from the write of its bind on. What still arrives where it was counts as lost. move_dark_p50 is the median of the moves.
func BenchmarkMove(b *testing.B) {
	s, err := scenario.Parse("move.txtar", []byte(moveScene))
	if err != nil {
		b.Fatal(err)
	}
	var dark []time.Duration
	for b.Loop() {
		l, err := New(Config{Scenario: s, SparePorts: 2, durable: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.While(b.Context(), func(ctx context.Context) error {
			m := newMoves(l)
			ctx, cancel := context.WithCancel(ctx)
			var sending sync.WaitGroup
			sending.Go(func() { m.send(ctx) })
			defer sending.Wait()
			defer cancel()
			for i := range 21 {
				to := moveEdges[1+i%2]
				d, err := m.move(ctx, to)
				if err != nil {
					return err
				}
				if i > 0 { // it is at e2 from the first on
					dark = append(dark, d)
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%v", dark)
	slices.Sort(dark)
	b.ReportMetric(float64(dark[len(dark)-1])/1e6, "move_dark_ms:ms")
	b.ReportMetric(float64(dark[len(dark)/2])/1e6, "move_dark_p50:ms")
}

// moves has the frames of the VM that moves.
type moves struct {
	lab *Lab

	mu      sync.Mutex
	arrived map[string][]time.Time // by edge
}

func newMoves(l *Lab) *moves {
	m := &moves{lab: l, arrived: map[string][]time.Time{}}
	for _, e := range l.edges[1:] {
		name := e.plan.name
		e.access[1].trunk.Member(0).SetReceiver(func(frame []byte) {
			if len(frame) < packet.EthernetLen || frame[5] != 2 { // something for all
				return
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.arrived[name] = append(m.arrived[name], time.Now())
		})
	}
	return m
}

// send sends a frame each millisecond.
func (m *moves) send(ctx context.Context) {
	from := m.lab.edges[0].access[1].trunk.Member(0)
	frame := packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2}, Src: bulk.Src(0, false), Dst: bulk.Dst(0, false), SrcPort: 1, DstPort: 2, TTL: 64,
		Payload: make([]byte, 18),
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			from.Send(frame)
		case <-ctx.Done():
			return
		}
	}
}

// move binds the VM elsewhere, and returns the longest time without a frame there within the second from then on.
func (m *moves) move(ctx context.Context, to string) (dark time.Duration, err error) {
	begin := time.Now()
	if _, err := m.lab.store.Bind(ctx, topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "mover"}, to, "1", 0); err != nil {
		return 0, err
	}
	end := begin.Add(time.Second)
	select {
	case <-time.After(time.Until(end)):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	last := begin
	for _, at := range m.arrived[to] {
		if at.After(begin) && at.Before(end) {
			dark, last = max(dark, at.Sub(last)), at
		}
	}
	return max(dark, end.Sub(last)), nil
}
