package netns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/topology"
)

// snooped is three edges on a switch of the kernel; vm1 to vm3 are at one each, vm3 on a bridge of its own.
type snooped struct {
	*testing.T
	ctx      context.Context
	kernel   *netns.Switch
	store    *state.Store
	within   netip.Prefix
	revision int64
	agents   [4]*engine.Agent
	vm       *port.End      // vm1's
	arrived  [4]chan []byte // at either access port of an edge
}

const snoopedNetwork = `{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: other}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3}, spec: {device: bridge/other}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm1}, spec: {vport: vm1, edge: e1, interface: "1"}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm2}, spec: {vport: vm2, edge: e2, interface: "1"}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm3}, spec: {vport: vm3, edge: e3, interface: "1"}}
`

// TestSnooped: a switch of the kernel that snoops lets what is for a bridge pass to the edges that have members, by what they report in either version of IGMP and MLD;
// an edge whose members are gone is not sent anything.
func TestSnooped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	for _, program := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	for _, c := range []struct {
		within    string
		igmp, mld int
	}{{"239.192.0.0/14", 3, 2}, {"239.192.0.0/14", 2, 1}, {"ff05:0:0:7::/104", 3, 2}, {"ff05:0:0:7::/104", 2, 1}} {
		t.Run(fmt.Sprintf("%s,IGMPv%d,MLDv%d", c.within, c.igmp, c.mld), func(t *testing.T) {
			t.Parallel() // it waits most of the time
			newSnooped(t, netip.MustParsePrefix(c.within), c.igmp, c.mld).run()
		})
	}
}

// link is edge n's address, vtep its tunnel address.
func (s *snooped) link(n int, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{10, 9, 0, byte(n)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd09::%x", n))
}

func (s *snooped) vtep(n int, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	}
	return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n))
}

func newSnooped(t *testing.T, within netip.Prefix, igmp, mld int) *snooped {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	s := &snooped{T: t, ctx: ctx, within: within}
	const router = 254
	v4 := within.Addr().Is4()
	cfg := netns.SwitchConfig{Ports: 3, Routers: []netip.Prefix{netip.PrefixFrom(s.link(router, true), 24), netip.PrefixFrom(s.link(router, false), 64)}, IGMP: igmp, MLD: mld, Routes: map[netip.Prefix][]netip.Addr{}}
	for n := 1; n <= 3; n++ {
		vtep := s.vtep(n, v4)
		cfg.Routes[netip.PrefixFrom(vtep, vtep.BitLen())] = []netip.Addr{s.link(n, v4)}
	}
	var err error
	if s.kernel, err = netns.NewSwitch(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	g, running := errgroup.WithContext(ctx)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := s.kernel.Close(); err != nil {
			t.Error(err)
		}
	})
	open := func(cfg state.Config) *state.Store {
		store, err := state.Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		g.Go(func() error { return store.Run(running) })
		return store
	}
	s.store = open(state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	s.apply(snoopedNetwork)
	for n := 1; n <= 3; n++ {
		store := open(state.Config{Client: state.ClientConfig{Endpoints: s.store.Endpoints()}, Edges: []string{fmt.Sprintf("e%d", n)}})
		dial := s.target(n, g, running)
		s.agents[n], err = engine.NewAgent(engine.Config{
			Store: store, Self: engine.Edge{ID: fmt.Sprintf("e%d", n), VTEPs: []netip.Addr{s.vtep(n, v4)}, Tunnel: offload.VXLAN, Multicast: within},
			Links: []engine.Uplink{{
				Port: offload.FirstUnderlay, MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(n)}, MTU: 1600,
				Addrs: []netip.Addr{s.link(n, true), s.link(n, false)}, Gateway: []netip.Addr{s.link(router, true), s.link(router, false)},
			}},
			Dial: dial, DeviceID: uint64(n), Profile: p4rt.Softswitch(),
		})
		if err != nil {
			t.Fatal(err)
		}
		g.Go(func() error { return s.agents[n].Run(running) })
	}
	return s
}

