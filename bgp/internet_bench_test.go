package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// benchNetwork is a provider's router with two uplinks.
const benchNetwork = `
apiVersion: weft/v1
kind: Router
metadata: {name: core, tenant: isp}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up0, tenant: isp}
spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up1, tenant: isp}
spec: {device: router/core, addresses: [192.0.3.1/24, "2001:db8:0:1::1/64"]}
`

// provider is the database with the provider's network.
type provider struct {
	*testing.B
	store  *state.Store
	router topology.DeviceID
	ports  [2]flow.VPortID
	stride int
	name   string // of the size, behind figures' names
}

func newProvider(b *testing.B, stride int, name string) *provider {
	s, err := state.Open(b.Context(), state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir()}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	objects, err := topology.Decode("bench.yaml", []byte(benchNetwork))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Apply(b.Context(), objects); err != nil {
		b.Fatal(err)
	}
	p := &provider{B: b, store: s, stride: stride, name: name, router: topology.DeviceID(0)}
	id := func(kind topology.Kind, name string) uint32 {
		o, _, err := s.Get(b.Context(), topology.Ref{Kind: kind, Tenant: "isp", Name: name})
		if err != nil {
			b.Fatal(err)
		}
		return o.Status.ID
	}
	p.router = topology.DeviceID(id(topology.KindRouter, "core"))
	for i := range p.ports {
		p.ports[i] = flow.VPortID(id(topology.KindVPort, fmt.Sprintf("up%d", i)))
	}
	return p
}

// freeAddr is where a process may listen.
func freeAddr(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *provider) role(name, edge string, uplink int) role {
	return role{Name: name, Stride: p.stride, Endpoints: p.store.Endpoints(), Edge: edge, Router: p.router, Port: p.ports[uplink], Uplink: uplink}
}

// peer begins a neighbour behind an uplink, and returns where it listens and how many prefixes it has. One that restarts gracefully tells when it has told all.
func (p *provider) peer(uplink, path int, graceful bool) (at string, prefixes int) {
	r := p.role("peer", fmt.Sprint(uplink), uplink)
	r.At, r.Path, r.Graceful = freeAddr(p), path, graceful
	return r.At, int(begin(p.B, r).hear("ready"))
}

// border begins an edge with an uplink to a peer.
func (p *provider) border(uplink int, at string) *child {
	r := p.role("border", fmt.Sprintf("b%d", uplink), uplink)
	r.At, r.From = at, fromBorder
	c := begin(p.B, r)
	c.hear("ready")
	return c
}

// edges begins edges that follow the router until they have so many routes.
func (p *provider) edges(n, want int) []*child {
	var list []*child
	for i := range n {
		r := p.role("edge", fmt.Sprintf("e%d", i), 0)
		r.Want = want
		list = append(list, begin(p.B, r))
	}
	for _, e := range list {
		e.hear("ready")
	}
	return list
}

// sizes of tables: all of it, and a tenth.
var sizes = []struct {
	name   string
	stride int
}{{"_100k", 10}, {"", 1}}

// BenchmarkInternet reports, of a neighbour that tells a table of the Internet: bgp_vs_gobgp, how long until three other edges' snapshots have all of it, each a process of its own, through a database
// on disk, as a multiple of how long a GoBGP server by itself takes to accept it from the same neighbour, both from when the session is up; bgp_all_ms and gobgp_all_ms are the two; bgp_cpu_s and gobgp_cpu_s are the processor time of the four processes and of the one; bgp_etcd_mb, what the
// database has in use then; bgp_route_bytes, memory a route of the process that speaks, beyond that of the GoBGP server by itself. With _100k: of a tenth of the table.
func BenchmarkInternet(b *testing.B) {
	for _, size := range sizes {
		b.Run("Table"+size.name, func(b *testing.B) {
			for b.Loop() {
				benchInternet(b, size.stride, size.name)
			}
		})
	}
}

func benchInternet(b *testing.B, stride int, name string) {
	p := newProvider(b, stride, name)
	at, n := p.peer(0, 3, true)
	r := p.role("bare", "", 0)
	r.At, r.From = at, fromBare
	bare := begin(b, r)
	bareBefore := bare.ask("heap")
	bare.order("go")
	up := bare.hear("up")
	bareTook := time.Duration(bare.hear("all") - up)
	bareBytes := bare.ask("heap") - bareBefore
	bareTime := bare.end()

	border, edges := p.border(0, at), p.edges(3, n)
	before := border.ask("heap")
	border.order("go")
	up = border.hear("up")
	var took time.Duration
	for _, e := range edges {
		took = max(took, time.Duration(e.hear("all")-up))
	}
	bytes := border.ask("heap") - before
	members, err := state.Members(b.Context(), state.ClientConfig{Endpoints: p.store.Endpoints()})
	if err != nil || len(members) != 1 {
		b.Fatal(members, err)
	}
	times := border.end()
	for _, e := range edges {
		times += e.end()
	}
	b.ReportMetric(times.Seconds(), "bgp_cpu_s"+name+":s")
	b.ReportMetric(bareTime.Seconds(), "gobgp_cpu_s"+name+":s")
	b.ReportMetric(float64(took)/float64(bareTook), "bgp_vs_gobgp"+name+":times")
	b.ReportMetric(float64(took.Milliseconds()), "bgp_all_ms"+name+":ms")
	b.ReportMetric(float64(bareTook.Milliseconds()), "gobgp_all_ms"+name+":ms")
	b.ReportMetric(float64(members[0].InUse)/1e6, "bgp_etcd_mb"+name+":MB")
	b.ReportMetric(float64(bytes-bareBytes)/float64(n), "bgp_route_bytes"+name+":B/route")
	b.ReportMetric(float64(bareBytes)/float64(n), "gobgp_route_bytes"+name+":B/route")
}

// BenchmarkFailover reports bgp_failover_1m: two edges have a session each, both of which tell the table of the Internet; from the loss of the one by which all destinations are
// nearer until all of them lead by the other, in the snapshot of a third edge. With 100k instead of 1m: of a tenth of the table.
func BenchmarkFailover(b *testing.B) {
	for _, size := range sizes {
		name := "bgp_failover_1m"
		if size.name != "" {
			name = "bgp_failover" + size.name
		}
		b.Run("Table"+size.name, func(b *testing.B) {
			for b.Loop() {
				p := newProvider(b, size.stride, size.name)
				near, n := p.peer(0, 2, false)
				far, _ := p.peer(1, 4, false)
				edge := p.edges(1, 2*n)[0]
				borders := []*child{p.border(0, near), p.border(1, far)}
				for _, c := range borders {
					c.order("go")
				}
				edge.hear("all")
				edge.order("way 0")
				edge.hear("way")
				edge.order("way 1")
				edge.hear("waits")
				lost := borders[0].ask("lose")
				b.ReportMetric(time.Duration(edge.hear("way")-lost).Seconds(), name+":s")
			}
		})
	}
}
