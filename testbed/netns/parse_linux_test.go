package netns

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-sdn/weft/testbed/host"
)

func TestParsePing(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
	for text, want := range map[string][]host.Echo{
		`PING 192.0.2.2 (192.0.2.2) 56(84) bytes of data.
64 bytes from 192.0.2.2: icmp_seq=1 ttl=63 time=1.25 ms
64 bytes from 192.0.2.2: icmp_seq=1 ttl=63 time=1.50 ms (DUP!)
64 bytes from 192.0.2.2: icmp_seq=3 ttl=64 time=0.031 ms
64 bytes from 192.0.2.2: icmp_seq=9 ttl=64 time=0.031 ms

--- 192.0.2.2 ping statistics ---
`: {{Seq: 1, RTT: 1250 * time.Microsecond, TTL: 63, By: a}, {Seq: 2, Err: host.ErrTimeout}, {Seq: 3, RTT: 31 * time.Microsecond, TTL: 64, By: a}},
		"64 bytes from 2001:db8::2: icmp_seq=2 ttl=64 time=2 ms\nFrom 2001:db8::1 icmp_seq=1 Destination unreachable: No route\n": {
			{Seq: 1, Err: host.ErrTimeout}, {Seq: 2, RTT: 2 * time.Millisecond, TTL: 64, By: b}, {Seq: 3, Err: host.ErrTimeout}},
		"64 bytes from 192.0.2.2: icmp_seq=1 ttl=64 time=1 ms\nwrong data byte #16 should be 0x10 but was 0x0\n": {
			{Seq: 1, RTT: time.Millisecond, TTL: 64, By: a, Err: host.ErrCorrupt}, {Seq: 2, Err: host.ErrTimeout}, {Seq: 3, Err: host.ErrTimeout}},
		"": {{Seq: 1, Err: host.ErrTimeout}, {Seq: 2, Err: host.ErrTimeout}, {Seq: 3, Err: host.ErrTimeout}},
	} {
		got := parsePing(text, 3)
		if diff := cmp.Diff(want, got, cmpopts.EquateErrors(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestPingArgs(t *testing.T) {
	for want, cfg := range map[string]host.PingConfig{
		"-n -c 3 -i 0.0010 -W 1.0000 -s 56 -M dont 192.0.2.2":   {Count: 3, Size: 56, Timeout: time.Second},
		"-n -c 1 -i 0.0200 -W 0.0500 -s 9 -t 2 -M do 192.0.2.2": {Count: 1, Size: 9, Timeout: 50 * time.Millisecond, TTL: 2, DontFragment: true, Interval: 20 * time.Millisecond},
	} {
		var got string
		for i, arg := range pingArgs(netip.MustParseAddr("192.0.2.2"), cfg) {
			if i > 0 {
				got += " "
			}
			got += arg
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseIperf(t *testing.T) {
	const report = `{"start":{},"end":{"sum_sent":{"bytes":1100000,"seconds":0.5},"sum_received":{"bytes":1000000,"seconds":0.6}}}`
	got, err := parseIperf([]byte(report), 1_000_000)
	if want := (host.Transfer{Bytes: 1_000_000, Duration: 500 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseIperf([]byte(report), 1_000_001); !errors.Is(err, host.ErrCorrupt) {
		t.Errorf("too few bytes: %v", err)
	}
	if _, err := parseIperf([]byte(`{"error":"unable to connect"}`), 1); err == nil || err.Error() != "unable to connect" {
		t.Errorf("an error: %v", err)
	}
	if _, err := parseIperf([]byte("iperf3: what?"), 1); err == nil {
		t.Error("no report was accepted")
	}
}

func TestParseStatistics(t *testing.T) {
	got := map[string]uint64{}
	parseSNMP("Ip: Forwarding OutRequests\nIp: 1 22\nTcp: MaxConn RetransSegs\nTcp: -1 3\nbroken\n", got)
	parseSNMP6("Ip6InReceives   \t5\nIp6Broken x\n\n", got)
	want := map[string]uint64{"IpForwarding": 1, "IpOutRequests": 22, "TcpRetransSegs": 3, "Ip6InReceives": 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConnectTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"connected 0.001250\n": 1250 * time.Microsecond, "curl: (7) no\nconnected 0.5\n": 500 * time.Millisecond, "connected x": 0, "": 0} {
		if got := connectTime(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
