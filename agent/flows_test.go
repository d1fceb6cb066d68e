package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestNameFlows: every kind of flow is told in the network's names, and where its packets go.
func TestNameFlows(t *testing.T) {
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	store := openStore(t, Etcd{Endpoints: []string{endpoint}})
	rev := apply(t, store, network)
	if err := store.WaitRevision(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	v := store.View()
	id := func(kind topology.Kind, name string) uint32 {
		n, ok := v.Topology.ID(topology.Ref{Kind: kind, Tenant: "acme", Name: name})
		if !ok {
			t.Fatalf("no %s %s", kind, name)
		}
		return n
	}
	lan, vm1, vm2 := id(topology.KindBridge, "lan"), id(topology.KindVPort, "vm1"), id(topology.KindVPort, "vm2")
	vport := flow.VPortID(vm1)
	key := flow.Key{Ingress: vport, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2}}
	mask := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.MAC{255, 255, 255, 255, 255, 255}}
	got := nameFlows("nic1", v, []engine.Flow{
		{Ingress: vport, Key: key, Mask: mask, SourceMAC: packet.MAC{2, 0, 0, 0, 0, 1}, Act: offload.Forward, Dest: flow.VPortID(vm2).Dest(), Lane: offload.LaneClass,
			Guards: flow.Guards{MinTTL: 1, MaxLen: 1500}, Rewrite: flow.Rewrite{TTLDec: 1}, Packets: 7, Bytes: 700, Age: 1500 * time.Millisecond, Depends: []string{"vport 1"}},
		{Ingress: vport, Key: flow.Key{Ingress: vport}, Mask: flow.Mask{Ingress: flow.MaxID}, Act: offload.Forward, Dest: flow.Dest(lan), Lane: offload.LaneWildL2},
		{Ingress: flow.VPortID(vm2), Act: offload.Drop, Lane: offload.LaneExact},
		{Ingress: 9999, Act: offload.Punt, Lane: offload.LaneWild},
		{Ingress: 9999, Act: offload.Forward, Dest: 8888, Lane: offload.LaneWild},
	})
	one, two := Named{vm1, "acme/vm1"}, Named{vm2, "acme/vm2"}
	want := []Flow{
		{Edge: "nic1", VPort: one, Match: "*", Action: "forward", To: &Named{lan, "all of bridge acme/lan"}, At: []string{"nic1:p1", "nic1:p2"}, Lane: "wild-l2"},
		{Edge: "nic1", VPort: one, Match: "dst_mac=02:00:00:00:00:02", Guards: "ttl > 1, length ≤ 1500, from 02:00:00:00:00:01", Action: "forward", To: &two,
			At: []string{"nic1:p2"}, Rewrite: "ttl_dec=1", Lane: "class", Packets: 7, Bytes: 700, AgeSeconds: 1.5, Depends: []string{"vport 1"}},
		{Edge: "nic1", VPort: two, Match: "*", Action: "drop", Lane: "exact"},
		{Edge: "nic1", VPort: Named{9999, "vport 9999"}, Match: "*", Action: "punt", Lane: "wild"},
		{Edge: "nic1", VPort: Named{9999, "vport 9999"}, Match: "*", Action: "forward", To: &Named{8888, "vport 8888"}, Lane: "wild"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
