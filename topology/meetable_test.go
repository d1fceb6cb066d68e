package topology

import (
	"strings"
	"testing"
)

// TestMeetable: a rule that no packet can meet is refused, with the reason; one that some packet can is not.
func TestMeetable(t *testing.T) {
	const nothing = ", so nothing can meet the rule; "
	for _, tt := range []struct{ rule, want string }{
		{`match: {etherTypes: [ipv4], src: ["2001:db8::/32"]}`, `spec.rules[0].match.src[0]: "2001:db8::/32" is of another IP version than etherTypes asks for` + nothing + `write a rule for each version`},
		{`match: {etherTypes: [ipv6], dst: [10.0.0.1]}`, `spec.rules[0].match.dst[0]: "10.0.0.1/32" is of another IP version than etherTypes asks for` + nothing + `write a rule for each version`},
		{`match: {src: [10.0.0.0/8], dst: ["2001:db8::/32"]}`, `spec.rules[0].match.dst[0]: "2001:db8::/32" is of another IP version than match.src asks for` + nothing + `write a rule for each version`},
		{`match: {dst: [10.0.0.0/8]}, not: {etherTypes: [ipv4]}`, `spec.rules[0].match.dst[0]: "10.0.0.0/8" is of another IP version than etherTypes asks for` + nothing + `write a rule for each version`},
		{`match: {etherTypes: [arp], protocols: [tcp]}`, `spec.rules[0].match.etherTypes: "arp" leaves no IP packet, which alone has match.protocols` + nothing + `leave one of the two out, or take ipv4 or ipv6`},
		{`match: {etherTypes: [0x88cc], fragments: [first]}`, `spec.rules[0].match.etherTypes: "0x88cc" leaves no IP packet, which alone has match.fragments` + nothing + `leave one of the two out, or take ipv4 or ipv6`},
		{`match: {dscp: [46]}, not: {etherTypes: [ipv4, ipv6]}`, `spec.rules[0].not.etherTypes: leaves no IP packet, which alone has match.dscp` + nothing + `leave one of the two out, or take ipv4 or ipv6`},
		{`match: {etherTypes: [ipv4]}, not: {etherTypes: [ipv6, ipv4]}`, `spec.rules[0].not.etherTypes: excludes all that match.etherTypes asks for` + nothing + `leave one of the two out, or ask for more`},
		{`match: {src: [10.0.0.0/24, 10.1.0.1]}, not: {src: [10.0.0.0/8]}`, `spec.rules[0].not.src: excludes all that match.src asks for` + nothing + `leave one of the two out, or ask for more`},
		{`match: {protocols: [tcp], dstPorts: [80]}, not: {dstPorts: [1-1024]}`, `spec.rules[0].not.dstPorts: excludes all that match.dstPorts asks for` + nothing + `leave one of the two out, or ask for more`},
		{`match: {protocols: [icmp], icmp: [3/4]}, not: {icmp: [3]}`, `spec.rules[0].not.icmp: excludes all that match.icmp asks for` + nothing + `leave one of the two out, or ask for more`},
		{`match: {states: [new]}, not: {states: [new]}`, `spec.rules[0].not.states: excludes all that match.states asks for` + nothing + `leave one of the two out, or ask for more`},
		{`match: {protocols: [tcp], fragments: [later], tcpFlags: [syn]}`, `spec.rules[0].match.tcpFlags: "syn" is set in no later fragment` + nothing + `leave match.fragments out, or let it have whole and first, too`},

		{`match: {etherTypes: [ipv4, ipv6], src: ["2001:db8::/32"]}`, ``},
		{`match: {etherTypes: [ipv4], src: [10.0.0.0/8, "2001:db8::/32"], dst: [10.0.0.1]}`, ``},
		{`match: {etherTypes: [ipv4], src: ["2001:db8::/32"], srcGroups: [office]}`, ``},
		{`match: {etherTypes: [arp, ipv4], protocols: [tcp]}`, ``},
		{`match: {src: [10.0.0.0/8]}, not: {etherTypes: [ipv6], src: [10.0.0.0/24]}`, ``},
		{`match: {protocols: [udp], dstPorts: [9], fragments: [later]}`, ``}, // it gets those of the first
		{`match: {protocols: [tcp], fragments: [later], tcpFlags: [syn, "!ack"]}`, ``},
		{`match: {protocols: [tcp], dstPorts: [80, 2000]}, not: {dstPorts: [1-1024]}`, ``},
		{`match: {protocols: [icmpv6], icmp: [1]}, not: {icmp: [1/4]}`, ``},
		{`match: {srcMACs: ["02:00:00:00:00:01"]}, not: {etherTypes: [ipv4, ipv6]}`, ``},
	} {
		objects, err := Decode("net.yaml", []byte(`
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: office, tenant: acme}, spec: {addresses: [10.0.0.0/8]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: web, tenant: acme}, spec: {rules: [{`+tt.rule+`, action: drop}]}}`))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.rule, err)
		case tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), " chain acme/web: "+tt.want)):
			t.Errorf("%s:\n got %v\nwant %s", tt.rule, err, tt.want)
		}
	}
}
