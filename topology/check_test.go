package topology

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAllErrorsAtOnce: what is wrong with a form hides neither wrong values of the same objects nor those of others; what a field refers to is not
// judged while some of the network could not be read.
func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Decode("net.yaml", []byte(`apiVersion: weft/v2
kind: Bridge
metadata: {name: A_b, tennant: acme}
spec: {unknownUnicast: maybe}
---
kind: VPort
metadata: {name: vm}
spec: {device: bridge/nowhere, mac: 01:00:00:00:00:01, mtu: 12, addresses: [10.0.0.300/24, 10.0.0.0/24]}
---
apiVersion: weft/v1
kind: Binding
spec: {vport: nobody, edge: e1, vlan: 5000}
---
[]
---
apiVersion: weft/v1
metadata: {name: x}
`))
	want := []string{
		`net.yaml:1: bridge default/A_b: apiVersion: "weft/v2" is not known; use weft/v1`,
		`net.yaml:3: bridge default/A_b: metadata.tennant: is not a known field; use one of name, tenant, labels`,
		`net.yaml:3: bridge default/A_b: metadata.name: "A_b" is not a name; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first`,
		`net.yaml:4: bridge default/A_b: spec.unknownUnicast: "maybe" is no mode; use flood or drop`,
		`net.yaml:6: vport default/vm: apiVersion: is missing; write apiVersion: weft/v1`,
		`net.yaml:8: vport default/vm: spec.addresses[0]: "10.0.0.300/24" is not an IP prefix such as 10.0.0.0/24 or 2001:db8::/64`,
		`net.yaml:8: vport default/vm: spec.mac: "01:00:00:00:00:01" is not the MAC of one station; use one with an even first byte, such as 02:00:00:00:00:01`,
		`net.yaml:8: vport default/vm: spec.addresses[1]: "10.0.0.0/24" is the network address of its network; use an address between, such as 10.0.0.1/24`,
		`net.yaml:8: vport default/vm: spec.mtu: "12" is out of range; use 576 to 9216 bytes of IP packet`,
		`net.yaml:10: binding default/: metadata.name: is missing; name the object`,
		`net.yaml:12: binding default/: spec.interface: is missing; name the interface of edge e1`,
		`net.yaml:12: binding default/: spec.vlan: "5000" is out of range; use 1 to 4094, or leave it out for untagged frames`,
		`net.yaml:14: is not a mapping; write fields as name: value`,
	}
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "net.yaml:16: kind: is missing; use one of Fabric, ") {
		t.Errorf("last error %q", last)
	}
	if d := cmp.Diff(want, lines[:len(lines)-1]); d != "" {
		t.Error(d)
	}
}

// TestOneOfAKind: two hosts of one bridge have neither one MAC nor one address; of two bridges they may. An object is defined once.
func TestOneOfAKind(t *testing.T) {
	const net = `apiVersion: weft/v1
kind: Bridge
metadata: {name: a}
spec: {}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: b}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: one}
spec: {device: bridge/a, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24, "fd00::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: two}
spec: {device: bridge/b, mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24, "fd00::1/64"]}
`
	apply := func(text string) error {
		objects, err := Decode("net.yaml", []byte(text))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		return err
	}
	if err := apply(net); err != nil {
		t.Error(err)
	}
	want := `net.yaml:19: vport default/two: spec.mac: "02:00:00:00:00:01" is the MAC of vport default/one at net.yaml:11 too; give each host on bridge default/a its own
net.yaml:19: vport default/two: spec.addresses[0]: "10.0.0.1/24" is the address of vport default/one at net.yaml:11 too; give each host on bridge default/a its own
net.yaml:19: vport default/two: spec.addresses[1]: "fd00::1/64" is the address of vport default/one at net.yaml:11 too; give each host on bridge default/a its own`
	if err := apply(strings.Replace(net, "bridge/b", "bridge/a", 1)); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := apply(net + "---\n" + net); err == nil || !strings.Contains(err.Error(), `net.yaml:23: bridge default/a: metadata.name: "a" is defined twice, first at net.yaml:1; name`) {
		t.Errorf("defined twice: %v", err)
	}
}

// TestReserved: the ends of an IPv4 network of more than two addresses are no host's.
func TestReserved(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.0/24": "network address", "10.0.0.255/24": "broadcast address", "10.0.0.1/24": "", "10.0.0.0/31": "", "10.0.0.1/31": "", "10.0.0.0/32": "",
		"10.0.1.255/23": "broadcast address", "10.0.0.255/23": "", "2001:db8::/64": "",
	} {
		if got := reserved(netip.MustParsePrefix(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// TestUsedByWhom: an object that others refer to does not go without them, and they are named.
func TestUsedByWhom(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	bridge, vm, webR := Ref{KindBridge, "acme", "web"}, Ref{KindVPort, "acme", "vm"}, Ref{KindVPort, "acme", "web-r"}
	_, err = set.Apply(nil, []Ref{bridge, vm})
	want := "bridge acme/web: is used by vport web-r; delete them in the same command\nvport acme/vm: is used by binding vm; delete them in the same command"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err = set.Apply(nil, []Ref{bridge}); err == nil || err.Error() != "bridge acme/web: is used by vports vm, web-r; delete them in the same command" {
		t.Errorf("got %v", err)
	}
	if _, err = set.Apply(nil, []Ref{bridge, vm, webR, {KindBinding, "acme", "vm"}, {KindVPort, "acme", "r-web"}, {KindRouter, "acme", "r"}}); err != nil {
		t.Error(err)
	}
}
