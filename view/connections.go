package view

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Connections are the connections that enter a device of a tenant, or any: those with a text in what is told of them, unless that is empty.
func Connections(ctx context.Context, store *state.Store, tenant, like string) ([]client.Connection, error) {
	view := store.View()
	edges := map[int64][]string{}
	for id, e := range view.Edges.All() {
		edges[e.Run] = append(edges[e.Run], id)
		slices.Sort(edges[e.Run])
	}
	rows := []client.Connection{}
	err := store.Connections(ctx, func(c state.StoredConn) error {
		enters, _ := view.Topology.Ref(topology.DeviceID(c.Forward.Zone))
		leaves, _ := view.Topology.Ref(topology.DeviceID(c.RetZone))
		if tenant != "" && enters.Tenant != tenant {
			return nil
		}
		r := client.Connection{
			Protocol: topology.Protocol(c.Forward.Proto).String(), Enters: deviceText(enters), Leaves: deviceText(leaves), State: c.State.String(),
			Forward: edges[c.ForwardOwner], Return: edges[c.ReturnOwner],
		}
		r.Source, r.Destination = bothEnds(c.Forward.Tuple)
		for n := range c.Steps() {
			src, dst := bothEnds(c.At(n + 1))
			r.Becomes = append(r.Becomes, src+" > "+dst)
		}
		if like == "" || strings.Contains(fmt.Sprint(r), like) {
			rows = append(rows, r)
		}
		return nil
	})
	return rows, err
}

func deviceText(r topology.Ref) string {
	if r.Name == "" {
		return "?"
	}
	return r.Tenant + "/" + r.Name
}

// bothEnds are the two ends of a tuple; protocols without ports have none.
func bothEnds(t conntrack.Tuple) (src, dst string) {
	et := uint16(packet.EtherTypeIPv4)
	if t.V6 {
		et = packet.EtherTypeIPv6
	}
	s, d := t.Src.Netip(et), t.Dst.Netip(et)
	if t.SrcPort|t.DstPort == 0 {
		return s.String(), d.String()
	}
	return netip.AddrPortFrom(s, t.SrcPort).String(), netip.AddrPortFrom(d, t.DstPort).String()
}
