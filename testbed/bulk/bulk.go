// Package bulk has a network and flows through it by the hundred thousand, each of which needs an entry of its own, for benchmarks.
package bulk

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// What the network has: VMs of one bridge, at access ports 1 to VMs of an edge, and behind a router a host with many addresses, at access port Sink.
const (
	VMs   = 8
	Addrs = 125
	Sink  = 9
	Edge  = "e1"
)

// MACs of the network.
var (
	gatewayMAC = packet.MAC{2, 0, 0, 0, 1, 1}
	sinkMAC    = packet.MAC{2, 0, 0, 0, 2, 2}
)

// MAC is that of a VM, from 0 on.
func MAC(vm int) packet.MAC { return packet.MAC{2, 0, 0, 0, 0, byte(vm + 1)} }

// Src is the address of a VM.
func Src(vm int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x01, 15: byte(vm + 1)})
	}
	return netip.AddrFrom4([4]byte{10, 1, 0, byte(vm + 1)})
}

// Dst is an address of the host behind the router.
func Dst(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x02, 14: 1, 15: byte(i)})
	}
	return netip.AddrFrom4([4]byte{10, 2, 1, byte(i)})
}

// Network is the network, of tenant red. What VMs send is filtered by chain "ports" with some rules; the router is what spec says. Both are in YAML's flow
// style, without the brackets.
func Network(rules, spec string) string {
	var y strings.Builder
	object := func(kind, name, spec string) { y.WriteString(Object(kind, "red", name, spec)) }
	object("Chain", "ports", ChainSpec(rules))
	object("Bridge", "lan", "")
	object("Router", "gw", spec)
	object("VPort", "lan-gw", "device: bridge/lan, peer: gw-lan")
	object("VPort", "gw-lan", fmt.Sprintf(`device: router/gw, peer: lan-gw, mac: "%v", addresses: [10.1.255.254/16, "fd01::fe/64"]`, gatewayMAC))
	for i := range VMs {
		vm := VM(i)
		object("VPort", vm, fmt.Sprintf(`device: bridge/lan, mac: "%v", addresses: [%v/16, "%v/64"], filters: {ingress: ports}`, MAC(i), Src(i, false), Src(i, true)))
		object("Binding", vm, fmt.Sprintf(`vport: %s, edge: %s, interface: "%d"`, vm, Edge, i+1))
	}
	var neighbours []string
	for i := range Addrs {
		for _, v6 := range []bool{false, true} {
			neighbours = append(neighbours, fmt.Sprintf(`{ip: "%v", mac: "%v"}`, Dst(i, v6), sinkMAC))
		}
	}
	object("Bridge", "out", "neighbours: ["+strings.Join(neighbours, ", ")+"]")
	object("VPort", "out-gw", "device: bridge/out, peer: gw-out")
	object("VPort", "gw-out", `device: router/gw, peer: out-gw, mac: "02:00:00:00:01:02", addresses: [10.2.255.254/16, "fd02::fe/64"]`)
	object("VPort", "sink", fmt.Sprintf(`device: bridge/out, mac: "%v"`, sinkMAC))
	object("Binding", "sink", fmt.Sprintf(`vport: sink, edge: %s, interface: "%d"`, Edge, Sink))
	return y.String()
}

// VM is the name of a VM's vport.
func VM(i int) string { return fmt.Sprintf("vm%d", i+1) }

// ChainSpec is the specification of chain "ports".
func ChainSpec(rules string) string { return "default: drop, rules: [" + rules + "]" }

// Object is a document of a file of objects.
func Object(kind, tenant, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, name, tenant, spec)
}

// The odd ports that OddPorts lets pass.
const (
	FirstOdd = 8193
	Odds     = 4096
)

// OddPorts is a rule that lets odd ports pass: no mask of fewer than all bits tells one of them from its neighbours, so that each is a flow of its own.
func OddPorts() string {
	ports := make([]string, Odds)
	for i := range ports {
		ports[i] = fmt.Sprint(FirstOdd + 2*i)
	}
	return "{name: odd, match: {protocols: [udp], dstPorts: [" + strings.Join(ports, ", ") + "]}, action: accept}"
}

// Flow is a flow from a VM to an address of the host behind the router, by UDP.
type Flow struct {
	VM, Dst int
	Port    uint16
}

// OddFlows is how many Odd knows.
const OddFlows = VMs * Odds * Addrs

// Odd is flow i through OddPorts. VMs take turns.
func Odd(i int) Flow {
	return Flow{VM: i % VMs, Port: uint16(FirstOdd + 2*(i/VMs%Odds)), Dst: i / VMs / Odds}
}

// Even is flow i of those that OddPorts does not let pass; few of them share an entry.
func Even(i int) Flow {
	f := Odd(i)
	f.Port++
	return f
}

// Rules of which each is for one port, and has RuleFlows flows.
const (
	Rules     = 1000
	RuleFlows = VMs * Addrs
	firstRule = 10000
)

// RuleFlow is flow i of those through PortRules.
func RuleFlow(i int) Flow {
	return Flow{VM: i % VMs, Dst: i / VMs % Addrs, Port: uint16(firstRule + i/RuleFlows)}
}

// PortRules are rules for one port each, one behind the other, which let it pass but for refused (-1: none), and a last one for a port that no flow has.
func PortRules(refused int, spare string) string {
	var rules []string
	for i := range Rules {
		action := "accept"
		if i == refused {
			action = "drop"
		}
		rules = append(rules, fmt.Sprintf("{name: p%d, match: {protocols: [udp], dstPorts: [%d]}, action: %s}", i, firstRule+i, action))
	}
	return strings.Join(append(rules, "{name: spare, match: {protocols: [udp], dstPorts: [40000]}, action: "+spare+"}"), ", ")
}

// PayloadAt is where the payload of a frame of AppendFrame begins.
func PayloadAt(v6 bool) int {
	if v6 {
		return packet.EthernetLen + packet.IPv6Len + packet.UDPLen
	}
	return packet.EthernetLen + packet.IPv4Len + packet.UDPLen
}

// AppendFrame appends a frame of the flow, as its VM sends it.
func (f Flow) AppendFrame(b []byte, v6 bool, payload []byte) []byte {
	return packet.AppendUDP(b, &packet.UDP{
		SrcMAC: MAC(f.VM), DstMAC: gatewayMAC, Src: Src(f.VM, v6), Dst: Dst(f.Dst, v6), SrcPort: 4000 + uint16(f.VM), DstPort: f.Port, TTL: 64, Payload: payload,
	})
}
