package lab

import (
	"crypto/ecdh"
	"encoding/base64"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

const planNetwork = `
-- network.yaml --
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: red}
spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: red}
spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24], mtu: 1300}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: bare, tenant: red}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm2, tenant: red}
spec: {vport: vm2, edge: nic2, interface: "3", vlan: 20}
`

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlan(t *testing.T) {
	p, err := newPlan(parse(t, `
bind vm1 nic3
bind vm1 nic3:7
apply more
`+planNetwork+`
-- more --
apiVersion: weft/v1
kind: Binding
metadata: {name: bare, tenant: red}
spec: {vport: bare, edge: nic2, interface: tap9}
-- hosts --
vm1 vport=red/vm1 edge=nic1 vlan=10 gw=10.0.0.254
vm2 vport=red/vm2
`), 2)
	if err != nil {
		t.Fatal(err)
	}
	type edge struct {
		Name       string
		N          int
		VTEP       string
		Interfaces map[string]uint16
	}
	var edges []edge
	for _, e := range p.edges {
		edges = append(edges, edge{e.name, e.n, e.vteps[0].String(), e.interfaces})
	}
	if diff := cmp.Diff([]edge{
		{"nic1", 1, "2001:db8::1", map[string]uint16{"vm1": 3, "1": 1, "2": 2, "vpn": 4}},
		{"nic2", 2, "2001:db8::2", map[string]uint16{"3": 3, "tap9": 4, "1": 1, "2": 2, "vpn": 5}},
		{"nic3", 3, "2001:db8::3", map[string]uint16{"vm1": 3, "7": 7, "1": 1, "2": 2, "vpn": 4}},
	}, edges); diff != "" {
		t.Error(diff)
	}
	vm1, vm2 := p.host("vm1").cfg, p.host("vm2").cfg
	if vm1.MAC != [6]byte{2, 0, 0, 0, 0, 1} || len(vm1.Addrs) != 2 || vm1.MTU != 1500-70 || vm2.MTU != 1300 || vm1.VLAN != 0 {
		t.Errorf("hosts %+v and %+v", vm1, vm2)
	}
	var made []topology.BindingSpec
	for _, o := range p.objects {
		if spec, ok := o.Spec.(*topology.BindingSpec); ok && o.Source == nil {
			made = append(made, *spec)
		}
	}
	if diff := cmp.Diff([]topology.BindingSpec{{VPort: "red/vm1", Edge: "nic1", Interface: "vm1", VLAN: 10}}, made); diff != "" {
		t.Error(diff)
	}
}

func TestPlanEdgesFile(t *testing.T) {
	p, err := newPlan(parse(t, planNetwork+`---
apiVersion: weft/v1
kind: Fabric
metadata: {name: underlay}
spec: {mtu: 1550, encapFamily: v4}
-- edges --
nic2 encap=geneve
nic1 encap=gre mtu=1400
`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if e := p.edges[0]; e.name != "nic2" || e.tunnel != offload.Geneve || e.mtu != 0 || e.vteps[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("first edge %+v", e)
	}
	if e := p.edges[1]; e.name != "nic1" || e.tunnel != offload.GRE || e.mtu != 1400 {
		t.Errorf("second edge %+v", e)
	}
	if p.mtu != 1550 {
		t.Errorf("underlay of %d bytes, want 1550", p.mtu)
	}
}

// planVPN is planNetwork with a VPN of three peers.
const planVPN = planNetwork + `---
apiVersion: weft/v1
kind: Router
metadata: {name: gw, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: office, tenant: red}
spec: {device: router/gw, addresses: [10.9.0.1/24], mtu: 1400}
---
apiVersion: weft/v1
kind: VPN
metadata: {name: v, tenant: red}
spec:
  vport: office
  peers:
  - {name: a, endpoint: "192.0.2.1:1", allowedIPs: [10.9.1.0/24], addresses: [10.9.1.1/24], publicKey: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
  - {name: b, endpoint: "192.0.2.2:1", allowedIPs: [10.9.2.0/24]}
  - {name: c, endpoint: "192.0.2.3:1", allowedIPs: [10.9.3.0/24], addresses: [10.9.3.1/24]}
`

// TestPlanRemote: a remote office's key is one that its VPN knows, and the network of the scenario is not changed otherwise.
func TestPlanRemote(t *testing.T) {
	p, err := newPlan(parse(t, planVPN+"-- hosts --\nvm1 vport=red/vm1 edge=nic1\nx remote=red/v via=vm1 peer=c\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.hosts) != 1 || len(p.remotes) != 1 || p.remotes[0].name != "x" || p.remotes[0].via != "vm1" || p.remotes[0].peer != "c" {
		t.Fatalf("hosts %+v, remotes %+v", p.hosts, p.remotes)
	}
	for _, o := range p.objects {
		if spec, is := o.Spec.(*topology.VPNSpec); is {
			raw, err := base64.StdEncoding.DecodeString(p.remotes[0].privateKey)
			if err != nil {
				t.Fatal(err)
			}
			key, err := ecdh.X25519().NewPrivateKey(raw)
			if err != nil || spec.Peers[2].PublicKey != base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()) || spec.Peers[1].PublicKey != "" {
				t.Errorf("peers %+v, %v", spec.Peers, err)
			}
		}
	}
}

func TestPlanErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"bound nowhere":      {planNetwork + "-- hosts --\nvm1 vport=red/vm1\n", "vport red/vm1 is bound nowhere; add edge="},
		"bound twice":        {planNetwork + "-- hosts --\nvm2 vport=red/vm2 edge=nic1\n", "network.yaml binds vport red/vm2 already"},
		"other VLAN":         {planNetwork + "-- hosts --\nvm2 vport=red/vm2 vlan=9\n", "vlan=9, but vport red/vm2 is bound with VLAN 20"},
		"no MAC":             {planNetwork + "-- hosts --\nx vport=red/bare edge=nic1\n", "mac= is missing"},
		"no such vport":      {planNetwork + "-- hosts --\nx vport=red/nobody edge=nic1\n", "is no vport"},
		"edge not in file":   {planNetwork + "-- edges --\nnic1\n-- hosts --\nvm2 vport=red/vm2\n", "bound to edge nic2, which file edges does not have"},
		"no family together": {planNetwork + "-- edges --\nnic1 family=4\nnic2 family=6\n", "edges nic1 and nic2 have no IP version in common"},
		"number too high":    {planNetwork + "-- hosts --\nvm1 vport=red/vm1 edge=nic1 interface=256\n", "access ports of this pipeline are 0 to 255"},
		"two ways to write":  {planNetwork + "-- hosts --\nvm1 vport=red/vm1 edge=nic2 interface=03\n", `interfaces "3" and "03" are one port`},
		"no such VPN":        {planNetwork + "-- hosts --\nvm1 vport=red/vm1 edge=nic1\nx remote=red/none via=vm1\n", "host x: there is no vpn red/none in network.yaml"},
		"peers of a VPN":     {planVPN + "-- hosts --\nvm1 vport=red/vm1 edge=nic1\nx remote=red/v via=vm1\n", "peer=; vpn red/v has a, b, c"},
		"peer's key":         {planVPN + "-- hosts --\nvm1 vport=red/vm1 edge=nic1\nx remote=red/v via=vm1 peer=a\n", "peer a of vpn red/v has a publicKey already"},
		"peer's addresses":   {planVPN + "-- hosts --\nvm1 vport=red/vm1 edge=nic1\nx remote=red/v via=vm1 peer=b\n", "peer b of vpn red/v has no addresses"},
		"network is wrong":   {strings.Replace(planNetwork, "bridge/lan", "bridge/wan", 1), `network.yaml:9: vport red/vm1: spec.device: "bridge/wan" is no device`},
	} {
		s := parse(t, test.text)
		if _, err := newPlan(s, 0); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "test.txtar: ") {
			t.Errorf("%s: error %v, want %q in it", name, err, test.want)
		}
	}
}

// TestCounterNames: a counter that is not there is told of before anything is started.
func TestCounterNames(t *testing.T) {
	for of, names := range map[string][2]string{
		"nic1": {"installed", "instaled"}, "vm1": {"frames_sent", "frames"}, "fabric": {"forwarded", "forwards"},
	} {
		for i, name := range names {
			s := parse(t, "counters "+of+" "+name+" >= 0\n"+planNetwork+"-- hosts --\nvm1 vport=red/vm1 edge=nic1\n")
			_, err := New(Config{Scenario: s})
			if told := err != nil && strings.Contains(err.Error(), "line 1") && strings.Contains(err.Error(), "has no counter \""+name); told != (i == 1) {
				t.Errorf("%s %s: %v", of, name, err)
			}
		}
	}
	s := parse(t, "counters e9 upcalls == 0\n"+planNetwork+"-- hosts --\nvm1 vport=red/vm1 edge=nic1\n")
	if _, err := New(Config{Scenario: s}); err == nil || !regexp.MustCompile(`: line 1: no edge or host e9; there are edges .*nic1.*, hosts vm1 and fabric$`).MatchString(err.Error()) {
		t.Errorf("nobody's counter: %v", err)
	}
}
