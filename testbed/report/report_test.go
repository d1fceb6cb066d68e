package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/testbed/scenario"
)

// reports is a run of three legs, one of which failed.
func sample() (*scenario.Scenario, scenario.Report) {
	s := &scenario.Scenario{Name: "demo.txtar", Legs: []scenario.Leg{{Name: "bridge-across-edges"}, {Name: "isolation"}, {Name: "trace"}}}
	legs := []scenario.LegResult{
		{Name: "bridge-across-edges/ipv4", Family: 4, OK: true, Packets: 123456, FastPath: 123450, Upcalls: 6, Entries: 4, EntriesNow: 9, FirstPacketUS: 1234.5, RTTUS: 84.2, TookMS: 812},
		{Name: "isolation/ipv6", Family: 6, Packets: 20, FastPath: 10, Upcalls: 6, Drops: 4, TookMS: 12345.6,
			Error: "demo.txtar:20: quiet globex-app1: not as expected: globex-app1 received 3 frames since the leg began, want none"},
		{Name: "trace/ipv4", Family: 4, OK: true, Packets: 1, FastPath: 1, RTTUS: 9.1234, Trace: []string{"verdict     forward to globex/web", "    packet" + strings.Repeat(" field=value", 9)}},
	}
	return s, scenario.Report{Target: "softswitch", Legs: legs, Figures: map[string]float64{"demo_ready": 1.23456, "agent_rss": 42}}
}

// print prints the sample as a run would.
func printed(style Style) string {
	s, r := sample()
	var b bytes.Buffer
	p := NewPrinter(&b, s, style)
	p.StepEnds(scenario.Result{Step: scenario.Step{Line: 3, Text: "ping a b"}, Took: 1500000, Lines: []string{"shown"}})
	for i, leg := range r.Legs {
		p.LegBegins(leg.Name, "what it shows", i+1, len(r.Legs))
		p.StepEnds(scenario.Result{Step: scenario.Step{Line: 9, Text: "within a leg"}})
		p.LegEnds(leg)
	}
	p.Finish(r)
	return b.String()
}

// TestPlain: what goes to files has no control characters, and is this.
func TestPlain(t *testing.T) {
	want := `ok   line 3: ping a b 1.50 ms
       shown
     leg                   IP  packets   fast upcalls entries   first  steady
     what it shows
ok   bridge-across-edges IPv4  123,456 99.9 %       6       4 1.23 ms   84 µs
FAIL isolation           IPv6       20 50.0 %       6       0       -       -
     demo.txtar:20: quiet globex-app1: not as expected: globex-app1 received 3
     frames since the leg began, want none
ok   trace               IPv4        1  100 %       0       0       - 9.12 µs

Packets: frames that hosts sent. Fast path: the share of them that P4 entries
forwarded alone. Upcalls: those that an agent decided. Entries: flow entries
that it installed. First, steady: the round trip of the leg's first packet, and
the median of the later pings.

weft trace, in leg trace/ipv4
  verdict     forward to globex/web
      packet field=value field=value field=value field=value field=value
          field=value field=value field=value field=value

agent_rss                42 MB
demo_ready               1.235 s

FAILED: 2 of 3 legs held; 123,477 packets: 99.9 % on the fast path, 12 upcalls,
4 dropped (target softswitch)
To look closer, run it again with --pcap DIR (what was on each cable) or
--verbose (what agents and targets log); docs/scenarios.md has more under "When
a leg fails".
`
	got := printed(Style{})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}
	if strings.ContainsAny(got, "\r\x1b") {
		t.Errorf("control characters in %q", got)
	}
}

// TestWidth: no line is longer than the terminal.
func TestWidth(t *testing.T) {
	for _, width := range []int{0, 20, 60, 80, 100, 120, 200} {
		style := Style{Width: width}
		for line := range strings.SplitSeq(printed(style), "\n") {
			if n := utf8.RuneCountInString(line); n > style.width() {
				t.Errorf("width %d: line of %d: %s", width, n, line)
			}
		}
	}
}

