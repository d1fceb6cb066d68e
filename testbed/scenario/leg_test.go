package scenario_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestLegs: each leg is run for both families unless it says otherwise, with the operations of that family; every packet is counted; a leg that fails keeps no
// other from running.
func TestLegs(t *testing.T) {
	s, l := lab(t, `ping a b
leg first 'what it shows' fast=0.5
ping a b count=5 interval=1ms
ping a 10.1.0.2
ping a fd01::2 count=2
http a b bytes=100KB
trace a dst=b proto=tcp df
leg broken family=6
ping a fd01::99 within=50ms
end
ping b a family=4
leg last
tcp a b:9 bytes=100KB
`)
	var seen recorder
	report, err := scenario.Run(t.Context(), s, l, &seen)
	var stepErr *scenario.StepError
	if !errors.As(err, &stepErr) || stepErr.Step.Text != "ping a fd01::99 within=50ms" || report.OK || report.Error != "" {
		t.Fatalf("error %v, report %+v", err, report)
	}
	if diff := cmp.Diff([]string{"first/ipv4 1/5", "first/ipv6 2/5", "broken/ipv6 3/5", "last/ipv4 4/5", "last/ipv6 5/5"}, seen.begun); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(report.Legs, seen.legs); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, leg := range report.Legs {
		names = append(names, leg.Name)
		broken := leg.Name == "broken/ipv6"
		if leg.OK == broken || (leg.Error == "") == broken || leg.Packets == 0 || leg.FastPath != leg.Packets || leg.Upcalls != 0 || leg.EntriesNow != 3 || leg.Entries != 0 {
			t.Errorf("%+v", leg)
		}
	}
	if diff := cmp.Diff([]string{"first/ipv4", "first/ipv6", "broken/ipv6", "last/ipv4", "last/ipv6"}, names); diff != "" {
		t.Error(diff)
	}
	first, second := report.Legs[0], report.Legs[1]
	if first.Family != scenario.IPv4 || second.Family != scenario.IPv6 || first.FirstPacketUS <= 0 || first.RTTUS <= 0 || first.Text != "what it shows" {
		t.Errorf("%+v, %+v", first, second)
	}
	if last := report.Legs[3]; last.FirstPacketUS <= 0 || last.RTTUS != 0 {
		t.Errorf("a leg without ping: %+v", last)
	}
	for i, dst := range []string{"10.1.0.2", "fd01::2"} {
		want := []string{"--vport t/a --dst " + dst + " --proto=tcp --df", "verdict     forward"}
		if diff := cmp.Diff(want, report.Legs[i].Trace); diff != "" {
			t.Error(diff)
		}
	}
	// Five and one or two pings, there and back; ARP or ND may add to them, and HTTP does.
	if first.Packets < 2*6 || second.Packets < 2*7 {
		t.Errorf("packets %d, %d", first.Packets, second.Packets)
	}
}

// TestFastPath: the share of the fast path is checked, and so is the sum.
func TestFastPath(t *testing.T) {
	s, l := lab(t, "leg slow fast=0.999999\ntcp a b:9 bytes=100KB\n")
	l.slow = 20
	report, err := scenario.Run(t.Context(), s, l, nil)
	if !errors.Is(err, scenario.ErrUnexpected) || !strings.Contains(err.Error(), "test.txtar:1: leg slow: ") || !strings.Contains(err.Error(), "on the fast path, a share of 0.") {
		t.Errorf("slow path: %v", err)
	}
	if leg := report.Legs[0]; leg.Upcalls != 20 || leg.Packets != leg.FastPath+20 {
		t.Errorf("%+v", leg)
	}
}

// countLab is a lab whose accounts are a series of readings; the last stays.
type countLab struct {
	cableLab
	readings []scenario.Accounts
}

func (l *countLab) Account(context.Context) ([]scenario.Accounts, error) {
	now := l.readings[0]
	if len(l.readings) > 1 {
		l.readings = l.readings[1:]
	}
	return []scenario.Accounts{now}, nil
}

