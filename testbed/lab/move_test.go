package lab_test

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
)

// TestMove: a VM moves from e2 to e3 in the middle of a transfer to a VM at e1; the only act is the new binding (O1). The transfer goes on, IPv4 and IPv6,
// and the flows at e1 stay: they name the vport, not the place.
func TestMove(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		l := start(t, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.Geneve, Access: 1}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.Geneve, Access: 1},
			lab.EdgeConfig{ID: "e3", N: 3, Tunnel: offload.Geneve, Access: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		apply := func(manifest string) {
			t.Helper()
			if err := l.Apply(ctx, "network.yaml", []byte(manifest)); err != nil {
				t.Fatal(err)
			}
			if err := l.Settle(ctx); err != nil {
				t.Fatal(err)
			}
		}
		apply(bridgeNetwork)
		station := func(n byte, e *lab.Edge) *host.Host {
			h, err := host.New(host.Config{Name: e.ID, MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: 1400,
				Addrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 24), netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: n}), 64)}}, e.Access(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(h.Close)
			return h
		}
		client, server := station(1, l.Edges[0]), station(2, l.Edges[1])
		listener, err := server.ListenTCP(9000)
		if err != nil {
			t.Fatal(err)
		}
		payload := bytes.Repeat([]byte("the warp stays, the weft moves. "), 256<<10) // 8 MiB
		go func() {
			if c, err := listener.Accept(); err == nil {
				_, _ = c.Write(payload)
				_ = c.Close()
			}
		}()
		to := server.Addr4()
		if v6 {
			to = server.Addr6()
		}
		conn, err := client.DialTCP(ctx, netip.AddrPortFrom(to, 9000))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
		got := make([]byte, 0, len(payload))
		head := make([]byte, len(payload)/4)
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatal(err)
		}
		before := l.Edges[0].Agent.Stats()
		server.Connect(l.Edges[2].Access(1))
		_, binding, _ := strings.Cut(bridgeNetwork, "interface: \"1\"}\n---\n") // that of vm2 is the last object
		apply(strings.ReplaceAll(binding, "edge: e2", "edge: e3"))
		rest, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("v6 %v: the transfer broke after %d of %d bytes: %v", v6, len(head)+len(rest), len(payload), err)
		}
		if got = append(append(got, head...), rest...); !bytes.Equal(got, payload) {
			t.Errorf("v6 %v: received %d bytes that are not the %d sent", v6, len(got), len(payload))
		}
		after := l.Edges[0].Agent.Stats()
		if after.Removed != before.Removed || after.Installed != before.Installed {
			t.Errorf("v6 %v: the move changed flows at the client's edge: %+v, then %+v", v6, before, after)
		}
		if n := l.Edges[2].Agent.Stats().Installed; n == 0 {
			t.Errorf("v6 %v: the server's new edge installed no flow", v6)
		}
		_ = conn.Close()
	}
}
