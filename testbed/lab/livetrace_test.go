package lab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/api"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/trace"
)

// tracedLab is a bridge, and a router to another, over two edges.
const tracedLab = `
-- network.yaml --
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: far, tenant: red}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: red}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: red}, spec: {device: router/gw, mac: "02:00:00:00:00:fe", addresses: [10.0.0.254/24, "fd00::fe/64"], peer: lan-gw}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: red}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-far, tenant: red}, spec: {device: router/gw, mac: "02:00:00:00:01:fe", addresses: [10.1.0.254/24, "fd01::fe/64"], peer: far-gw}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: far-gw, tenant: red}, spec: {device: bridge/far, peer: gw-far}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/far, mac: "02:00:00:00:01:02", addresses: [10.1.0.2/24, "fd01::2/64"]}}
-- hosts --
red1 vport=red/vm1 edge=e1 mac=02:00:00:00:00:01 ip=10.0.0.1/24,fd00::1/64 gw=10.0.0.254,fd00::fe
red2 vport=red/vm2 edge=e2 mac=02:00:00:00:01:02 ip=10.1.0.2/24,fd01::2/64 gw=10.1.0.254,fd01::fe
`

// numbered is a host that sends numbered datagrams of both families to another, until the test ends.
type numbered struct {
	t    *testing.T
	tap  interface{ Frames() [][]byte }
	sent atomic.Uint32
	stop func()
}

const numberedPort = 4242

func (n *numbered) frame(v6 bool, i uint32) []byte {
	u := packet.UDP{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 0xfe}, Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.1.0.2"),
		SrcPort: 4000, DstPort: numberedPort, Payload: binary.BigEndian.AppendUint32([]byte("secret"), i),
	}
	if v6 {
		u.Src, u.Dst = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd01::2")
	}
	return packet.AppendUDP(nil, &u)
}

// numbers begins to send.
func numbers(t *testing.T, l *lab.Lab) *numbered {
	n := &numbered{t: t, tap: l.Host("red2").Tap(100_000)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	n.stop = func() { cancel(); <-ended }
	t.Cleanup(n.stop)
	go func() {
		defer close(ended)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				i := n.sent.Add(1)
				if l.Host("red1").InjectAll(ctx, slices.Values([][]byte{n.frame(false, i), n.frame(true, i)})) != nil {
					return
				}
			}
		}
	}()
	return n
}

// received are the numbers that came, of a family.
func (n *numbered) received(v6 bool) (all []uint32) {
	for _, b := range n.tap.Frames() {
		var f packet.Frame
		if packet.ParseUntagged(b, &f) == nil && f.Is6() == v6 && f.Proto == packet.ProtoUDP && f.DstPort == numberedPort {
			all = append(all, binary.BigEndian.Uint32(f.Data[len(f.Data)-4:]))
		}
	}
	return all
}

// arrived waits until what is sent from now on has come.
func (n *numbered) arrived() {
	n.t.Helper()
	after := n.sent.Load() + 2
	wait.Until(n.t, "datagrams arrive", func() bool {
		for _, v6 := range []bool{false, true} {
			if all := n.received(v6); len(all) == 0 || all[len(all)-1] < after {
				return false
			}
		}
		return true
	})
}

// whole checks that all datagrams since the first one arrived, once, and in order, unless a slow target lets some overtake those that the agent still has (docs/trace.md).
func (n *numbered) whole(overtaken bool) {
	n.t.Helper()
	n.stop()
	last := n.sent.Load()
	for _, v6 := range []bool{false, true} {
		wait.Until(n.t, "the last datagrams arrive", func() bool {
			all := n.received(v6)
			return slices.Contains(all, last) && (!overtaken || len(all) > int(last-slices.Min(all)))
		})
		all := n.received(v6)
		if overtaken {
			slices.Sort(all)
		}
		for i := 1; i < len(all); i++ {
			if all[i] != all[i-1]+1 {
				n.t.Errorf("v6 %t: datagram %d came behind %d", v6, all[i], all[i-1])
			}
		}
	}
}

// fast waits until an edge's target forwards the datagrams by itself.
func (n *numbered) fast(l *lab.Lab) {
	n.t.Helper()
	known := true // the agent runs
	counter := func(name string) uint64 {
		v, err := l.Counter(n.t.Context(), "e1", name)
		known = known && err == nil
		return v
	}
	wait.Until(n.t, "the target forwards by itself", func() bool {
		known = true
		missed := counter("punt_miss_flow")
		before := counter("fast_path")
		end := n.sent.Load() + 10
		wait.Until(n.t, "datagrams are sent", func() bool { return n.sent.Load() >= end })
		return counter("punt_miss_flow") == missed && counter("fast_path") > before && known
	})
}

func tracedHosts(t *testing.T, target string) (*lab.Lab, *state.Store, *numbered) {
	t.Helper()
	file, err := scenario.Parse("traced.txtar", []byte(tracedLab))
	if err != nil {
		t.Fatal(err)
	}
	l, store := open(t, lab.Config{Scenario: file, Target: target})
	n := numbers(t, l)
	n.arrived()
	n.fast(l)
	return l, store, n
}