// TestSettle: a leg waits for what is under way, and fails when a frame stays unaccounted for.
func TestSettle(t *testing.T) {
	earlier := scenario.Accounts{Edge: "e1", HostFrames: 100, FastPath: 80, Punts: 15, Upcalls: 15, Drops: 4} // one was lost before
	for name, test := range map[string]struct {
		during []scenario.Accounts
		want   string
	}{
		"at once":   {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 88, Punts: 16, Upcalls: 16, Drops: 5}}, ""},
		"late":      {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 80, Punts: 15, Upcalls: 15, Drops: 4}, {Edge: "e1", HostFrames: 110, FastPath: 85, Punts: 15, Upcalls: 15, Drops: 4}, {Edge: "e1", HostFrames: 110, FastPath: 90, Punts: 15, Upcalls: 15, Drops: 4}}, ""},
		"by chance": {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 90, Punts: 15, Upcalls: 15, Drops: 4}, {Edge: "e1", HostFrames: 111, FastPath: 90, Punts: 15, Upcalls: 15, Drops: 4}}, "packets 11 = fast path 10 + upcalls 0 + drops 0 does not hold (-1) after 20s"},
		"too many":  {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 90, Punts: 17, Upcalls: 17, Drops: 4}}, "packets 10 = fast path 10 + upcalls 2 + drops 0 does not hold (+2) after 20s"},
		"in the target": {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 88, Punts: 16, Upcalls: 16, Drops: 4}},
			"(-1) after 20s\nedge e1: between its access ports and its target: hosts sent 10, the target has fast path 8 + punts 1 + drops 0"},
		"on the way": {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 87, Punts: 18, Upcalls: 16, PuntDrops: 1, Drops: 4}},
			"(-1) after 20s\nedge e1: between its target and its agent: punts 3, the agent has upcalls 1 + drops 1"},
		"lost by the target": {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 87, Punts: 18, Upcalls: 16, PuntDrops: 1, Drops: 4, Lossy: true}}, ""},
		"lost before it":     {[]scenario.Accounts{{Edge: "e1", HostFrames: 111, FastPath: 87, Punts: 18, Upcalls: 16, PuntDrops: 1, Drops: 4, Lossy: true}}, "(-1) after 20s"},
		"not enough":         {[]scenario.Accounts{{Edge: "e1", HostFrames: 110, FastPath: 80, Punts: 15, Upcalls: 15, Drops: 4}}, "does not hold (-10) after 20s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := scenario.Parse("test.txtar", []byte("leg x family=4\ntrace t/a dst=10.1.0.2\n"+head))
			if err != nil {
				t.Fatal(err)
			}
			l := &countLab{cableLab: cableLab{Machines: scenario.NewMachines()}, readings: append([]scenario.Accounts{earlier, earlier}, test.during...)}
			begin := time.Now()
			_, err = scenario.Run(t.Context(), s, l, nil)
			switch {
			case test.want == "" && err != nil, test.want != "" && (!errors.Is(err, scenario.ErrUnexpected) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%s: %v, want %q", name, err, test.want)
			case test.want == "" && !test.during[0].Lossy && time.Since(begin) > time.Second:
				t.Errorf("%s: it took %v", name, time.Since(begin))
			}
		})
	}
}

// TestBackground: what is started goes on until finish, and does not end before it.
func TestBackground(t *testing.T) {
	s, l := lab(t, `leg during
start down http a b bytes=200KB
start up tcp b a:9 bytes=100KB rate=1GB
start echoes ping a b count=100 interval=10ms
start down4 http a 10.1.0.2 bytes=200KB
start down6 http a fd01::2 bytes=200KB
ping a b
finish down
finish down4
finish down6
finish echoes
finish up
`)
	if report, err := scenario.Run(t.Context(), s, l, nil); err != nil {
		t.Fatalf("%v; %+v", err, report)
	}
}