// target starts the softswitch of edge n, with access ports 1 and 2, and returns how to connect to it.
func (s *snooped) target(n int, g *errgroup.Group, ctx context.Context) func(context.Context) (p4rt.Conn, error) {
	ports := map[uint16]port.Port{offload.FirstUnderlay: s.kernel.Port(n)}
	s.arrived[n] = make(chan []byte, 1024)
	for at := range uint16(2) {
		own, far := port.NewLink(fmt.Sprintf("e%d", n), "vm", 1024)
		ports[at+1] = own
		if n == 1 && at == 0 {
			s.vm = far
		}
		context.AfterFunc(ctx, func() { _ = far.Close() })
		g.Go(func() error {
			frames, sizes := [][]byte{make([]byte, 2048)}, make([]int, 1)
			for {
				if _, err := far.Recv(frames, sizes); err != nil {
					return nil // closed
				}
				select {
				case s.arrived[n] <- slices.Clone(frames[0][:sizes[0]]):
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
	server, err := softswitch.New(softswitch.Options{DeviceID: uint64(n), CPUPort: offload.CPUPort, Ports: ports})
	if err != nil {
		s.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	g.Go(func() error { return server.Serve(ctx, listener) })
	return p4rt.Dialer("passthrough:///e", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
}

func (s *snooped) apply(text string) {
	s.Helper()
	objects, err := topology.Decode("network.yaml", []byte(text))
	if err == nil {
		s.revision, err = s.store.Apply(s.ctx, objects)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// applied waits until all edges have what was applied last.
func (s *snooped) applied() {
	s.Helper()
	if err := errors.Join(s.store.WaitEdges(s.ctx, "e1", "e2", "e3"), s.store.WaitApplied(s.ctx, s.revision)); err != nil {
		s.Fatal(err)
	}
}

// until waits for something that is looked at again and again.
func (s *snooped) until(what string, holds func() bool) {
	s.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatal("never: " + what)
		}
	}
}

// asked waits until a group is asked for at just these ports of the switch.
func (s *snooped) asked(group netip.Addr, at ...int) {
	s.Helper()
	s.until(fmt.Sprintf("%v is asked for at ports %v", group, at), func() bool {
		for n := 1; n <= 3; n++ {
			groups, err := s.kernel.Groups(s.ctx, n)
			if err != nil {
				s.Fatal(err)
			}
			if _, has := groups[group]; has != slices.Contains(at, n) {
				return false
			}
		}
		return true
	})
}

// group is the multicast address of a bridge.
func (s *snooped) group(bridge string) netip.Addr {
	id, ok := s.store.View().Topology.ID(topology.Ref{Kind: topology.KindBridge, Tenant: topology.DefaultTenant, Name: bridge})
	if !ok {
		s.Fatal("no bridge " + bridge)
	}
	b := s.within.Addr().AsSlice()
	b[len(b)-1], b[len(b)-2] = byte(id), byte(id>>8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// flood has vm1 say something to all until it has arrived at an edge times over, once more if it does not arrive, and returns how many frames left the switch by each port meanwhile.
func (s *snooped) flood(to, times int) (sent [4]uint64) {
	s.Helper()
	hello := packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: packet.MAC{2, 5: 1}, DstMAC: packet.Broadcast(), Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.255"), SrcPort: 9, DstPort: 9, Payload: []byte("hello, all"),
	})
	count := func(sign uint64) {
		for n := 1; n <= 3; n++ {
			left, err := s.kernel.Sent(s.ctx, n)
			if err != nil {
				s.Fatal(err)
			}
			sent[n] += sign * left
		}
	}
	count(^uint64(0))
	for arrived := 0; arrived < times; {
		if _, err := s.vm.Send([][]byte{hello}); err != nil {
			s.Fatal(err)
		}
		select {
		case got := <-s.arrived[to]:
			if !bytes.Equal(got, hello) {
				s.Fatalf("edge %d delivered %x", to, got)
			}
			arrived++
		case <-time.After(time.Second): // lost
		case <-s.ctx.Done():
			s.Fatalf("nothing arrived at edge %d", to)
		}
	}
	count(1)
	return sent
}

func (s *snooped) run() {
	const times, others = 200, 30 // others: queries, ARP, ND
	lan, other := s.group("lan"), s.group("other")
	s.applied()
	s.asked(lan, 1, 2)
	s.asked(other, 3)
	only := func(at int) {
		s.until(fmt.Sprintf("what vm1 says is sent to edge %d alone", at), func() bool {
			sent := s.flood(at, times)
			return sent[at] >= times && sent[1] <= others && sent[5-at] <= others
		})
	}
	only(2)
	told := s.agents[2].Stats().MulticastReports
	if err := s.kernel.Ask(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.until("the switch asks, and is answered", func() bool {
		now := s.agents[2].Stats()
		return now.MulticastQueries > 0 && now.MulticastReports > told
	})
	s.asked(lan, 1, 2)
	s.apply(`{apiVersion: weft/v1, kind: Binding, metadata: {name: vm2}, spec: {vport: vm2, edge: e3, interface: "2"}}`)
	s.applied()
	s.asked(lan, 1, 3)
	only(3)
}
