package p4src

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// pick returns one of a few values: random packets come to all rows only if equal values are frequent.
func pick(r *rand.Rand, values ...uint64) uint64 { return values[r.IntN(len(values))] }

// bit is a condition as a key field.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

const packetsTried = 20_000

// TestTNAShortHeaders: RFC 1812 section 5.2.2, the total length covers the header, for each of the lengths that a header may have.
func TestTNAShortHeaders(t *testing.T) {
	table := constTables(t, "tna/guards.p4")["frame_v4"]
	const source = 0x0a000001
	for ihl := uint64(5); ihl <= 15; ihl++ {
		for _, length := range []uint64{0x100, 0x8000, 0xffc0, 0xffff} {
			if action, _ := table.lookup(t, map[string]uint64{"meta.checksum_error": 0, "hdr.ipv4.ihl": ihl, "hdr.ipv4.total_len": length, "hdr.ipv4.src": source}); action != "source_is_good_v4" {
				t.Errorf("ihl %d, total length %d: %s", ihl, length, action)
			}
		}
		for length := range uint64(70) {
			want := "source_is_good_v4"
			if length < ihl*4 {
				want = "header_is_short"
			}
			if action, _ := table.lookup(t, map[string]uint64{"meta.checksum_error": 0, "hdr.ipv4.ihl": ihl, "hdr.ipv4.total_len": length, "hdr.ipv4.src": source}); action != want {
				t.Errorf("ihl %d, total length %d: %s, want %s", ihl, length, action, want)
			}
		}
	}
	for src, want := range map[uint64]string{0x7f000001: "source_is_martian_v4", 0x000000ff: "source_is_martian_v4", 0xe0000001: "source_is_martian_v4", 0xa9fe0001: "source_is_martian_v4"} {
		p := map[string]uint64{"meta.checksum_error": 0, "hdr.ipv4.ihl": 5, "hdr.ipv4.total_len": 100, "hdr.ipv4.src": src}
		if action, _ := table.lookup(t, p); action != want {
			t.Errorf("source %x: %s, want %s", src, action, want)
		}
		for _, of := range []struct {
			key, want string
			value     uint64
		}{{"hdr.ipv4.total_len", "header_is_short", 19}, {"meta.checksum_error", "header_is_wrong", 1}} { // REASON_HEADER goes before REASON_MARTIAN
			p[of.key] = of.value
			if action, _ := table.lookup(t, p); action != of.want {
				t.Errorf("source %x, %s %d: %s, want %s", src, of.key, of.value, action, of.want)
			}
		}
	}
	table.used(t)
}

// TestTNAMartians: RFC 1812 section 5.3.7 and RFC 4291: the sources at both ends of each block, and their neighbours.
func TestTNAMartians(t *testing.T) {
	tables := constTables(t, "tna/guards.p4")
	for addr, martian := range map[string]bool{
		"0.0.0.0": true, "0.255.255.255": true, "1.0.0.0": false, "10.0.0.1": false, "126.255.255.255": false, "127.0.0.0": true, "127.255.255.255": true,
		"128.0.0.0": false, "169.253.255.255": false, "169.254.0.0": true, "169.254.255.255": true, "169.255.0.0": false, "223.255.255.255": false,
		"224.0.0.0": true, "239.1.2.3": true, "240.0.0.1": true, "255.255.255.255": true,
		"::": true, "::1": true, "::2": false, "2001:db8::1": false, "fe7f:ffff::1": false, "fe80::1": true, "febf:ffff::1": true, "fec0::1": false,
		"feff::1": false, "ff00::": true, "ff02::1": true,
	} {
		a := netip.MustParseAddr(addr)
		name, suffix := "frame_v6", "_v6"
		if a.Is4() {
			name, suffix = "frame_v4", "_v4"
		}
		action, _ := tables[name].find(t, func(key string) *big.Int {
			switch key {
			case "meta.checksum_error":
				return new(big.Int)
			case "hdr.ipv4.ihl":
				return big.NewInt(5)
			case "hdr.ipv4.total_len":
				return big.NewInt(1400)
			}
			return new(big.Int).SetBytes(a.AsSlice())
		})
		want := "source_is_good" + suffix
		if martian {
			want = "source_is_martian" + suffix
		}
		if action != want {
			t.Errorf("%s: %s, want %s", addr, action, want)
		}
	}
	tables["frame_v6"].used(t)
}

