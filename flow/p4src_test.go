package flow

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// constants reads "const TYPE NAME = VALUE;" of a file in p4src/shared.
func constants(t *testing.T, file, typ string) map[string]uint64 {
	t.Helper()
	b, err := os.ReadFile("../p4src/shared/" + file)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]uint64{}
	for _, c := range regexp.MustCompile(`(?m)^const `+regexp.QuoteMeta(typ)+`\s+(\w+)\s*=\s*(\w+);`).FindAllStringSubmatch(string(b), -1) {
		v, err := strconv.ParseUint(c[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		m[c[1]] = v
	}
	if len(m) == 0 {
		t.Fatalf("no %s in %s", typ, file)
	}
	return m
}

// TestReasons compares names, values and classes with p4src/shared/reasons.p4, both ways.
func TestReasons(t *testing.T) {
	want := constants(t, "reasons.p4", "reason_t")
	byValue := map[uint64]string{}
	for name, v := range want {
		byValue[v] = strings.ToLower(strings.TrimPrefix(name, "REASON_"))
	}
	if len(byValue) != len(want) {
		t.Fatalf("%d names for %d values", len(want), len(byValue))
	}
	for v := range 256 {
		r := Reason(v)
		name, ok := byValue[uint64(v)]
		if !ok {
			name = strconv.Itoa(v)
		}
		if r.String() != name {
			t.Errorf("%d: %q, want %q", v, r, name)
		}
		if r.IsDrop() != (v >= 64) || r.IsPunt() != (v > 0 && v < 64) {
			t.Errorf("%v: drop %v, punt %v", r, r.IsDrop(), r.IsPunt())
		}
	}
	for name, r := range map[string]Reason{
		"NONE": ReasonNone, "MISS_SOURCE": ReasonMissSource, "MISS_SCOPE": ReasonMissScope, "MISS_FLOW": ReasonMissFlow, "ARP": ReasonARP, "ND": ReasonND, "DHCP": ReasonDHCP,
		"GROUP_CONTROL": ReasonGroupControl, "ICMP_ERROR": ReasonICMPError, "TTL": ReasonTTL, "LENGTH": ReasonLength, "FRAGMENT": ReasonFragment, "NO_LOCATION": ReasonNoLocation,
		"NO_PEER": ReasonNoPeer, "NO_REWRITE": ReasonNoRewrite, "UNDERLAY": ReasonUnderlay, "REJECT": ReasonReject, "PARSER_ERROR": ReasonParserError, "UNKNOWN_PORT": ReasonUnknownPort,
		"UNKNOWN_VTEP": ReasonUnknownVTEP, "UNKNOWN_PEER": ReasonUnknownPeer, "TUNNEL_LOOP": ReasonTunnelLoop, "FLOW_DROP": ReasonFlowDrop, "CLASS_DROP": ReasonClassDrop,
		"PRUNED": ReasonPruned, "UNDERLAY_LENGTH": ReasonUnderlayLength, "ECN": ReasonECN, "NO_PATH": ReasonNoPath, "NO_REPLICA": ReasonNoReplica, "LOCATION_DROP": ReasonLocationDrop,
		"BAD_PACKET_OUT": ReasonBadPacketOut, "PUNT_RATE": ReasonPuntRate, "GROUP_SOURCE": ReasonGroupSource, "TRACKED_SYN": ReasonTrackedSYN, "TRACKED_END": ReasonTrackedEnd,
		"NO_NAT": ReasonNoNAT, "LAND": ReasonLand, "HEADER": ReasonHeader, "MARTIAN": ReasonMartian, "FRAME_LENGTH": ReasonFrameLength,
	} {
		if v, ok := want["REASON_"+name]; !ok || v != uint64(r) {
			t.Errorf("%s is %d here, %d in p4src", name, r, v)
		}
	}
}

// TestIDsOfP4 compares the numbers that package packet shares with p4src/shared/ids.p4.
func TestIDsOfP4(t *testing.T) {
	for typ, want := range map[string]map[string]uint64{
		"bit<2>": {
			"FRAG_NONE": uint64(packet.FragNone), "FRAG_FIRST": uint64(packet.FragFirst), "FRAG_LATER": uint64(packet.FragLater),
			"TUNNEL_NONE": uint64(packet.TunnelNone), "TUNNEL_VXLAN": uint64(packet.TunnelVXLAN), "TUNNEL_GRE": uint64(packet.TunnelGRE), "TUNNEL_GENEVE": uint64(packet.TunnelGeneve),
		},
		"bit<8>": {
			"PROTO_ICMP": packet.ProtoICMP, "PROTO_TCP": packet.ProtoTCP, "PROTO_UDP": packet.ProtoUDP, "PROTO_GRE": packet.ProtoGRE, "PROTO_FRAG": packet.ProtoFragment,
			"PROTO_ICMPV6": packet.ProtoICMPv6, "PROTO_SCTP": packet.ProtoSCTP, "TUNNEL_MOVED": packet.TunnelMoved,
		},
		"bit<16>": {
			"ETHERTYPE_IPV4": packet.EtherTypeIPv4, "ETHERTYPE_IPV6": packet.EtherTypeIPv6, "ETHERTYPE_VLAN": packet.EtherTypeVLAN,
			"UDP_VXLAN": packet.PortVXLAN, "UDP_GENEVE": packet.PortGeneve,
		},
	} {
		got := constants(t, "ids.p4", typ)
		for name, v := range want {
			if p4, ok := got[name]; !ok || p4 != v {
				t.Errorf("%s is %d here, %d in p4src", name, v, p4)
			}
		}
	}
}
