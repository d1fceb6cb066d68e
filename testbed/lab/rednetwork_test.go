package lab_test

import (
	"fmt"
	"strings"
)

// redNetwork is bridge lan with vm1 and vm2, router gw behind it, and bridge far behind that, with vm3: what usage and the ledger are tested on. More goes into the specs of objects by name;
// what has no such name are further objects, whole.
func redNetwork(more map[string]string, further ...string) string {
	var b strings.Builder
	object := func(kind, name string, spec ...string) {
		if s := more[name]; s != "" {
			spec = append(spec, s)
		}
		fmt.Fprintf(&b, "{apiVersion: weft/v1, kind: %s, metadata: {name: %s, tenant: red}, spec: {%s}}\n---\n", kind, name, strings.Join(spec, ", "))
	}
	b.WriteString("-- network.yaml --\n")
	for _, o := range further {
		b.WriteString(o + "\n---\n")
	}
	object("Bridge", "lan")
	object("Bridge", "far")
	object("Router", "gw")
	object("VPort", "lan-gw", "device: bridge/lan, peer: gw-lan")
	object("VPort", "gw-lan", `device: router/gw, peer: lan-gw, mac: "02:00:00:00:01:01", addresses: [10.0.0.254/24, "fd00::fe/64"]`)
	object("VPort", "far-gw", "device: bridge/far, peer: gw-far")
	object("VPort", "gw-far", `device: router/gw, peer: far-gw, mac: "02:00:00:00:01:02", addresses: [10.1.0.254/24, "fd01::fe/64"]`)
	for i := 1; i <= 3; i++ {
		net, bridge := redNet(i)
		object("VPort", fmt.Sprintf("vm%d", i), fmt.Sprintf(`device: bridge/%s, mac: "02:00:00:00:00:0%d", addresses: [10.%d.0.%d/24, "fd0%d::%d/64"]`, bridge, i, net, i, net, i))
	}
	return strings.TrimSuffix(b.String(), "---\n")
}

// redNet is the network of a VM, and its bridge.
func redNet(vm int) (net int, bridge string) {
	if vm == 3 {
		return 1, "far"
	}
	return 0, "lan"
}

// redHosts are hosts red1, red2 … for the VMs, at edges.
func redHosts(edges ...string) string {
	var b strings.Builder
	b.WriteString("-- hosts --\n")
	for i, edge := range edges {
		n := i + 1
		net, _ := redNet(n)
		fmt.Fprintf(&b, "red%d vport=red/vm%d edge=%s mac=02:00:00:00:00:0%d ip=10.%d.0.%d/24,fd0%d::%d/64 gw=10.%d.0.254,fd0%d::fe\n", n, n, edge, n, net, n, net, n, net, net)
	}
	return b.String()
}