// TestBackgroundFails: a started step that fails, or that is over when something was to happen during it, fails the leg; one that the leg never comes to
// finish is ended.
func TestBackgroundFails(t *testing.T) {
	for steps, want := range map[string]string{
		"start early ping a b\nping a b count=50 interval=2ms\nfinish early":                     "test.txtar:4: finish early: not as expected: it was over before finish",
		"start dead http a 10.1.0.9 within=50ms\nfinish dead":                                    "test.txtar:2: start dead http a 10.1.0.9 within=50ms: ",
		"start cut tcp a b:9 bytes=200KB\nlink e1 down\nfinish cut within=100ms":                 "test.txtar:4: finish cut within=100ms: not as expected: it did not end in time",
		"start left http a b bytes=200KB\nping a b error=too-big\nfinish left":                   "test.txtar:3: ping a b error=too-big: ",
		"start slow http a b bytes=9MB rate=1KB within=100ms\nping a b\nfinish slow within=50ms": "test.txtar:4: finish slow within=50ms: ",
	} {
		s, l := lab(t, "leg x family=4\n"+steps+"\n")
		_, err := scenario.Run(t.Context(), s, l, nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", steps, err, want)
		}
	}
}

// TestMark: counters with + count from the leg's beginning, or from the last mark.
func TestMark(t *testing.T) {
	s, l := lab(t, `counters a frames_sent == +0
leg growth family=4
counters a injected == +0
raw a frame.hex count=2
counters a injected == +2
mark
counters a injected == +0
counters e1 removed == +0
raw a frame.hex
counters a injected == +1
counters a injected == 3
ping a b
`)
	if _, err := scenario.Run(t.Context(), s, l, nil); err != nil {
		t.Fatal(err)
	}
}

// TestQuiet: a host that received one frame since the leg began is not quiet, one that received it before is.
func TestQuiet(t *testing.T) {
	s, l := lab(t, "raw a frame.hex\nexpect b like.hex\nleg silence family=4\nping a a\nquiet b a within=20ms\nleg noise family=4\nping a a\nraw a frame.hex\nquiet b within=20ms\n")
	report, err := scenario.Run(t.Context(), s, l, nil)
	if len(report.Legs) != 2 || !report.Legs[0].OK || report.Legs[1].OK || !strings.Contains(err.Error(), "b received 1 frames since the leg began") {
		t.Errorf("%v; %+v", err, report.Legs)
	}
}

