package state

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// TestTraceMatch: a match meets packets, and the flows that have such packets, by the bits that these look at.
func TestTraceMatch(t *testing.T) {
	p := netip.MustParsePrefix
	key := func(src, dst string, proto uint8, sport, dport uint16) flow.Key {
		k := flow.Key{EtherType: packet.EtherTypeIPv4, Src: flow.AddrOf(netip.MustParseAddr(src)), Dst: flow.AddrOf(netip.MustParseAddr(dst)), Proto: proto, SrcPort: sport, DstPort: dport}
		if netip.MustParseAddr(src).Is6() {
			k.EtherType = packet.EtherTypeIPv6
		}
		return k
	}
	v4, v6 := key("10.0.0.1", "10.1.2.3", 6, 4000, 443), key("fd00::1", "fd01::2", 58, 0x8000, 7)
	for name, tc := range map[string]struct {
		m        TraceMatch
		on4, on6 bool
	}{
		"all":            {TraceMatch{}, true, true},
		"IPv4":           {TraceMatch{V4: true}, true, false},
		"IPv6":           {TraceMatch{V6: true}, false, true},
		"dst":            {TraceMatch{Dst: p("10.1.2.0/23")}, true, false},
		"another dst":    {TraceMatch{Dst: p("10.1.4.0/23")}, false, false},
		"src v6":         {TraceMatch{Src: p("fd00::/9")}, false, true},
		"another src v6": {TraceMatch{Src: p("fd80::/9")}, false, false},
		"any v4":         {TraceMatch{Src: p("0.0.0.0/0")}, true, false},
		"tcp":            {TraceMatch{Proto: 6}, true, false},
		"icmp":           {TraceMatch{Proto: 1}, false, true},
		"icmpv6":         {TraceMatch{Proto: 58}, false, true},
		"ports":          {TraceMatch{Proto: 6, SPort: 4000, DPort: 443}, true, false},
		"another port":   {TraceMatch{Proto: 6, SPort: 4001, DPort: 443}, false, false},
	} {
		m4, m6 := flow.ExactMask(v4.EtherType), flow.ExactMask(v6.EtherType)
		if got := tc.m.Meets(&v4, &m4); got != tc.on4 {
			t.Errorf("%s: an IPv4 packet %t", name, got)
		}
		if got := tc.m.Meets(&v6, &m6); got != tc.on6 {
			t.Errorf("%s: an IPv6 packet %t", name, got)
		}
	}
	// A flow may have packets that match iff some packet of it does.
	flowKey := key("10.0.0.0", "10.1.0.0", 6, 0, 443)
	mask := flow.Mask{EtherType: 0xffff, Dst: flow.AddrMask(16, packet.EtherTypeIPv4), DstPort: 0xffff}
	for _, tc := range []struct {
		m    TraceMatch
		want bool
	}{
		{TraceMatch{Dst: p("10.1.2.3/32")}, true}, {TraceMatch{Dst: p("10.0.0.0/8")}, true}, {TraceMatch{Dst: p("10.2.0.0/16")}, false},
		{TraceMatch{Proto: 17, DPort: 443}, true}, {TraceMatch{Proto: 6, DPort: 80}, false}, {TraceMatch{V6: true}, false}, {TraceMatch{Src: p("192.0.2.1/32")}, true},
	} {
		k := flowKey.And(mask)
		if got := tc.m.Meets(&k, &mask); got != tc.want {
			t.Errorf("%+v: %t, want %t", tc.m, got, tc.want)
		}
	}
	for range 2000 { // without addresses it meets whatever it met, and names the same families
		m := TraceMatch{Proto: []uint8{0, 1, 6}[rand.IntN(3)], V4: rand.IntN(3) == 0}
		if rand.IntN(2) == 0 {
			m.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rand.IntN(3)), 0, 0}), rand.IntN(33)).Masked()
		}
		k := key("10.0.0.1", netip.AddrFrom4([4]byte{10, byte(rand.IntN(3)), byte(rand.IntN(3)), 1}).String(), []uint8{1, 6, 17}[rand.IntN(3)], 1, 2)
		all, wide := flow.ExactMask(k.EtherType), m.WithoutAddrs()
		if m.Meets(&k, &all) && !wide.Meets(&k, &all) {
			t.Fatalf("%+v meets %v, and %+v does not", m, k, wide)
		}
	}
}

// TestLiveTraces: what is asked for and told is under the lease of who asks, one trace of a vport at a time; records of another trace are not his.
func TestLiveTraces(t *testing.T) {
	s := embeddedStore(t)
	ask := LiveTrace{VPort: 7, Packets: 3, For: time.Minute}
	for _, bad := range []LiveTrace{{}, {VPort: 7, Packets: 3}, {VPort: 7, For: time.Minute}, {VPort: 7, Packets: MaxTracePackets + 1, For: time.Minute}, {VPort: 7, Packets: 1, For: time.Hour}, {VPort: 7, Packets: 1, For: 1, Match: TraceMatch{V4: true, V6: true}}} {
		if _, err := s.BeginTrace(t.Context(), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	first, err := s.BeginTrace(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginTrace(t.Context(), ask); !errors.Is(err, ErrTraced) {
		t.Errorf("a second one of the vport: %v", err)
	}
	if err := s.TellTrace(t.Context(), &first.LiveTrace, TraceRecord{Edge: "e1", Kind: TraceBegan}); err != nil {
		t.Fatal(err)
	}
	first.End(t.Context())
	if err := s.TellTrace(t.Context(), &first.LiveTrace, TraceRecord{Edge: "e1", N: 1, Kind: TracePacket}); err == nil {
		t.Error("something is told of a trace that is over")
	}
	second, err := s.BeginTrace(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.TellTrace(t.Context(), &second.LiveTrace, TraceRecord{Edge: "e2", Kind: TraceEnded, Why: "over"}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	if err := second.Run(t.Context(), func(r TraceRecord) error {
		if r.Edge != "e2" || r.Why != "over" {
			t.Errorf("told %+v", r)
		}
		return enough
	}); !errors.Is(err, enough) {
		t.Error(err)
	}
	second.End(t.Context())
	left, err := s.client.Get(t.Context(), "/weft/trace/", clientv3.WithPrefix())
	if err != nil || len(left.Kvs) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// FuzzLiveTraces: whatever is below the prefix, what is read of it is within bounds, or nothing.
func FuzzLiveTraces(f *testing.F) {
	ask, _ := json.Marshal(LiveTrace{VPort: 7, Packets: 3, For: time.Minute})
	f.Add("/weft/trace/ask/7", string(ask), "/weft/trace/ask/7/to/e2", "[1,2]")
	f.Add("/weft/trace/ask/8", string(ask), "/weft/trace/ask/9/to/e2", "[]")
	f.Add("/weft/trace/ask/7", "{", "/weft/trace/ask//to/", "null")
	f.Fuzz(func(t *testing.T, key, value, toKey, to string) {
		for id, x := range liveTraces(map[string]Event{key: {Key: key, Value: []byte(value)}}, map[string]Event{toKey: {Key: toKey, Value: []byte(to)}}) {
			if id != x.VPort || traceAskKey(id) != key || !x.inBounds() {
				t.Errorf("%q %q: %+v", key, value, x)
			}
		}
	})
}