// TestTNAEntry: what is said of the frame alone, as in v1model's ingress step 1.
func TestTNAEntry(t *testing.T) {
	table, r := constTables(t, "tna/guards.p4")["entry"], rand.New(rand.NewPCG(1, 1))
	for range packetsTried {
		p := map[string]uint64{
			"ig_prsr_md.parser_err": pick(r, 0, 0, 0, 2), "meta.malformed": pick(r, 0, 0, 0, 1), "meta.port.side": pick(r, 0, 0, 0, 1, 2), "hdr.packet_out.mode": pick(r, 0, 1, 7),
			"meta.tunnel_kind": pick(r, 0, 1, 2, 3), "hdr.ethernet.src": pick(r, 0, 0x020000000001, 0x010000000000, 0xffffffffffff),
		}
		action, arg := table.lookup(t, p)
		wantAction, want := "entry_is", ""
		switch {
		case p["ig_prsr_md.parser_err"] != 0 || p["meta.malformed"] != 0:
			want = "REASON_PARSER_ERROR"
		case p["meta.port.side"] == 2 && p["hdr.packet_out.mode"] == 0:
			wantAction = "packet_out_raw"
		case p["meta.port.side"] == 2 && p["hdr.packet_out.mode"] == 1:
			wantAction = "entry_ok"
		case p["meta.port.side"] == 2:
			want = "REASON_BAD_PACKET_OUT"
		case p["meta.port.side"] == 1 && p["meta.tunnel_kind"] == 0:
			want = "REASON_UNDERLAY"
		case p["meta.port.side"] == 1:
			wantAction = "entry_ok"
		case p["hdr.ethernet.src"]>>40&1 == 1 || p["hdr.ethernet.src"] == 0:
			want = "REASON_GROUP_SOURCE"
		default:
			wantAction = "entry_ok"
		}
		if action != wantAction || arg != want {
			t.Fatalf("%v: %s(%s), want %s(%s)", p, action, arg, wantAction, want)
		}
	}
	table.used(t)
}

// TestTNALand: of IPv4 the first difference alone is computed.
func TestTNALand(t *testing.T) {
	table, r := constTables(t, "tna/guards.p4")["land"], rand.New(rand.NewPCG(1, 6))
	for range packetsTried {
		p := map[string]uint64{"meta.differ0": pick(r, 0, 0, 0, 1<<31), "meta.differ1": pick(r, 0, 0, 0, 1), "meta.differ2": pick(r, 0, 0, 0, 256), "meta.differ3": pick(r, 0, 0, 0, 5)}
		ip := pick(r, 0, 4, 6)
		p["hdr.ipv4.isValid()"], p["hdr.ipv6.isValid()"] = bit(ip == 4), bit(ip == 6)
		want := "is_no_land"
		if ip == 4 && p["meta.differ0"] == 0 || ip == 6 && p["meta.differ0"]|p["meta.differ1"]|p["meta.differ2"]|p["meta.differ3"] == 0 {
			want = "is_land"
		}
		if action, _ := table.lookup(t, p); action != want {
			t.Fatalf("%v: %s, want %s", p, action, want)
		}
	}
	table.used(t)
}