// TestSweep: every EtherType, to the host and to all.
func TestSweep(t *testing.T) {
	s, l := lab(t, "sweep a to=b ethertypes=0x8800-0x88ff\nsweep a to=02:00:00:00:00:77 ethertypes=0x9000-0x9000\n")
	tap := l.Host("b").Tap(1000)
	defer tap.Close()
	if _, err := scenario.Run(t.Context(), s, l, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	want := map[string]int{"\x02\x00\x00\x00\x00\x77\x02\x00\x00\x00\x00\x0a\x90\x00": 1, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0a\x90\x00": 1}
	for low := range 256 {
		for _, dst := range []string{"\x02\x00\x00\x00\x00\x0b", "\xff\xff\xff\xff\xff\xff"} {
			want[dst+"\x02\x00\x00\x00\x00\x0a\x88"+string([]byte{byte(low)})] = 1
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	if _, err := tap.Wait(ctx, func([]byte) bool { return len(tap.Frames()) >= len(want) }); err != nil {
		t.Fatal(err)
	}
	for _, frame := range tap.Frames() {
		if len(frame) != 60 {
			t.Errorf("frame of %d bytes", len(frame))
		}
		got[string(frame[:14])]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestForge: tunnel packets with the victim's key to every tunnel address of the edge: to the gateway's MAC and to all, of both families.
func TestForge(t *testing.T) {
	for kind, ports := range map[string]string{"vxlan": "\x12\xb5", "geneve": "\x17\xc1", "gre": ""} {
		s, l := lab(t, "forge a vtep=e1 key=b kind="+kind+" count=2\nforge a vtep=192.0.2.9 key=7 kind="+kind+" family=6\n"+strings.Replace(head, "ip=10.1.0.1/24,fd01::1/64", "ip=10.1.0.1/24,fd01::1/64 gw=10.1.0.2,fd01::2", 1))
		tap := l.Host("b").Tap(1000)
		defer tap.Close()
		if _, err := scenario.Run(t.Context(), s, l, nil); err != nil {
			t.Fatal(err)
		}
		const want = 2*2*2*2 + 2 // count, VTEPs, inner families, MACs; then MACs
		var forged [][]byte
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		_, err := tap.Wait(ctx, func(frame []byte) bool {
			if mac := [6]byte(frame[6:12]); mac == l.Host("a").MAC() && tunnelled(frame, kind, ports) {
				forged = append(forged, frame)
			}
			return len(forged) == want
		})
		if err != nil {
			t.Errorf("%s: %d of %d forged frames: %v", kind, len(forged), want, err)
		}
	}
}

// tunnelled tells whether a frame is a tunnel packet of the kind with one of the keys of TestForge and a frame inside.
func tunnelled(frame []byte, kind, port string) bool {
	l4, proto := 14+20, frame[14+9]
	if frame[12] == 0x86 {
		l4, proto = 14+40, frame[14+6]
	}
	var key []byte
	switch {
	case kind == "gre" && proto == 47:
		key = frame[l4+5 : l4+8]
	case proto == 17 && string(frame[l4+2:l4+4]) == port:
		key = frame[l4+12 : l4+15]
	default:
		return false
	}
	text := fmt.Sprintf("%x", key)
	return (text == "000abc" || text == "000007") && strings.Contains(string(frame[l4:]), "\x02\x00\x00\x00\x00\x0a\x08\x00") || strings.Contains(string(frame[l4:]), "\x02\x00\x00\x00\x00\x0a\x86\xdd")
}

func TestFlowFields(t *testing.T) {
	for step, ok := range map[string]bool{
		"flows e1 fields=dst,vport,ether_type":                     true,
		"flows e1 fields=dst,vport within=50ms":                    false,
		"flows e1 packets=3":                                       true,
		"flows e1 'like=ether_type=0x0800 *10.1.0.0/24*t/b' min=2": true,
		"flows e1 'like=10.1.0.0/24*0x0800' within=50ms":           false,
		"flows e1 like=nothing max=0":                              true,
		"flows e1 packets=1000000 within=50ms":                     false,
		"trace a dst=10.1.0.2 'like=verdict     forward'":          true,
		"trace t/b dst=b 'like=--vport t/b'":                       true,
		"trace a dst=b like=drop":                                  false,
		"forge a vtep=e9 key=b":                                    false,
		"forge a vtep=e1 key=t/nobody":                             false,
		"traceroute a b":                                           true,
		"traceroute a b via=10.1.0.9":                              false,
		"traceroute a b via=fd01::9 family=4":                      true,
	} {
		s, l := lab(t, step+"\n")
		if _, err := scenario.Run(t.Context(), s, l, nil); (err == nil) != ok {
			t.Errorf("%s: %v, want ok %t", step, err, ok)
		}
	}
}

// TestReportJSON: an empty run is an object with empty lists, not null.
func TestReportJSON(t *testing.T) {
	s, l := lab(t, "# nothing\n")
	report, err := scenario.Run(t.Context(), s, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(report)
	if want := `{"ok":true,"target":"","legs":[],"figures":{}}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

// TestCancelled: a run that is cancelled ends with the step under way, and says so.
func TestCancelled(t *testing.T) {
	s, l := lab(t, "leg one\nexpect b like.hex within=1m\nping a b\nleg two\nping a b\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	report, err := scenario.Run(ctx, s, l, &stopper{stop: func() { cancel(enough) }})
	if !errors.Is(err, enough) || len(report.Legs) != 1 || report.OK {
		t.Errorf("%v; %+v", err, report)
	}
}

// stopper ends a run when its first leg has begun.
type stopper struct {
	recorder
	stop func()
}

func (s *stopper) LegBegins(string, string, int, int) { s.stop() }

var _ scenario.Machine = (*host.Host)(nil)

// TestAddress: the first address of a family, or the lab's failure.
func TestAddress(t *testing.T) {
	_, l := lab(t, "# nothing\n")
	if addr, err := l.Address("b", scenario.IPv6); err != nil || addr != netip.MustParseAddr("fd01::2") {
		t.Errorf("%v, %v", addr, err)
	}
	for _, name := range []string{"nobody", "b"} {
		if _, err := l.Address(name, scenario.Both); !errors.Is(err, scenario.ErrLab) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
