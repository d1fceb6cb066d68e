package scenario

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseLegs(t *testing.T) {
	s, err := Parse("x.txtar", []byte(`
ping a b
leg one 'it shows this' family=6 fast=0.9
ping a b
leg two
# within
ping b a
mark
end
link e1 down
link e1 up
`+files))
	if err != nil {
		t.Fatal(err)
	}
	type shape struct {
		Name, Text string
		Family     Family
		Fast       float64
		Line       int
		Steps      []string
	}
	var got []shape
	for _, leg := range s.Legs {
		one := shape{Name: leg.Name, Text: leg.Text, Family: leg.Family, Fast: leg.Fast, Line: leg.Line}
		for _, step := range leg.Steps {
			one.Steps = append(one.Steps, step.Text)
		}
		got = append(got, one)
	}
	want := []shape{
		{Line: 2, Steps: []string{"ping a b"}},
		{Name: "one", Text: "it shows this", Family: IPv6, Fast: 0.9, Line: 3, Steps: []string{"ping a b"}},
		{Name: "two", Line: 5, Steps: []string{"ping b a", "mark"}},
		{Line: 10, Steps: []string{"link e1 down", "link e1 up"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseLegErrors(t *testing.T) {
	for text, want := range map[string]string{
		"leg\nping a b":                    `1: name of the leg is missing`,
		"leg x/y\nping a b":                `1: leg name "x/y"; a name is one word without /`,
		"leg x\nping a b\nleg x\nping a b": `3: leg x appears twice`,
		"leg x":                            `1: leg x has no steps`,
		"leg x fast=2\nping a b":           `1: fast=2; it is a share from 0 to 1`,
		"leg x slow=1\nping a b":           `1: unknown option slow=; options here are family=, fast=`,
		"leg x a b\nping a b":              `1: unexpected word "b"`,
		"leg x\nping a 10.1.0.2":           `1: leg x sends nothing for ipv6; add such steps, or family= to the leg`,
		"leg x\nmark":                      `1: leg x sends nothing for ipv4`,
		"leg x family=6\nstart y ping a b family=4\nfinish y": `1: leg x sends nothing for ipv6`,
		"end":                      `1: end without a leg; a leg begins with "leg NAME"`,
		"leg x\nping a b\nend now": `3: unexpected word "now"`,
		"start x http a b":         `1: start x without finish; add finish x in the same leg`,
		"leg l\nstart x http a b\nleg m\nfinish x":     `4: nothing that is called x was started; it begins with "start x STEP", in the same leg`,
		"start x http a b\nstart x http a b\nfinish x": `2: x is started twice`,
		"start x mark\nfinish x":                       `1: mark cannot be started in the background; ping, tcp and http can`,
		"start x ping a b rate=1MB\nfinish x":          `1: rate= of a ping; use interval= and count=`,
		"start x\nfinish x":                            `1: step is missing`,
		"! start x ping a b\nfinish x":                 `1: start cannot be expected to fail`,
		"finish":                                       `1: name is missing`,
		"sweep a":                                      `1: to= is missing; say to whom`,
		"sweep a to=c":                                 `1: to=c; it is a MAC, or one of a, b`,
		"sweep a to=b ethertypes=9-1":                  `1: ethertypes=9-1; it is all, or a range such as`,
		"forge a key=b":                                `1: vtep= is missing; say of which edge`,
		"forge a vtep=e9 key=b":                        `1: unknown edge "e9"; edges are e1, e2`,
		"forge a vtep=e1":                              `1: key= is missing; say whose vport it is to reach`,
		"forge a vtep=e1 key=c":                        `1: key=c; it is a number, TENANT/NAME of a vport, or one of a, b`,
		"forge a vtep=e1 key=16777216":                 `1: key=16777216; it is a number`,
		"forge a vtep=e1 key=1 kind=ipip":              `1: kind=ipip; it is one of vxlan, geneve, gre`,
		"quiet":                                        `1: host is missing`,
		"quiet a c":                                    `1: unknown host "c"; hosts are a, b`,
		"trace a":                                      `1: dst= is missing; say to whom`,
		"trace c dst=b":                                `1: unknown host "c"; it is TENANT/NAME of a vport, or one of a, b`,
		"trace a dst=c":                                `1: unknown host "c"; it is an address, or one of a, b`,
		"trace a dst=b colour=red":                     `1: unknown option colour=; options here are family=, within=, like=, silent, dst=, src=`,
		"traceroute a b via=x":                         `1: via=x: "x" is not valid; it is a comma-separated list`,
		"counters a x == +y":                           `1: value "y"; it is a whole number`,
	} {
		_, err := Parse("x.txtar", []byte(text+"\n"+files))
		if err == nil {
			t.Errorf("%q: accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), "x.txtar:"+want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestNarrowed: which steps a leg does for which family.
func TestNarrowed(t *testing.T) {
	for text, want := range map[string][2]bool{ // for IPv4, IPv6
		"ping a b":                            {true, true},
		"ping a b family=4":                   {true, false},
		"ping a 10.0.0.1":                     {true, false},
		"ping a fd01::9":                      {false, true},
		"tcp a b:9 family=6":                  {false, true},
		"http a 10.0.0.1":                     {true, false},
		"udp a [fd01::9]:7":                   {false, true},
		"traceroute a b":                      {true, true},
		"trace a dst=fd01::9":                 {false, true},
		"sweep a to=b family=4":               {true, false},
		"forge a vtep=e1 key=1":               {true, true},
		"start x ping a b family=6\nfinish x": {false, true},
		"bind a e2":                           {true, true},
	} {
		s, err := Parse("x.txtar", []byte(text+"\n"+files))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range []Family{IPv4, IPv6} {
			if _, ours := narrowed(s.Legs[0].Steps[0].Op, f); ours != want[i] {
				t.Errorf("%s for %v: %t", text, f, ours)
			}
		}
		if _, ours := narrowed(s.Legs[0].Steps[0].Op, Both); !ours {
			t.Errorf("%s is not done outside a leg", text)
		}
	}
}

func TestParseNewSteps(t *testing.T) {
	b := Target{Host: "b"}
	for text, want := range map[string]Op{
		"traceroute a b via=10.1.0.1,fd01::1 within=3s": Traceroute{From: "a", To: b, Via: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1")}, Within: 3 * time.Second},
		"sweep a to=b": Sweep{Host: "a", To: "b", Last: 0xffff, Within: time.Minute},
		"sweep a to=02:00:00:00:00:09 ethertypes=0x800-2049 family=6": Sweep{Host: "a", MAC: [6]byte{2, 0, 0, 0, 0, 9}, First: 0x800, Last: 0x801, Family: IPv6, Within: time.Minute},
		"forge a vtep=e1 key=b": Forge{Host: "a", Edge: "e1", Victim: "b", Kind: VXLAN, Count: 1, Within: 30 * time.Second},
		"forge a vtep=192.0.2.1,2001:db8::1 key=0xff kind=gre count=3":        Forge{Host: "a", VTEPs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, Key: 255, Kind: GRE, Count: 3, Within: 30 * time.Second},
		"forge a vtep=e1 key=acme/x kind=geneve":                              Forge{Host: "a", Edge: "e1", Victim: "acme/x", Kind: Geneve, Count: 1, Within: 30 * time.Second},
		"quiet a b within=1s":                                                 Quiet{Hosts: []string{"a", "b"}, Within: time.Second},
		"trace a dst=b src=10.0.0.1 src-mac=02:00:00:00:00:01 df 'like=to b'": Trace{VPort: "a", To: b, Flags: []string{"--src=10.0.0.1", "--src-mac=02:00:00:00:00:01", "--df"}, Like: "to b", Within: 30 * time.Second},
		"flows e1 fields=dst,src packets=5 min=2":                             Flows{Edge: "e1", Fields: []string{"dst", "src"}, Packets: 5, Min: 2, Max: -1, Within: 30 * time.Second},
		"counters e1 removed == +0":                                           Counters{Of: "e1", Name: "removed", Op: "==", Growth: true, Within: 30 * time.Second},
		"ping a b interval=2ms error=too-big by=10.1.0.1,fd01::1 count=2": Ping{From: "a", To: b, Count: 2, Interval: 2 * time.Millisecond, Within: 30 * time.Second,
			Outcome: Outcome{Errors: kinds[4:5], By: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1")}}},
		"start x http a b rate=1MB bytes=9MB\nfinish x": Start{Name: "x", Rate: 1e6, Op: HTTP{From: "a", To: Target{Host: "b", Port: 80}, Bytes: 9e6, Within: 30 * time.Second}},
		"mark": Mark{},
	} {
		s, err := Parse("x.txtar", []byte(text+"\n"+files))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, s.Legs[0].Steps[0].Op, equateAddrs); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// TestDocumented: docs/scenarios.md has a row for every step, and names every option.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for verb := range operations {
		if !strings.Contains(doc, "\n| `"+verb+" ") && !strings.Contains(doc, "\n| `"+verb+"`") {
			t.Errorf("docs/scenarios.md has no row for %s", verb)
		}
		w := newWords([]string{verb})
		operations[verb](&parser{scenario: &Scenario{}}, w, false)
		for _, option := range w.known {
			if !strings.Contains(doc, option) && verb != "trace" { // whose options are those of weft trace
				t.Errorf("docs/scenarios.md does not name %s of %s", option, verb)
			}
		}
	}
	for _, name := range strings.Split(verbs, ", ") {
		if !strings.Contains(doc, "`"+name) {
			t.Errorf("docs/scenarios.md does not name %s", name)
		}
	}
}