// TestTNAEarliest: of all reasons but the peer's the earliest counts, as in v1model's ingress steps 3 and 5: through early, router_guard and earliest.
func TestTNAEarliest(t *testing.T) {
	tables, named, r := constTables(t, "tna/guards.p4"), constants(t), rand.New(rand.NewPCG(1, 2))
	for range packetsTried {
		early := map[string]uint64{
			"meta.entry_reason": pick(r, 0, 0, 0, 64, 79), "meta.land": pick(r, 0, 0, 0, 1), "meta.unknown_port": pick(r, 0, 0, 0, 1), "meta.keep_tag": pick(r, 0, 1), "meta.unknown_vtep": pick(r, 0, 0, 0, 1), "meta.unknown_peer": pick(r, 0, 0, 0, 1),
			"meta.rate_reason": pick(r, 0, 0, 0, 84), "meta.class_reason": pick(r, 0, 0, 0, 4, 70), "meta.unknown_source": pick(r, 0, 0, 0, 1),
		}
		dst := pick(r, 0, 0, 0, 2, 69)
		ip := pick(r, 0, 4, 6)
		ttl, dec := r.Uint64N(20), r.Uint64N(16)
		router := map[string]uint64{
			"hdr.bridge.ttl_dec": dec, "hdr.ipv4.isValid()": bit(ip == 4), "hdr.ipv6.isValid()": bit(ip == 6), "meta.ttl": ttl, "meta.martian": pick(r, 0, 0, 0, 1),
			"meta.bad_header": bit(ip == 4) * pick(r, 0, 0, 0, 1),
		}
		rest := map[string]uint64{
			"meta.flow_reason": pick(r, 0, 0, 0, 3, 69), "meta.no_rewrite": pick(r, 0, 0, 0, 1), "meta.room": pick(r, 1, 1400, 9, 0), "meta.tracked": pick(r, 0, 1),
			"syn": pick(r, 0, 1), "meta.location_reason": pick(r, 0, 0, 0, 12, 76),
		}
		guard := wantGuard(ip, ttl, dec, router, rest)
		want := earliestOf(early["meta.entry_reason"], 82*early["meta.land"], 65*early["meta.unknown_port"]*(1-early["meta.keep_tag"]), 66*early["meta.unknown_vtep"], 67*early["meta.unknown_peer"], early["meta.rate_reason"], early["meta.class_reason"],
			early["meta.unknown_source"], dst, rest["meta.flow_reason"], guard, rest["meta.location_reason"])

		action, arg := tables["early"].lookup(t, early)
		rest["meta.early_reason"] = answer(t, named, action, arg, map[string]uint64{"early_is_entry": early["meta.entry_reason"], "early_is_class": early["meta.class_reason"], "early_is_dst": dst})
		action, arg = tables["router_guard"].lookup(t, router)
		rest["meta.router_reason"] = answer(t, named, action, arg, nil)
		action, arg = tables["earliest"].lookup(t, rest)
		got := answer(t, named, action, arg, map[string]uint64{
			"reason_is_early": rest["meta.early_reason"], "reason_is_flow": rest["meta.flow_reason"],
			"reason_is_router": rest["meta.router_reason"], "reason_is_location": rest["meta.location_reason"],
		})
		if got != want {
			t.Fatalf("early %v, dst %d, router %v, rest %v: reason %d, want %d", early, dst, router, rest, got, want)
		}
	}
	for _, name := range []string{"early", "router_guard", "earliest"} {
		tables[name].used(t)
	}
}

// wantGuard is v1model's ingress step 3.
func wantGuard(ip, ttl, dec uint64, router, rest map[string]uint64) (guard uint64) {
	if rest["meta.no_rewrite"] == 1 {
		guard = 14
	} else if rest["meta.room"] == 0 {
		guard = 10
	}
	if dec != 0 && ip != 0 {
		if ttl <= dec {
			guard = 9
		}
		if router["meta.martian"] == 1 {
			guard = 20
		}
		if router["meta.bad_header"] == 1 {
			guard = 19
		}
	}
	if guard == 0 && rest["meta.tracked"] == 1 && rest["syn"] == 1 {
		guard = 17
	}
	return guard
}

// earliestOf is v1model's ingress step 5.
func earliestOf(reasons ...uint64) uint64 {
	for _, r := range reasons {
		if r != 0 {
			return r
		}
	}
	return 0
}

// answer is the reason that an action leaves: its argument, a field's, or none.
func answer(t *testing.T, named map[string]*big.Int, action, arg string, fields map[string]uint64) uint64 {
	t.Helper()
	if arg != "" {
		n, ok := named[arg]
		if !ok {
			t.Fatalf("%s is not in p4src/shared", arg)
		}
		return n.Uint64()
	}
	return fields[action]
}

