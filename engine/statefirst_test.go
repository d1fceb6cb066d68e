package engine

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// slowly is a way to a server on which what that answers takes a while longer.
func slowly(t *testing.T, to string, delay *atomic.Int64) (address string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = lis.Close() })
	go func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go answers(in, out, delay)
		}
	}()
	return lis.Addr().String()
}

// answers passes on what a server says, in order, each piece at least a delay after it came.
func answers(to io.WriteCloser, from io.Reader, delay *atomic.Int64) {
	defer to.Close()
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			if n > 0 {
				pieces <- piece{b[:n], time.Now().Add(time.Duration(delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		timer := time.NewTimer(time.Until(p.due))
		<-timer.C
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}

// isOf tells whether a packet that left is one of a host's UDP packets.
func isOf(src netip.Addr) func(*p4.PacketOut) bool {
	return func(p *p4.PacketOut) bool {
		var f packet.Frame
		return packet.ParseUntagged(p.Payload, &f) == nil && f.Proto == packet.ProtoUDP && f.SrcAddr() == src
	}
}

// TestStateFirst (C1): the first packet of a connection leaves when the database has said that this is stored, were it a second later, and then whoever reads it finds it, by
// both its keys.
func TestStateFirst(t *testing.T) {
	tracked := strings.ReplaceAll(network, "spec: {device: bridge/lan, mac: \"02:00:00:00:00:01\"", "spec: {device: bridge/lan, filters: {ingress: track}, mac: \"02:00:00:00:00:01\"") + `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: track, tenant: red}, spec: {rules: [{match: {states: [new, established]}, action: accept}]}}
`
	other := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true, Listen: []string{"http://127.0.0.1:0"}}})
	var delay atomic.Int64
	near := runStore(t, state.Config{Client: state.ClientConfig{Endpoints: []string{"http://" + slowly(t, strings.TrimPrefix(other.Endpoints()[0], "http://"), &delay)}}})
	target := p4rttest.NewServer()
	c := detachedFrom(t, near, target.Dial)
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(tracked)); err != nil {
		t.Fatal(err)
	}
	c.view.places[vportOf(t, c, "vm2")] = c.view.places[vportOf(t, c, "vm1")]
	ctx := connected(t, c, target)
	for _, x := range [][2]string{{"10.0.1.2", "10.0.1.3"}, {"fd00:1::2", "fd00:1::3"}} {
		src, dst := netip.MustParseAddr(x[0]), netip.MustParseAddr(x[1])
		delay.Store(int64(time.Second))
		begin := time.Now()
		if err := c.a.mail.call(ctx, func() { fromVM1(t, c, vm2MAC, src, dst, 1000) }); err != nil {
			t.Fatal(err)
		}
		if !target.Wait(ctx, func(v p4rttest.View) bool { return slices.ContainsFunc(v.PacketsOut, isOf(src)) }) {
			t.Fatalf("%v: the packet never left", src)
		}
		if took := time.Since(begin); took < time.Second {
			t.Errorf("%v: the packet left after %v, before the database had answered", src, took)
		}
		lan, _ := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
		k := conntrack.Key{Zone: lan, Tuple: conntrack.Tuple{Src: flow.AddrOf(src), Dst: flow.AddrOf(dst), SrcPort: 1000, DstPort: 2, Proto: packet.ProtoUDP, V6: src.Is6()}}
		stored, found, err := other.FindConn(t.Context(), k)
		if err != nil || !found {
			t.Fatalf("%v: the packet left, and another edge finds its connection: %v, %v", src, found, err)
		}
		if _, found, err = other.FindConn(t.Context(), stored.Return()); err != nil || !found {
			t.Errorf("%v: the packet left, and another edge finds the answer's connection: %v, %v", src, found, err)
		}
		delay.Store(0)
	}
}