// TestLiveTrace (O2): real packets of a vport are told at both edges, beside what the network says of them, and arrive all, in order; then nothing is left at the edges or in the database.
func TestLiveTrace(t *testing.T) {
	for _, target := range []string{lab.Softswitch, lab.BMv2} {
		t.Run(target, func(t *testing.T) { liveTrace(t, target) })
	}
}

func liveTrace(t *testing.T, target string) {
	if _, err := exec.LookPath("simple_switch_grpc"); target == lab.BMv2 && (err != nil || os.Geteuid() != 0) {
		t.Skip("needs root, and simple_switch_grpc on PATH")
	}
	l, store, n := tracedHosts(t, target)
	for _, tc := range []struct {
		match    client.LiveMatch
		from, to string
	}{
		{client.LiveMatch{Dst: "10.1.0.0/24", Proto: "udp", DPort: numberedPort}, "10.0.0.1:4000", "10.1.0.2:4242"},
		{client.LiveMatch{Src: "fd00::1", Family: "ipv6"}, "[fd00::1]:4000", "[fd01::2]:4242"},
	} {
		var events []client.LiveEvent
		if err := trace.Live(t.Context(), store, client.LiveRequest{VPort: "red/vm1", Match: tc.match, Packets: 5}, func(e client.LiveEvent) error {
			events = append(events, e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if e := events[0]; e.Kind != client.LiveBegan || e.Edge != "e1" || e.Counting != "" || len(e.Entries) != 1 || e.Entries[0].Packets == 0 || !strings.HasPrefix(e.Place, "e1:") {
			t.Errorf("%v: it begins with %+v", tc.match, e)
		}
		followed, arrives := 0, 0
		for _, e := range events {
			switch p := e.Packet; e.Kind {
			case client.LiveArrive:
				arrives++
				if a := e.Arrivals[0]; e.Edge != "e2" || a.VPort != "red/vm2" || a.Absent || a.Error != "" {
					t.Errorf("%v: %+v", tc.match, a)
				}
			case client.LivePacket:
				followed++
				if p.N != followed || e.Edge != "e1" || !strings.HasPrefix(p.Text, "UDP "+tc.from+" → "+tc.to+", TTL 64") || p.Entry == nil || p.Differs != "" || p.Simulation == nil || len(p.Outcomes) != 1 {
					t.Errorf("%v: packet %+v", tc.match, p)
					continue
				}
				if o := p.Outcomes[0]; o.Verdict != "forward" || o.To != "red/vm2" || !strings.HasPrefix(o.Place, "e2:") || !strings.HasPrefix(o.Tunnel, "vxlan ") || !strings.Contains(o.Rewrite, "ttl_dec=1") {
					t.Errorf("%v: the edge did %+v", tc.match, o)
				}
				if x := p.Entry; x.Absent || x.Action != "forward" || x.To != "red/vm2" || x.Packets == 0 || !strings.HasPrefix(x.Table, "flow_") {
					t.Errorf("%v: it meets %+v", tc.match, x)
				}
				if s := p.Simulation; len(s.Outcomes) != 1 || s.Outcomes[0].To != "red/vm2" || len(s.Steps) == 0 {
					t.Errorf("%v: the network says %+v", tc.match, s)
				}
			}
		}
		if followed != 5 || arrives != 1 {
			t.Errorf("%v: %d packets, %d arrivals", tc.match, followed, arrives)
		}
		e := events[len(events)-1]
		if e.Kind != client.LiveEnded || e.Packets != 5 || !strings.Contains(e.Why, "as many packets came") || len(e.Entries) != 1 || len(e.Arrivals) != 1 || e.Arrivals[0].Edge != "e2" || e.Arrivals[0].Passed == 0 || len(e.Arrivals[0].Lost) > 0 {
			t.Errorf("%v: it ends with %+v", tc.match, e)
		}
		n.fast(l)
	}
	n.whole(target == lab.BMv2)
	traceLeft(t, store)
}

// TestLiveTraceFast: flows that are too fast to be brought up are followed by the counters of their entries, and their packets stay on the fast path.
func TestLiveTraceFast(t *testing.T) {
	l, store, n := tracedHosts(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				_ = l.Host("red1").InjectAll(ctx, slices.Values(slices.Repeat([][]byte{n.frame(false, 0), n.frame(true, 0)}, 16))) // it ends with ctx
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	missed, err := l.Counter(t.Context(), "e1", "punt_miss_flow")
	if err != nil {
		t.Fatal(err)
	}
	var events []client.LiveEvent
	wait.Until(t, "the flows go fast", func() bool { // a machine that is busy may not send that fast
		events = nil
		if err := trace.Live(t.Context(), store, client.LiveRequest{VPort: "red/vm1", Match: client.LiveMatch{Proto: "udp"}, Packets: 1, Seconds: 1}, func(e client.LiveEvent) error {
			events = append(events, e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if events[0].Counting != "" {
			return true
		}
		missed, _ = l.Counter(t.Context(), "e1", "punt_miss_flow")
		return false
	})
	began, last := events[0], events[len(events)-1]
	if len(events) != 2 || len(began.Entries) != 2 || len(last.Entries) != 2 || last.Packets != 0 {
		t.Fatalf("told %+v", events)
	}
	for i, e := range last.Entries {
		if e.MorePackets == 0 || e.To != "red/vm2" || began.Entries[i].Simulation == nil || began.Entries[i].Simulation.Outcomes[0].To != "red/vm2" {
			t.Errorf("entry %+v, before %+v", e, began.Entries[i])
		}
	}
	if now, err := l.Counter(t.Context(), "e1", "punt_miss_flow"); err != nil || now > missed {
		t.Errorf("%d packets came up, %v", now-missed, err)
	}
}

// redViewer is a guard to whom all are a viewer of tenant red.
type redViewer struct{ *access.Guard }

func (redViewer) Authenticate(*http.Request) (access.Identity, error) {
	return access.Identity{Subject: "user:red/ann", Role: access.TenantViewer, Tenant: "red"}, nil
}

// TestLiveTraceByAPI: a tenant follows packets of its own vport by the API, and is told nothing of the underlay; who hangs up has ended it.
func TestLiveTraceByAPI(t *testing.T) {
	_, store, n := tracedHosts(t, "")
	guard, err := access.New(access.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Options{Store: store, Guard: redViewer{guard}, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	h := httptest.NewServer(server.Handler())
	defer func() {
		h.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := store.WaitCatalogue(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Server: h.URL, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var kinds []string
	if err := c.TraceLive(t.Context(), client.LiveRequest{VPort: "red/vm1", Match: client.LiveMatch{Dst: "fd01::2"}, Packets: 2}, func(e client.LiveEvent) error {
		kinds = append(kinds, e.Kind)
		if p := e.Packet; p != nil && (len(p.Outcomes) != 1 || p.Outcomes[0].To != "red/vm2" || p.Outcomes[0].Tunnel != "" || p.Differs != "" || p.Entry == nil || p.Entry.Match == "") {
			t.Errorf("packet %+v", p)
		}
		for _, a := range e.Arrivals {
			if a.VPort != "red/vm2" || a.Edge != "e2" || a.Passed != 0 {
				t.Errorf("arrival %+v", a)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "arrive began ended packet packet" {
		t.Errorf("told %s", got)
	}
	hung := errors.New("hung up")
	if err := c.TraceLive(t.Context(), client.LiveRequest{VPort: "red/vm1", Packets: 1000, Seconds: 300}, func(e client.LiveEvent) error {
		if e.Kind == client.LivePacket {
			return hung
		}
		return nil
	}); !errors.Is(err, hung) {
		t.Errorf("hung up: %v", err)
	}
	traceLeft(t, store)
	n.whole(false)
}

// traceLeft checks that the database has nothing of live traces.
func traceLeft(t *testing.T, store *state.Store) {
	t.Helper()
	wait.Until(t, "nothing is left of the trace", func() bool {
		r, err := store.Client().Get(t.Context(), "/weft/trace/", clientv3.WithPrefix())
		return err == nil && len(r.Kvs) == 0
	})
}

// TestLiveTraceEnds: a trace of which nobody hears any more leaves nothing behind, also at an edge whose agent ended in the midst of it; it ends by its time, too.
func TestLiveTraceEnds(t *testing.T) {
	l, store, n := tracedHosts(t, "")
	id, _ := store.View().Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "vm1"})
	ask := state.LiveTrace{VPort: flow.VPortID(id), Packets: state.MaxTracePackets, For: time.Minute}
	for _, away := range []bool{false, true} {
		hold, err := store.BeginTrace(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.BeginTrace(t.Context(), ask); err == nil || !strings.Contains(err.Error(), "followed already") {
			t.Errorf("a second trace of the vport: %v", err)
		}
		told, end := 0, context.CancelFunc(nil)
		var ctx context.Context
		ctx, end = context.WithCancel(t.Context())
		if err := hold.Run(ctx, func(r state.TraceRecord) error {
			if r.Kind == state.TracePacket {
				if told++; told == 3 {
					end()
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		end()
		if away {
			if err := l.StopAgent("e1"); err != nil {
				t.Fatal(err)
			}
		}
		traceLeft(t, store) // by itself: nobody renews the lease
		if away {
			if err := l.StartAgent("e1"); err != nil {
				t.Fatal(err)
			}
		}
		n.fast(l)
	}
	traceLeft(t, store)
	ended := ""
	if err := trace.Live(t.Context(), store, client.LiveRequest{VPort: "red/vm1", Match: client.LiveMatch{Proto: "tcp"}, Seconds: 1}, func(e client.LiveEvent) error {
		if e.Kind == client.LiveEnded {
			ended = e.Why
		}
		return nil
	}); err != nil || !strings.Contains(ended, "time is over") {
		t.Errorf("a trace of nothing: %v, %q", err, ended)
	}
}