// TestTNAFloods: who is metered for what it says to all, as in v1model's ingress step 6.
func TestTNAFloods(t *testing.T) {
	table, r := constTables(t, "tna/guards.p4")["flood_gate"], rand.New(rand.NewPCG(1, 3))
	for range packetsTried {
		p := map[string]uint64{
			"meta.port.side": pick(r, 0, 0, 1, 2), "hdr.bridge.vport": pick(r, 0, 1, 4095), "hdr.bridge.to_group": pick(r, 0, 1), "group": pick(r, 0, 1),
			"meta.early_reason": pick(r, 0, 0, 0, 4, 64), "meta.flow_reason": pick(r, 0, 0, 0, 3, 69), "meta.router_reason": pick(r, 0, 0, 0, 9), "meta.no_rewrite": pick(r, 0, 0, 0, 1),
			"meta.room": pick(r, 1, 1400, 7, 0), "meta.location_reason": pick(r, 0, 0, 12, 76),
		}
		guard := earliestOf(p["meta.router_reason"], p["meta.no_rewrite"], bit(p["meta.room"] == 0))
		drop := earliestOf(p["meta.early_reason"], p["meta.flow_reason"], guard, p["meta.location_reason"]) >= 64
		toGroup, group := p["hdr.bridge.to_group"] == 1, p["group"] == 1
		want := p["hdr.bridge.vport"] != 0 && !drop && (p["meta.port.side"] == 0 && (toGroup || group) || p["meta.port.side"] == 2 && toGroup && !group)
		if action, _ := table.lookup(t, p); (action == "meter_flood") != want {
			t.Fatalf("%v: %s, want it metered: %v", p, action, want)
		}
	}
	table.used(t)
}

// TestTNAPolice: the last word, as in v1model's ingress steps 6 to 9.
func TestTNAPolice(t *testing.T) {
	table, r := constTables(t, "tna/guards.p4")["police"], rand.New(rand.NewPCG(1, 4))
	for range packetsTried {
		ip, ecn := pick(r, 0, 4, 6), pick(r, 0, 1, 2, 3)
		p := map[string]uint64{
			"meta.flood_reason": pick(r, 0, 0, 0, 81), "meta.reason": pick(r, 0, 0, 3, 64, 76), "meta.peer_reason": pick(r, 0, 0, 13, 68), "meta.port.side": pick(r, 0, 1, 2),
			"meta.tracked": pick(r, 0, 1), "meta.tcp_flags": pick(r, 0x10, 0x11, 0x14, 0x02), "outer_ecn": pick(r, 0, 1, 2, 3),
			"hdr.ipv4.isValid()": bit(ip == 4), "hdr.ipv6.isValid()": bit(ip == 6), "ecn4": 1, "ecn6": 1,
		}
		p["ecn4"], p["ecn6"] = ecn*bit(ip == 4), ecn*bit(ip == 6)
		reason := earliestOf(p["meta.reason"], p["meta.peer_reason"])
		late := p["meta.reason"] == 0 && reason != 0
		want := "police_keep"
		switch {
		case p["meta.flood_reason"] != 0:
			want = "police_flood"
		case reason == 0 && p["outer_ecn"] == 3 && ip != 0 && ecn == 0:
			want = "police_ecn"
		case reason == 0 && p["meta.port.side"] == 0 && p["meta.tracked"] == 1 && p["meta.tcp_flags"]&5 != 0:
			want = "police_copy"
		case p["meta.port.side"] == 0 && late:
			want = "police_peer_punt"
		case p["meta.port.side"] == 2 && late:
			want = "police_packet_out_peer"
		case late:
			want = "police_peer"
		case reason == 0 || reason >= 64:
		case p["meta.port.side"] == 0:
			want = "police_punt"
		case p["meta.port.side"] == 2:
			want = "police_packet_out"
		}
		if action, _ := table.lookup(t, p); action != want {
			t.Fatalf("%v: %s, want %s", p, action, want)
		}
	}
	table.used(t)
}