func TestLive(t *testing.T) {
	got := printed(Style{Width: 80, Live: true, Color: true})
	for _, part := range []string{"\x1b[2mwhat it shows\x1b[0m", "\x1b[2m   … bridge-across-edges/ipv4, leg 1 of 3\x1b[0m\r\x1b[K", red + failed + plain, green + ok + plain} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
}

func TestFailuresAreTold(t *testing.T) {
	got := printed(Style{})
	for _, part := range []string{"demo.txtar:20: quiet globex-app1: not as expected", "FAILED: 2 of 3 legs held; 123,477 packets: 99.9 % on the fast path, 12 upcalls, 4 dropped (target softswitch)"} {
		if !strings.Contains(strings.Join(strings.Fields(got), " "), part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
}

// TestJSON: the object that is promised, in one line.
func TestJSON(t *testing.T) {
	_, r := sample()
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 1 || !strings.HasSuffix(b.String(), "\n") {
		t.Errorf("%d lines", n)
	}
	var got struct {
		OK      *bool
		Target  string
		Legs    []map[string]any
		Figures map[string]float64
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.OK == nil || *got.OK || got.Target != "softswitch" || got.Figures["demo_ready"] != 1.23456 || len(got.Legs) != 3 {
		t.Errorf("%+v", got)
	}
	first := map[string]any{}
	for _, name := range []string{"name", "ok", "packets", "fast_path", "upcalls", "entries", "first_packet_us", "rtt_us", "error"} {
		first[name] = got.Legs[0][name]
	}
	want := map[string]any{"name": "bridge-across-edges/ipv4", "ok": true, "packets": 123456., "fast_path": 123450., "upcalls": 6., "entries": 4.,
		"first_packet_us": 1234.5, "rtt_us": 84.2, "error": ""}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	if err := JSON(broken{}, r); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestNumbers(t *testing.T) {
	for us, want := range map[float64]string{0: "-", 0.5: "0.50 µs", 9.99: "9.99 µs", 9.999: "10 µs", 999: "999 µs", 999.6: "1.00 ms", 9994: "9.99 ms",
		9996: "10.0 ms", 99.96e3: "100 ms", 999.6e3: "1.0 s", 61.2e6: "61.2 s"} {
		if got := micros(us); got != want {
			t.Errorf("%v µs: %q, want %q", us, got, want)
		}
	}
	for r, want := range map[[2]uint64]string{{0, 0}: "-", {10, 10}: "100 %", {100000, 99999}: "99.9 %", {3, 1}: "33.3 %", {5, 0}: "0.0 %"} {
		if got := share(scenario.LegResult{Packets: r[0], FastPath: r[1]}); got != want {
			t.Errorf("%v: %q, want %q", r, got, want)
		}
	}
	for v, want := range map[float64]string{3: "3", 1.23456: "1.235", 123456: "123456"} {
		if got := figure(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"a few words that go on": {"a few", "words", "that go", "on"},
		"nospaceatallhere":       {"nospaceat", "allhere"},
		"two\nlines\n":           {"two", "lines"},
		"":                       {""},
	} {
		if diff := cmp.Diff(want, wrap(text, 9)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	if got := cut("αβγδε", 4); got != "αβγ…" {
		t.Errorf("cut: %q", got)
	}
}

// TestShortNames: the column of names has its header in full, however short the names are.
func TestShortNames(t *testing.T) {
	var b bytes.Buffer
	p := NewPrinter(&b, &scenario.Scenario{Name: "up.txtar", Legs: []scenario.Leg{{Name: "up"}}}, Style{})
	p.LegBegins("up/ipv4", "", 1, 1)
	p.LegEnds(scenario.LegResult{Name: "up/ipv4", Family: 4, OK: true})
	head, row, _ := strings.Cut(b.String(), "\n")
	if !strings.HasPrefix(head, "     leg   IP ") || !strings.HasPrefix(row, "ok   up  IPv4 ") {
		t.Errorf("%s\n%s", head, row)
	}
}
