package scenario

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-sdn/weft/testbed/host"
)

const files = `-- network.yaml --
kind: Bridge
-- edges --
e1 encap=geneve family=6 mtu=9000
e2 uplinks=3 vteps=2 multicast=239.192.0.0/14
-- hosts --
# two machines
a vport=acme/a edge=e1 interface=eth7 vlan=5 mac=02:00:00:00:00:0a ip=10.1.0.2/24,fd01::2/64 gw=10.1.0.1,fd01::1 mtu=1400 route=10.2.0.9/16>10.1.0.9
b vport=acme/b
-- more.yaml --
kind: Router
-- arp.hex --
# a request
ffffffffffff 02000000000a 0806
00010800060400 01

0200 0000 000b 02000000000a 88b5 01
-- seen.hex --
0200 0000 000b ............ 88b5 *
`

var equateAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmp.AllowUnexported(Pattern{})}

// steps are those of all legs.
func steps(s *Scenario) []Step {
	var all []Step
	for _, leg := range s.Legs {
		all = append(all, leg.Steps...)
	}
	return all
}

func TestParse(t *testing.T) {
	a, b := Target{Host: "a"}, Target{Host: "b"}
	at := func(t Target, port uint16) Target { t.Port = port; return t }
	padded := func(frame []byte) []byte { return append(bytes.Clone(frame), make([]byte, 100-len(frame))...) }
	first := append(append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0a\x08\x06"), 0, 1, 8, 0, 6, 4, 0), 1)
	second := []byte("\x02\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x0a\x88\xb5\x01")
	pattern := Pattern{value: []byte("\x02\x00\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x88\xb5"),
		mask: []byte("\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\xff\xff"), open: true}
	for text, want := range map[string]Step{
		"ping a b":                       {Op: Ping{From: "a", To: b, Count: 1, Within: 30 * time.Second}},
		"! ping a 10.9.9.9 within=200ms": {Op: Ping{From: "a", To: Target{Addr: netip.MustParseAddr("10.9.9.9")}, Count: 1, Outcome: Outcome{Fail: true}, Within: 200 * time.Millisecond}},
		"ping b a count=3 size=1400 df ttl=2 family=4 error=ttl-exceeded,too-big by=10.1.0.1": {Op: Ping{From: "b", To: a, Count: 3, Size: 1400, TTL: 2, DontFragment: true, Family: IPv4,
			Outcome: Outcome{Errors: []host.Kind{host.TTLExceeded, host.TooBig}, By: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}, Within: 30 * time.Second}},
		"tcp a b:9":                                  {Op: TCP{From: "a", To: at(b, 9), Bytes: 1e6, Within: 30 * time.Second}},
		"tcp a [fd01::9]:9 bytes=2MiB":               {Op: TCP{From: "a", To: Target{Addr: netip.MustParseAddr("fd01::9"), Port: 9}, Bytes: 2 << 20, Within: 30 * time.Second}},
		"http a b bytes=5MB family=6":                {Op: HTTP{From: "a", To: at(b, 80), Bytes: 5e6, Family: IPv6, Within: 30 * time.Second}},
		"http a 10.1.0.3:8080 # comment":             {Op: HTTP{From: "a", To: Target{Addr: netip.MustParseAddr("10.1.0.3"), Port: 8080}, Bytes: 1e6, Within: 30 * time.Second}},
		"http a fd01::3":                             {Op: HTTP{From: "a", To: Target{Addr: netip.MustParseAddr("fd01::3"), Port: 80}, Bytes: 1e6, Within: 30 * time.Second}},
		"udp a b:7 count=5 size=0":                   {Op: UDP{From: "a", To: at(b, 7), Count: 5, Within: 30 * time.Second}},
		"raw a arp.hex count=2":                      {Op: Raw{Host: "a", File: "arp.hex", Frames: [][]byte{first, second}, Count: 2, Within: 30 * time.Second}},
		"raw a arp.hex pad=100":                      {Op: Raw{Host: "a", File: "arp.hex", Frames: [][]byte{padded(first), padded(second)}, Count: 1, Within: 30 * time.Second}},
		"expect b seen.hex":                          {Op: Expect{Host: "b", File: "seen.hex", Patterns: []Pattern{pattern}, Within: 10 * time.Second}},
		"! expect b seen.hex":                        {Op: Expect{Host: "b", File: "seen.hex", Patterns: []Pattern{pattern}, Absent: true, Within: 300 * time.Millisecond}},
		"bind a e2":                                  {Op: Bind{What: "a", Edge: "e2", Within: 30 * time.Second}},
		"! bind acme/x e1:eth3":                      {Fail: true, Op: Bind{What: "acme/x", Edge: "e1", Interface: "eth3", Within: 30 * time.Second}},
		"udp a b:7 count=5 min=2 each=50ms":          {Op: UDP{From: "a", To: at(b, 7), Count: 5, Size: 32, Min: 2, Each: 50 * time.Millisecond, Within: 30 * time.Second}},
		"link e2:3 up":                               {Op: Link{Edge: "e2", Uplink: 3, Up: true, Within: 30 * time.Second}},
		"link e1/p7 down":                            {Op: Link{Edge: "e1", Interface: "p7", Within: 30 * time.Second}},
		"link e1 down":                               {Op: Link{Edge: "e1", Within: 30 * time.Second}},
		"link e2 loss=0.25":                          {Op: Link{Edge: "e2", Up: true, Loss: 0.25, Within: 30 * time.Second}},
		"apply more.yaml":                            {Op: Apply{File: "more.yaml", Data: []byte("kind: Router\n"), Within: 30 * time.Second}},
		"flows e1":                                   {Op: Flows{Edge: "e1", Min: 1, Max: -1, Within: 30 * time.Second}},
		"flows e1 max=0 'like=to b'":                 {Op: Flows{Edge: "e1", Like: "to b", Max: 0, Within: 30 * time.Second}},
		"counters fabric frames == 0":                {Op: Counters{Of: "fabric", Name: "frames", Op: "==", Within: 30 * time.Second}},
		"counters a tcp_retransmits <= 18 within=1s": {Op: Counters{Of: "a", Name: "tcp_retransmits", Op: "<=", Value: 18, Within: time.Second}},
	} {
		s, err := Parse("test.txtar", []byte("# comment\n\n"+text+"\n"+files))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want.Line, want.Text = 3, text
		if diff := cmp.Diff([]Step{want}, steps(s), equateAddrs); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestParseFiles(t *testing.T) {
	s, err := Parse("test.txtar", []byte(files))
	if err != nil {
		t.Fatal(err)
	}
	wantHosts := []Host{{
		Name: "a", VPort: "acme/a", Edge: "e1", Interface: "eth7", VLAN: 5, MAC: [6]byte{2, 0, 0, 0, 0, 10}, MTU: 1400, Line: 8,
		Addrs:    []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd01::2/64")},
		Gateways: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1")},
		Routes:   []host.Route{{Dst: netip.MustParsePrefix("10.2.0.0/16"), Via: netip.MustParseAddr("10.1.0.9")}},
	}, {Name: "b", VPort: "acme/b", Line: 9}}
	if diff := cmp.Diff(wantHosts, s.Hosts, equateAddrs); diff != "" {
		t.Error(diff)
	}
	wantEdges := []Edge{{Name: "e1", Encap: "geneve", Family: 6, MTU: 9000, Uplinks: 1, VTEPs: 1, Line: 4}, {Name: "e2", Uplinks: 3, VTEPs: 2, Multicast: netip.MustParsePrefix("239.192.0.0/14"), Line: 5}}
	if diff := cmp.Diff(wantEdges, s.Edges, equateAddrs); diff != "" {
		t.Error(diff)
	}
	if string(s.Network) != "kind: Bridge\n" {
		t.Errorf("network %q", s.Network)
	}
	if got := s.Hosts[0].Config(); got.Name != "a" || got.MTU != 1400 || got.VLAN != 5 || len(got.Addrs) != 2 {
		t.Errorf("config %+v", got)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"pong a b":                       `1: unknown operation "pong"; operations are ping,`,
		"!":                              `1: operation behind ! is missing`,
		"ping":                           `1: host that pings is missing`,
		"ping a c":                       `1: unknown host "c"; it is an address, or one of a, b`,
		"ping c a":                       `1: unknown host "c"; hosts are a, b`,
		"ping a b count=0":               `1: count=0; it is a whole number from 1 to 10000`,
		"ping a b count=1 count=2":       `1: count= is given twice`,
		"ping a b speed=9":               `1: unknown option speed=; options here are count=, interval=, size=, ttl=, df, family=, by=, error=, within=`,
		"ping a b slow":                  `1: unexpected word "slow"`,
		"ping a ::ffff:10.0.0.1":         `1: unknown host "::ffff:10.0.0.1"`,
		"ping a b error=gone":            `1: error=gone: unknown kind "gone"; kinds are net-unreachable,`,
		"! ping a b error=too-big":       `1: ! together with error=; error= expects a failure already`,
		"ping a b by=10.0.0.1":           `1: by= without error=; add error=`,
		"ping a b by=x error=too-big":    `1: by=x: "x" is not valid; it is a comma-separated list`,
		"ping a b within=2":              `1: within=2; it is a time up to 1h`,
		"ping a b family=5":              `1: family=5; it is one of 4, 6`,
		"tcp a b":                        `1: "b" has no port; write HOST:PORT`,
		"tcp a b:0":                      `1: port "0"; it is a number from 1 to 65535`,
		"tcp a fd01::1":                  `1: "fd01::1" has no port`,
		"tcp a b:9 bytes=5XB":            `1: bytes=5XB; it is a number of bytes such as`,
		"raw a arp.hex pad=9999":         `1: pad=9999; it is a whole number from 1 to 9234`,
		"raw a none.hex":                 `1: there is no file "none.hex"; add it behind a line "-- none.hex --"`,
		"raw a seen.hex":                 `20: frame: encoding/hex: invalid byte`,
		"raw a more.yaml":                `12: frame: encoding/hex`,
		"! raw a arp.hex":                `1: raw cannot be expected to fail`,
		"bind c e1":                      `1: unknown host "c"; it is TENANT/NAME of a vport, or one of a, b`,
		"bind a e3":                      `1: unknown edge "e3"; edges are e1, e2`,
		"link e1":                        `1: link wants one of up, down, loss=`,
		"link e1:2 up":                   `1: edge e1 has no underlay link "2"; it is a number from 1 to 1; file edges says uplinks=`,
		"link e2:0 up":                   `1: edge e2 has no underlay link "0"; it is a number from 1 to 3`,
		"udp a b:7 count=2 min=3":        `1: min=3 is more than count=2`,
		"link e1/ up":                    `1: e1/ names no interface`,
		"link e1 up down":                `1: link wants one of up, down, loss=`,
		"link e1 loss=NaN":               `1: loss=NaN; it is a share from 0 to 1`,
		"flows e1 min=3 max=2":           `1: max=2 is less than min=3`,
		"flows e1 fields=vport,dest":     `1: fields=vport,dest: "dest" is not valid; it is a comma-separated list such as vport,src_mac,dst_mac,`,
		"counters x y == 1":              `1: unknown edge or host "x"; it is fabric, or one of e1, e2, a, b`,
		"counters e1 y = 1":              `1: comparison "="; comparisons are`,
		"counters e1 y == -1":            `1: value "-1"; it is a whole number`,
		"flows e1 'like=x":               `1: quote without end; write '' for`,
		"-- hosts --\na vport=x":         `2: vport=x; it is TENANT/NAME`,
		"-- hosts --\na vport=t/x mac=1": `2: mac=1; it is a unicast address`,
		"-- hosts --\na vport=t/x ip=1":  `2: ip=1: "1" is not valid; it is a comma-separated list`,
		"-- hosts --\na":                 `2: vport= is missing; every host`,
		"-- hosts --\na remote=acme/v":   `2: via=; name a host of an earlier line`,
		"-- hosts --\nb vport=x/y\na remote=v via=b":               `3: remote=v; it is TENANT/NAME of a VPN`,
		"-- hosts --\nb vport=x/y\nb remote=x/v via=b":             `3: host b appears twice`,
		"-- hosts --\nb vport=x/y\na remote=x/v via=b gw=10.0.0.1": `3: `,
		"-- hosts --\na/b vport=t/x":                               `2: host name "a/b"`,
		"-- hosts --\n10.0.0.1 vport=t/x":                          `2: host name "10.0.0.1"`,
		"-- hosts --\nx vport=t/x\ny vport=t/x\nx vport=t/y":       `3: vport t/x has two hosts`,
		"-- hosts --\nx vport=t/x interface=e":                     `2: interface=e without an edge; add edge=`,
		"-- edges --\ne family=5":                                  `2: family=5; it is 4 or 6`,
		"-- edges --\ne multicast=10.0.0.0/8":                      `2: multicast=10.0.0.0/8; it is a range such as 239.192.0.0/14 or ff05::/104`,
		"-- edges --\ne encap=ipip":                                `2: encap=ipip; it is one of vxlan, geneve, gre`,
		"-- edges --\ne\ne":                                        `3: edge e appears twice`,
		"# nothing":                                                `network.yaml is missing; add it behind a line "-- network.yaml --"`,
	} {
		data := text + "\n"
		switch {
		case text == "# nothing":
		case strings.HasPrefix(text, "--"):
			data += "-- network.yaml --\n"
		default:
			data += files
		}
		_, err := Parse("x.txtar", []byte(data))
		if err == nil {
			t.Errorf("%q: accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), "x.txtar:"+want) && !(text == "# nothing" && strings.Contains(err.Error(), want)) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestAllErrorsAreTold(t *testing.T) {
	_, err := Parse("x.txtar", []byte("ping a z\nbogus\n-- network.yaml --\n-- hosts --\na\n"))
	var lines []int
	for _, one := range err.(ParseErrors) {
		lines = append(lines, one.Line)
	}
	if diff := cmp.Diff([]int{1, 2, 5}, lines); diff != "" {
		t.Errorf("lines with errors: %s\n%v", diff, err)
	}
}

func TestArchive(t *testing.T) {
	got := parseArchive([]byte("c1\nc2\n-- a --\nx\n\n--  b c  --\r\n-- --\n-- d --\ny"))
	want := archive{comment: []byte("c1\nc2\n"), files: []archiveFile{
		{"a", 4, []byte("x\n\n")}, {"b c", 7, []byte("-- --\n")}, {"d", 9, []byte("y")},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(archive{}, archiveFile{})); diff != "" {
		t.Error(diff)
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"  a\tb\r":        {"a", "b"},
		"'a b' c'd e'f":   {"a b", "cd ef"},
		"'it''s' '' x":    {"it's", "", "x"},
		"a#b # c":         {"a#b"},
		"# only":          nil,
		"like='x y' '#1'": {"like=x y", "#1"},
	} {
		got, err := split(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, frame string
		want           bool
	}{
		{"0a..0c", "\x0a\xff\x0c", true},
		{"0a..0c", "\x0a\xff\x0d", false},
		{"0a..0c", "\x0a\xff\x0c\x00", false},
		{"0a..0c*", "\x0a\xff\x0c\x00", true},
		{"0a..0c*", "\x0a\xff", false},
		{".a", "\x3a", true},
		{".a", "\xa3", false},
		{"*", "", true},
	} {
		p, err := parsePattern(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Matches([]byte(test.frame)); got != test.want {
			t.Errorf("%s on %x: %v", test.pattern, test.frame, got)
		}
		if p.String() != test.pattern {
			t.Errorf("%s prints as %s", test.pattern, p)
		}
	}
	for _, bad := range []string{"0", "0g", "**"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ping a b count=3 error=too-big by=10.0.0.1\n! expect b seen.hex\nflows e1 'like=x y'\n" + files))
	f.Add([]byte("tcp a [fd01::9]:9 bytes=2MiB\nlink e1 loss=0.5\ncounters e1 x <= 3\nbind acme/x e1:y\n" + files))
	f.Add([]byte("raw a arp.hex\napply more.yaml\nudp a b:7 size=0\nhttp a b\n" + files))
	f.Add([]byte("leg x fast=0.5 family=6\nstart y http a b rate=1KB\nsweep a to=b\nforge a vtep=e1 key=b kind=gre\nquiet a b\nfinish y\nmark\ntrace a dst=b df\nend\n" + files))
	f.Add([]byte("-- hosts --\n'\n-- hosts --\nx vport=/\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f", data)
		if err == nil {
			for _, step := range steps(s) {
				if step.Op == nil || step.Op.within() <= 0 || step.Line < 1 {
					t.Errorf("%q: %+v", step.Text, step)
				}
			}
			return
		}
		errs, ok := err.(ParseErrors)
		if !ok || len(errs) == 0 {
			t.Fatalf("error %T %v", err, err)
		}
		last := strings.Count(string(data), "\n") + 2
		for _, one := range errs {
			if one.Line < 1 || one.Line > last || one.Problem == "" {
				t.Errorf("line %d of %d: %s", one.Line, last, one)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("0a.b*")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		if p.String() != strings.ToLower(text) {
			t.Errorf("%q prints as %q", text, p)
		}
		if !p.Matches(p.value) {
			t.Errorf("%q does not match its own digits", text)
		}
	})
}