// TestTNAEgress: of egress the last reason counts, as in v1model.
func TestTNAEgress(t *testing.T) {
	table, r := constTables(t, "tna/egress.p4")["latest"], rand.New(rand.NewPCG(1, 5))
	for range packetsTried {
		ip := pick(r, 0, 4, 6)
		p := map[string]uint64{
			"hdr.ipv4.isValid()": bit(ip == 4), "hdr.ipv6.isValid()": bit(ip == 6), "hdr.bridge.ttl_dec": pick(r, 0, 0, 1), "meta.missing": pick(r, 0, 0, 6),
			"hdr.bridge.l2_rewrite": pick(r, 0, 0, 5), "meta.too_long": pick(r, 0, 0, 4), "meta.no_path": pick(r, 0, 0, 0, 9), "meta.outer_too_long": pick(r, 0, 0, 0, 2),
			"meta.no_nat": pick(r, 0, 0, 0, 7), "meta.pruned": pick(r, 0, 0, 0, 1), "meta.no_replica": pick(r, 0, 0, 0, 1),
		}
		wantAction, want := "reason_is", ""
		switch {
		case ip != 0 && (p["hdr.bridge.ttl_dec"] != 0 && p["meta.missing"] != 0 || p["hdr.bridge.l2_rewrite"] != 0 && p["meta.too_long"] != 0):
			want = "REASON_FRAME_LENGTH"
		case p["meta.no_path"] != 0:
			want = "REASON_NO_PATH"
		case p["meta.outer_too_long"] != 0:
			want = "REASON_UNDERLAY_LENGTH"
		case p["meta.no_nat"] != 0:
			want = "REASON_NO_NAT"
		case p["meta.pruned"] == 1:
			want = "REASON_PRUNED"
		case p["meta.no_replica"] == 1:
			want = "REASON_NO_REPLICA"
		default:
			wantAction = "reason_is_rate"
		}
		if action, arg := table.lookup(t, p); action != wantAction || arg != want {
			t.Fatalf("%v: %s(%s), want %s(%s)", p, action, arg, wantAction, want)
		}
	}
	table.used(t)
}

// TestTNAECN: RFC 6040 section 4.2, normal mode; what it drops ingress has dropped (TestTNAPolice).
func TestTNAECN(t *testing.T) {
	table := constTables(t, "tna/egress.p4")["ecn"]
	for outer := range uint64(4) {
		for inner := range uint64(4) {
			for _, ip := range []uint64{0, 4, 6} {
				want := inner
				if outer == 3 && inner != 0 {
					want = 3
				} else if outer == 1 && inner == 2 {
					want = 1
				}
				if outer == 3 && inner == 0 {
					continue
				}
				p := map[string]uint64{
					"outer_ecn": outer, "hdr.ipv4.isValid()": bit(ip == 4), "hdr.ipv6.isValid()": bit(ip == 6), "ecn4": inner * bit(ip == 4), "ecn6": inner * bit(ip == 6),
				}
				got := inner
				switch action, arg := table.lookup(t, p); {
				case action == "ecn4" && ip == 4, action == "ecn6" && ip == 6:
					got = uint64(arg[0] - '0')
				case action != "ecn_stays":
					t.Errorf("outer %d, inner %d of IPv%d: %s", outer, inner, ip, action)
				}
				if ip != 0 && got != want {
					t.Errorf("outer %d, inner %d of IPv%d: %d, want %d", outer, inner, ip, got, want)
				}
			}
		}
	}
	table.used(t)
}

// TestTNAArrive: TTL and hop limit are those of IP packets that were routed.
func TestTNAArrive(t *testing.T) {
	table := constTables(t, "tna/egress.p4")["arrive"]
	for _, ip := range []uint64{0, 4, 6} {
		for _, dec := range []uint64{0, 1, 15} {
			want := "lengths"
			switch {
			case ip != 0 && dec != 0:
				want = fmt.Sprintf("routed_v%d", ip)
			case ip != 0:
				want = fmt.Sprintf("lengths_v%d", ip)
			}
			if action, _ := table.lookup(t, map[string]uint64{"hdr.ipv4.isValid()": bit(ip == 4), "hdr.ipv6.isValid()": bit(ip == 6), "hdr.bridge.ttl_dec": dec}); action != want {
				t.Errorf("IPv%d, %d routers: %s, want %s", ip, dec, action, want)
			}
		}
	}
	table.used(t)
}
