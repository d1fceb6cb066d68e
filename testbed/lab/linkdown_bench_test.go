package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/testbed/scenario"
)

const (
	linkFlows  = 32 // that are spread over the uplinks
	linkRounds = 6
)

var linkScene = "-- network.yaml --\n" + bulk.Object("Bridge", "red", "lan", "") +
	bulk.Object("VPort", "red", "a", `device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24]`) +
	bulk.Object("VPort", "red", "b", `device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24]`) +
	bulk.Object("Binding", "red", "a", `vport: a, edge: e1, interface: "1"`) +
	bulk.Object("Binding", "red", "b", `vport: b, edge: e2, interface: "1"`) +
	"-- edges --\ne1 uplinks=2 telemetry\ne2 uplinks=2 telemetry\n-- hosts --\n"

// BenchmarkLinkDown reports link_down_reroute (s): of 32 flows between two edges, a frame each millisecond, half go by an uplink that goes down; the longest time from then on until
// frames of each arrive again, the worst of six times, each in a lab of its own.
func BenchmarkLinkDown(b *testing.B) {
	s, err := scenario.Parse("linkdown.txtar", []byte(linkScene))
	if err != nil {
		b.Fatal(err)
	}
	var dark []time.Duration
	for b.Loop() {
		for range linkRounds {
			l, err := New(Config{Scenario: s, SparePorts: 2})
			if err != nil {
				b.Fatal(err)
			}
			if err := l.While(b.Context(), func(ctx context.Context) error {
				f := newLinkFlows(l)
				ctx, cancel := context.WithCancel(ctx)
				var sending sync.WaitGroup
				sending.Go(func() { f.send(ctx) })
				defer sending.Wait()
				defer cancel()
				if err := f.all(ctx, time.Now()); err != nil {
					return err
				}
				down := time.Now()
				l.edges[0].uplinks[1].SetUp(false)
				if err := f.settled(ctx, down); err != nil {
					return err
				}
				dark = append(dark, f.longest(down))
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Logf("%v", dark)
	slices.Sort(dark)
	b.ReportMetric(dark[len(dark)-1].Seconds(), "link_down_reroute:s")
	b.ReportMetric(dark[len(dark)/2].Seconds(), "link_down_reroute_p50:s")
}

// linkFlowsOf has the frames of flows from e1 to e2, by their source port.
type linkFlowsOf struct {
	lab     *Lab
	mu      sync.Mutex
	arrived [linkFlows][]time.Time
}

func newLinkFlows(l *Lab) *linkFlowsOf {
	f := &linkFlowsOf{lab: l}
	const port = packet.EthernetLen + 20 // of an IPv4 header without options
	l.edges[1].access[1].trunk.Member(0).SetReceiver(func(frame []byte) {
		if len(frame) < port+8 || frame[5] != 2 {
			return
		}
		n := int(binary.BigEndian.Uint16(frame[port:])) - 1000
		f.mu.Lock()
		defer f.mu.Unlock()
		if n >= 0 && n < linkFlows {
			f.arrived[n] = append(f.arrived[n], time.Now())
		}
	})
	return f
}

// send sends a frame of each flow each millisecond.
func (f *linkFlowsOf) send(ctx context.Context) {
	from := f.lab.edges[0].access[1].trunk.Member(0)
	var frames [][]byte
	for n := range linkFlows {
		frames = append(frames, packet.AppendUDP(nil, &packet.UDP{
			SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2}, Src: bulk.Src(0, false), Dst: bulk.Dst(0, false), SrcPort: uint16(1000 + n), DstPort: 2, TTL: 64,
			Payload: make([]byte, 18),
		}))
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, frame := range frames {
				from.Send(frame)
			}
		case <-ctx.Done():
			return
		}
	}
}

// all waits until a frame of each flow has arrived since a time.
func (f *linkFlowsOf) all(ctx context.Context, since time.Time) error {
	return f.until(ctx, func(at []time.Time) bool { return len(at) > 0 && at[len(at)-1].After(since) })
}

// settled waits until a hundred frames of each flow have arrived, ten at least in the last 100 ms, since a link went down.
func (f *linkFlowsOf) settled(ctx context.Context, down time.Time) error {
	return f.until(ctx, func(at []time.Time) bool {
		n := len(at)
		return n > 100 && at[n-100].After(down.Add(50*time.Millisecond)) && time.Since(at[n-10]) < 100*time.Millisecond
	})
}

func (f *linkFlowsOf) until(ctx context.Context, done func([]time.Time) bool) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		ok := true
		for n := range f.arrived {
			ok = ok && done(f.arrived[n])
		}
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit:
			return errors.New("flows do not arrive after 30 s")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// longest is the longest time without a frame of a flow, of all, from a time on.
func (f *linkFlowsOf) longest(from time.Time) (dark time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.arrived {
		last := from
		for _, at := range f.arrived[n] {
			if at.After(from) {
				dark, last = max(dark, at.Sub(last)), at
			}
		}
	}
	return dark
}
