package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// taggedPlace is where a frame is on a cable: an interface, and the frame's tag; 0: untagged.
type taggedPlace struct {
	iface string
	tag   uint16
}

// domainOf is a VLAN of a bridge, 0 of one that is not VLAN-aware.
type domainOf struct {
	bridge string
	vlan   uint16
}

// campusModel is a network of VLAN-aware bridges as a naive reader of docs/bridges.md has it.
type campusModel struct {
	yaml   strings.Builder
	places map[domainOf][]taggedPlace
	links  map[domainOf][]domainOf
	ports  int
}

func (m *campusModel) object(kind, name, spec string) {
	fmt.Fprintf(&m.yaml, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n", kind, name, spec)
}

func listed(vlans []uint16) string { return strings.Join(strings.Fields(fmt.Sprint(vlans)), ", ") }

// port adds a port with an interface of its own, access or trunk as chance has it.
func (m *campusModel) port(rng *rand.Rand, bridge string, vlans []uint16) {
	m.ports++
	name, iface := fmt.Sprintf("p%d", m.ports), fmt.Sprintf("eth%d", m.ports)
	at := func(vlan, tag uint16) {
		d := domainOf{bridge, vlan}
		m.places[d] = append(m.places[d], taggedPlace{iface, tag})
	}
	spec, tag := "", ""
	switch {
	case len(vlans) == 0: // plain; its binding may share an interface
		if rng.IntN(2) == 0 {
			at(0, 77)
			tag = ", vlan: 77"
		} else {
			at(0, 0)
		}
	case rng.IntN(2) == 0:
		vlan := vlans[rng.IntN(len(vlans))]
		spec = fmt.Sprintf(", vlan: %d", vlan)
		at(vlan, 0)
	default:
		carried := pick(rng, vlans)
		spec = ", vlans: " + listed(carried)
		native := uint16(0)
		if rng.IntN(2) == 0 {
			native = vlans[rng.IntN(len(vlans))]
			spec += fmt.Sprintf(", native: %d", native)
		}
		for _, vlan := range carried {
			if vlan != native {
				at(vlan, vlan)
			}
		}
		if native != 0 {
			at(native, 0)
		}
	}
	m.object("VPort", name, "device: bridge/"+bridge+spec)
	m.object("Binding", name, fmt.Sprintf("vport: %s, edge: e, interface: %s%s", name, iface, tag))
}

// link joins two bridges, by trunks of the VLANs or, if there are none, by a port in one VLAN each.
func (m *campusModel) link(a, b domainOf, vlans []uint16) {
	m.ports++
	one, two := fmt.Sprintf("l%d", m.ports), fmt.Sprintf("m%d", m.ports)
	join := func(a, b domainOf) { m.links[a], m.links[b] = append(m.links[a], b), append(m.links[b], a) }
	in := func(d domainOf) string {
		if d.vlan == 0 {
			return ""
		}
		return fmt.Sprintf(", vlan: %d", d.vlan)
	}
	specA, specB := in(a), in(b)
	if len(vlans) > 0 {
		specA = ", vlans: " + listed(vlans)
		specB = specA
		for _, v := range vlans {
			join(domainOf{a.bridge, v}, domainOf{b.bridge, v})
		}
	} else {
		join(a, b)
	}
	m.object("VPort", one, fmt.Sprintf("device: bridge/%s%s, peer: %s", a.bridge, specA, two))
	m.object("VPort", two, fmt.Sprintf("device: bridge/%s%s, peer: %s", b.bridge, specB, one))
}

// reach is where a broadcast in a VLAN goes to.
func (m *campusModel) reach(from domainOf) map[taggedPlace]bool {
	all, seen, next := map[taggedPlace]bool{}, map[domainOf]bool{from: true}, []domainOf{from}
	for len(next) > 0 {
		d := next[0]
		next = next[1:]
		for _, p := range m.places[d] {
			all[p] = true
		}
		for _, o := range m.links[d] {
			if !seen[o] {
				seen[o] = true
				next = append(next, o)
			}
		}
	}
	return all
}

// pick returns some of the VLANs, one at least.
func pick(rng *rand.Rand, vlans []uint16) []uint16 {
	some := []uint16{vlans[rng.IntN(len(vlans))]}
	for _, v := range vlans {
		if v != some[0] && rng.IntN(2) == 0 {
			some = append(some, v)
		}
	}
	return some
}

// randomCampus is two VLAN-aware bridges and a plain one, linked so that no floods go in circles.
func randomCampus(rng *rand.Rand) *campusModel {
	m := &campusModel{places: map[domainOf][]taggedPlace{}, links: map[domainOf][]domainOf{}}
	aware := map[string][]uint16{"a": pick(rng, []uint16{1, 10, 20, 4094}), "b": pick(rng, []uint16{1, 10, 20, 30})}
	for _, name := range []string{"a", "b"} {
		m.object("Bridge", name, "vlans: "+listed(aware[name]))
	}
	m.object("Bridge", "plain", "")
	for range 3 + rng.IntN(8) {
		name := []string{"a", "b", "plain"}[rng.IntN(3)]
		m.port(rng, name, aware[name])
	}
	var both []uint16
	for _, v := range aware["a"] {
		if slices.Contains(aware["b"], v) {
			both = append(both, v)
		}
	}
	if len(both) > 0 && rng.IntN(3) > 0 {
		m.link(domainOf{bridge: "a"}, domainOf{bridge: "b"}, pick(rng, both))
	}
	if rng.IntN(2) == 0 {
		m.link(domainOf{"a", aware["a"][0]}, domainOf{bridge: "plain"}, nil)
	}
	return m
}

// TestVLANsReach: in random networks of VLAN-aware and plain bridges, what a flood reaches, and with which tags, is what a naive model of VLANs says.
func TestVLANsReach(t *testing.T) {
	tagged, untagged, apart := 0, 0, 0
	for seed := range uint64(150) {
		m := randomCampus(rand.New(rand.NewPCG(seed, 3)))
		objects, err := Decode("net.yaml", []byte(m.yaml.String()))
		if err != nil {
			t.Fatal(err)
		}
		set, err := new(Set).Apply(objects, nil)
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, m.yaml.String())
		}
		s, err := Load("net.yaml", []byte(m.yaml.String()))
		if err != nil {
			t.Fatal(err)
		}
		places := map[flow.VPortID]taggedPlace{}
		for _, o := range set.All() {
			if b, ok := o.Spec.(*BindingSpec); ok && !o.Status.Expanded {
				id, _ := s.ID(o.VPortRef(b.VPort))
				places[flow.VPortID(id)] = taggedPlace{b.Interface, b.VLAN}
			}
		}
		for d := range m.places {
			ref := Ref{KindBridge, DefaultTenant, d.bridge}
			if d.vlan != 0 {
				ref.Name = inVLAN(d.bridge, d.vlan)
			}
			id, ok := s.ID(ref)
			if !ok {
				t.Fatalf("seed %d: there is no %v", seed, ref)
			}
			got := map[taggedPlace]bool{}
			for _, v := range s.GroupMembers(flow.Dest(id)) {
				got[places[v]] = true
			}
			want := m.reach(d)
			if !maps.Equal(got, want) {
				t.Fatalf("seed %d: a flood in %v goes to %v, want %v in\n%s", seed, ref, got, want, m.yaml.String())
			}
			for p := range want {
				if p.tag != 0 {
					tagged++
				} else {
					untagged++
				}
			}
			if len(want) < len(places) {
				apart++
			}
		}
	}
	if tagged < 300 || untagged < 300 || apart < 300 {
		t.Errorf("the networks are too dull: %d tagged places, %d untagged, %d domains that do not reach all", tagged, untagged, apart)
	}
}
