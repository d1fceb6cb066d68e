package topology

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

const campus = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: campus, tenant: acme}
spec:
  vlans: [10, 20-21]
  macs: [{mac: "02:00:00:00:00:10", port: up.10, vlan: 10}]
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: plain, tenant: acme}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up, tenant: acme}
spec: {device: bridge/campus, vlans: [10, 20], native: 21}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: acme}
spec: {device: bridge/campus, vlan: 20, mac: "02:00:00:00:00:01"}
---
apiVersion: weft/v1
kind: PortGroup
metadata: {name: doors, tenant: acme}
spec: {ports: [up.10, vm]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: a, tenant: acme}
spec: {device: bridge/campus, vlan: 21, peer: b}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: b, tenant: acme}
spec: {device: bridge/plain, peer: a}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: up, tenant: acme}
spec: {vport: up, edge: e1, interface: eth0}
`

// TestVLANs: a VLAN-aware bridge is a bridge a VLAN, with the ports that are in it, and seeds of its own.
func TestVLANs(t *testing.T) {
	s, err := Load("net.yaml", []byte(campus))
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string][]string{}
	for b := range s.Bridges() {
		var names []string
		for _, p := range b.Ports {
			names = append(names, s.VPort(p).Name)
		}
		slices.Sort(names)
		ports[b.Name] = names
	}
	for bridge, want := range map[string]string{"campus.10": "up.10", "campus.20": "up.20 vm", "campus.21": "a up.21", "plain": "b"} {
		if got := strings.Join(ports[bridge], " "); got != want {
			t.Errorf("bridge %s has ports %q, want %q", bridge, got, want)
		}
		delete(ports, bridge)
	}
	if len(ports) != 0 {
		t.Errorf("there are more bridges: %v", ports)
	}
	seed := packet.MAC{2, 0, 0, 0, 0, 0x10}
	for b := range s.Bridges() {
		if _, ok := b.FDB(seed); ok != (b.Name == "campus.10") {
			t.Errorf("bridge %s: seed of VLAN 10 is there: %v", b.Name, ok)
		}
	}
}

// TestVLANErrors: each tells the object that the user wrote, the field, and what would do.
func TestVLANErrors(t *testing.T) {
	for _, tc := range []struct{ replace, with, want string }{
		{"vlans: [10, 20-21]", "vlans: [10, 20-21, 4095]", `net.yaml:6: bridge acme/campus: spec.vlans[2]: "4095" is out of range; use 1 to 4094`},
		{"vlans: [10, 20-21]", "vlans: [0-3, 10, 20-21]", `net.yaml:6: bridge acme/campus: spec.vlans[0]: "0-3" is out of range; use 1 to 4094`},
		{"vlans: [10, 20-21]", "vlans: [10, 20-21, 15-20]", `net.yaml:6: bridge acme/campus: spec.vlans[2]: "15-20" has VLAN 20 again; list each VLAN once`},
		{"vlans: [10, 20-21]", "vlans: [ten]", `net.yaml:6: bridge acme/campus: spec.vlans[0]: "ten" is not a VLAN or range of VLANs such as 10 or 100-199`},
		{"vlan: 20,", "vlan: 30,", `net.yaml:22: vport acme/vm: spec.vlan: "30" is no VLAN of bridge/campus; use those of 10,20-21, or add it to spec.vlans of the bridge`},
		{"vlans: [10, 20], native", "vlans: [10, 30], native", `net.yaml:17: vport acme/up: spec.vlans: "30" is no VLAN of bridge/campus; use those of 10,20-21, or add it to spec.vlans of the bridge`},
		{"ports: [up.10,", "ports: [up,", `net.yaml:27: portgroup acme/doors: spec.ports[0]: "up" is a trunk, which is a port a VLAN; name up.10, and the like for other VLANs`},
		{"vlan: 20,", "", `net.yaml:22: vport acme/vm: spec.vlan: is missing: bridge/campus is VLAN-aware; say in which VLAN the port is, or in vlans which ones it carries`},
		{"bridge/plain, peer", "bridge/plain, vlan: 5, peer", `net.yaml:37: vport acme/b: spec.vlan: "5" is no VLAN of bridge/plain; list the VLANs in spec.vlans of the bridge, or leave this out`},
		{"bridge/campus, vlans: [10, 20]", "bridge/plain, vlans: [10, 20]", `net.yaml:17: vport acme/up: spec.vlans: "10,20" is in no VLAN-aware bridge: bridge/plain has no vlans; list the VLANs in spec.vlans of the bridge, or leave this out`},
		{"native: 21", "native: 21, vlan: 10", `net.yaml:17: vport acme/up: spec.vlan: "10" contradicts vlans, which make the port a trunk; leave one of them out; the VLAN that is untagged at a trunk is native`},
		{"vlan: 20,", "vlan: 20, native: 10,", `net.yaml:22: vport acme/vm: spec.native: "10" is of exterior trunks alone; leave it out, or list the tagged VLANs in vlans`},
		{"native: 21", `native: 21, mac: "02:00:00:00:00:02"`, `net.yaml:17: vport acme/up: spec.mac: is not for trunks, behind which there is more than one host and network; leave it out`},
		{"interface: eth0", "interface: eth0, vlan: 10", `net.yaml:42: binding acme/up: spec.vlan: "10" is not for the trunk up, which has its own; leave it out`},
		{"vport: up,", "vport: up.10,", `net.yaml:42: binding acme/up: spec.vport: "up.10" is a part of vport acme/up; bind that`},
		{"name: plain", "name: campus.20", `net.yaml:6: bridge acme/campus: spec.vlans: needs the name of bridge acme/campus.20, which is there; rename one of them`},
		{"vlan: 10}]", "vlan: 20}]", `net.yaml:7: bridge acme/campus: spec.macs[0].port: "up.10" is a port of bridge acme/campus.10; name a port of bridge acme/campus.20`},
		{", vlan: 10}]", "}]", `net.yaml:7: bridge acme/campus: spec.macs[0].vlan: "0" is no VLAN of the bridge; use those of 10,20-21`},
		{"name: campus,", "name: " + strings.Repeat("c", 59) + ",", `is too long for what has VLANs; use 58 characters at most: what it is in a VLAN is called NAME.VLAN`},
		{"vlan: 21, peer", "vlans: [21], peer", `net.yaml:32: vport acme/a: spec.vlans: "21" are not those of peer b; give both ends of the link the same`},
		{"vlans: [10, 20-21]", "vlans: [10, 20-21]\n  tagged: keep", `net.yaml:7: bridge acme/campus: spec.tagged: "keep" contradicts vlans, which say what each tag means; leave one of them out`},
		{"vlans: [10, 20-21]", "vlans: [10, 20-21]\n  tagged: both", `net.yaml:7: bridge acme/campus: spec.tagged: "both" is no mode; use drop or keep`},
		{"vlan: 20,", "vlan: 20, floodRate: 4000000000,", `net.yaml:22: vport acme/vm: spec.floodRate: "4000000000" is out of range; use 1 to 1000000000 frames a second, or 0 for no limit`},
		{"bridge/plain, peer", "bridge/plain, floodRate: 5, peer", `net.yaml:37: vport acme/b: spec.floodRate: "5" is of exterior ports of bridges alone; leave it out`},
	} {
		if !strings.Contains(campus, tc.replace) {
			t.Fatalf("nothing to replace: %q", tc.replace)
		}
		_, err := Load("net.yaml", []byte(strings.Replace(campus, tc.replace, tc.with, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q:\n got %v\nwant %s", tc.with, err, tc.want)
		}
	}
}

// TestPartsAreNotWritten: what is made of another object can be neither put nor deleted, and goes with that.
func TestPartsAreNotWritten(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(campus))
	if err != nil {
		t.Fatal(err)
	}
	s, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	part := Ref{KindBridge, "acme", "campus.20"}
	if _, err := s.Apply(nil, []Ref{part}); err == nil || !strings.Contains(err.Error(), "bridge acme/campus.20: is a part of bridge acme/campus; change that") {
		t.Errorf("a part was deleted: %v", err)
	}
	mine := &Object{APIVersion: APIVersion, Kind: KindBridge, Metadata: Metadata{Name: "campus.20", Tenant: "acme"}, Spec: new(BridgeSpec)}
	if _, err := s.Apply([]*Object{mine}, nil); err == nil || !strings.Contains(err.Error(), `metadata.name: "campus.20" is that of a part of bridge acme/campus; name it otherwise`) {
		t.Errorf("a part was put: %v", err)
	}
	if _, err := s.Apply(nil, []Ref{{KindBridge, "acme", "campus"}}); err == nil || !strings.Contains(err.Error(), "bridge acme/campus.20: is used by vport vm;") {
		t.Errorf("a bridge went whose VLANs have ports: %v", err)
	}
	var all []Ref
	for _, o := range objects {
		all = append(all, o.Ref())
	}
	empty, err := s.Apply(nil, all)
	if err != nil || empty.Len() != 0 {
		t.Errorf("with all objects gone, there are %d: %v", empty.Len(), err)
	}
	if again, err := new(Set).Apply(s.All(), nil); err != nil || again.Len() != s.Len() {
		t.Errorf("the set as stored has %d objects, not %d: %v", again.Len(), s.Len(), err)
	}
}

// TestAdmission: a port's own flood rate goes before its bridge's, and exterior ports keep tags as their bridge has it; a change of the bridge's is of interest where the port
// lives, and touches no flow.
func TestAdmission(t *testing.T) {
	const lan = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan}
spec: {floodRate: 20}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: a}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: b}
spec: {device: bridge/lan, floodRate: 5}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: in}
spec: {device: bridge/lan, peer: gw}
---
apiVersion: weft/v1
kind: Router
metadata: {name: r}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: gw}
spec: {device: router/r, peer: in, addresses: [10.0.0.1/24]}
`
	s, err := Load("net.yaml", []byte(lan))
	if err != nil {
		t.Fatal(err)
	}
	rates := func(s *Snapshot, want map[string]int64) {
		t.Helper()
		for v := range s.VPorts() {
			if got := s.FloodRate(v.ID); got != want[v.Name] {
				t.Errorf("vport %s: rate %d, want %d", v.Name, got, want[v.Name])
			}
		}
	}
	rates(s, map[string]int64{"a": 20, "b": 5})
	var bridge *Bridge
	for b := range s.Bridges() {
		bridge = b
	}
	change := func(s *Snapshot, spec *BridgeSpec) *Snapshot {
		t.Helper()
		next, deps := s.With(Changes{Put: []*Object{{
			APIVersion: APIVersion, Kind: KindBridge, Metadata: Metadata{Name: "lan"}, Spec: spec, Status: Status{ID: uint32(bridge.ID)},
		}}})
		for _, d := range deps {
			if d.Kind() != DepBinding {
				t.Errorf("%+v concerns %v", spec, d)
			}
		}
		if len(deps) == 0 {
			t.Errorf("%+v concerns nobody", spec)
		}
		return next
	}
	s = change(s, &BridgeSpec{FloodRate: 50})
	rates(s, map[string]int64{"a": 50, "b": 5})
	s = change(s, &BridgeSpec{FloodRate: 50, Tagged: "keep"})
	for v := range s.VPorts() {
		if got := s.KeepsTags(v.ID); got != (v.Name == "a" || v.Name == "b") {
			t.Errorf("vport %s keeps tags: %v", v.Name, got)
		}
	}
}
