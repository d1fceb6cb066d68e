package telemetry

import (
	"strings"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var t0 = time.Unix(1e9, 0)

func text(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: s}}
}
func uintv(n uint64) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: n}}
}
func ietf(s string) *gpb.TypedValue {
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(s)}}
}

func newTestTable() *table {
	tb := newTable(3 * time.Second)
	tb.begin(map[string]uint16{"p1": 1, "p2": 2}, true)
	return tb
}

func (t *table) tell(at time.Duration, stamp int64, updates ...*gpb.Update) []Link {
	t.apply(&gpb.Notification{Timestamp: stamp, Update: updates}, t0.Add(at))
	return t.sweep(t0.Add(at))
}

func up(p *gpb.Path, v *gpb.TypedValue) *gpb.Update { return &gpb.Update{Path: p, Val: v} }

func oper(name string) *gpb.Path  { return path(name, "state", "oper-status") }
func admin(name string) *gpb.Path { return path(name, "state", "admin-status") }
func inOctets(name string) *gpb.Path {
	return path(name, "state", "counters", "in-octets")
}

// TestForms: encodings and prefixes of all kinds say the same.
func TestForms(t *testing.T) {
	root := func(names ...string) *gpb.Path {
		p := &gpb.Path{}
		for _, n := range names {
			p.Elem = append(p.Elem, &gpb.PathElem{Name: n})
		}
		return p
	}
	for name, n := range map[string]*gpb.Notification{
		"leaves":  {Update: []*gpb.Update{up(oper("p1"), text("UP")), up(inOctets("p1"), uintv(1<<60+1)), up(path("p1", "ethernet", "state", "port-speed"), text("SPEED_25GB"))}},
		"prefix":  {Prefix: path("p1", "state"), Update: []*gpb.Update{up(root("oper-status"), ietf(`"UP"`)), up(root("counters", "in-octets"), ietf(`"1152921504606846977"`))}},
		"modules": {Update: []*gpb.Update{up(root("openconfig-interfaces:interfaces"), ietf(`{"openconfig-interfaces:interface":[{"name":"p1","state":{"oper-status":"openconfig-interfaces:UP","counters":{"in-octets":"1152921504606846977"}}}]}`))}},
		"element": {Update: []*gpb.Update{up(path("p1"), ietf(`{"openconfig-interfaces:state":{"oper-status":"UP","counters":{"in-octets":1152921504606846977}}}`))}},
		"root":    {Update: []*gpb.Update{up(nil, ietf(`{"interfaces":{"interface":[{"name":"p1","state":{"oper-status":"UP","counters":{"in-octets":"1152921504606846977"}}}]}}`))}},
		"state":   {Atomic: true, Prefix: path("p1"), Update: []*gpb.Update{up(root("state"), ietf(`{"oper-status":"UP","counters":{"in-octets":"1152921504606846977"}}`))}},
	} {
		tb := newTestTable()
		tb.apply(n, t0)
		links := tb.sweep(t0)
		got := tb.all()[0]
		if len(links) != 1 || links[0] != (Link{"p1", 1, Up}) || got.Counters[InOctets] != (Count{1<<60 + 1, true}) || tb.counts.Malformed+tb.counts.OutOfOrder != 0 {
			t.Errorf("%s: %v, %+v, %+v", name, links, got, tb.counts)
		}
		if name == "leaves" {
			tb.apply(&gpb.Notification{Update: []*gpb.Update{up(path("p1", "ethernet", "state", "negotiated-port-speed"), text("openconfig-if-ethernet:SPEED_10GB"))}}, t0)
			if agreed := tb.all()[0].Speed; agreed != 10e9 {
				t.Errorf("a link whose ends agreed on less: %d", agreed)
			}
		}
		if name == "leaves" && got.Speed != 25e9 {
			t.Errorf("speed %d", got.Speed)
		}
	}
}

func TestWrongTypes(t *testing.T) {
	for name, u := range map[string]*gpb.Update{
		"status a number":       up(oper("p1"), uintv(1)),
		"status too long":       up(oper("p1"), text("UPUPUPUPUPUPUPUPUPUPUPUPUPUPUPUPUP")),
		"status of odd runes":   up(oper("p1"), text("U\x1bP")),
		"counter a text":        up(inOctets("p1"), text("many")),
		"counter negative":      up(inOctets("p1"), &gpb.TypedValue{Value: &gpb.TypedValue_IntVal{IntVal: -1}}),
		"counter not whole":     up(inOctets("p1"), &gpb.TypedValue{Value: &gpb.TypedValue_DoubleVal{DoubleVal: 1.5}}),
		"counter beyond":        up(inOctets("p1"), ietf(`"18446744073709551616"`)),
		"no value":              up(oper("p1"), nil),
		"no JSON":               up(oper("p1"), ietf(`{`)),
		"speed of another kind": up(path("p1", "ethernet", "state", "port-speed"), text("FAST")),
		"bytes":                 up(oper("p1"), &gpb.TypedValue{Value: &gpb.TypedValue_BytesVal{BytesVal: []byte("UP")}}),
	} {
		tb := newTestTable()
		tb.tell(0, 1, u)
		if got := tb.all()[0]; tb.counts.Malformed != 1 || got.Oper != "" || got.Counters[InOctets].Known || got.Speed != 0 || !got.Stale {
			t.Errorf("%s: %+v, %+v", name, tb.counts, got)
		}
	}
	tb := newTestTable()
	tb.tell(0, 1, up(oper("p9"), text("UP")), up(path("p1", "state", "mtu"), uintv(9000)), up(path("p1", "subinterfaces"), ietf(`[1,{"a":[]}]`)))
	if tb.counts.Foreign != 3 && tb.counts.Foreign != 2 || len(tb.of) != 2 {
		t.Errorf("%+v, %d interfaces", tb.counts, len(tb.of))
	}
}

func TestOrder(t *testing.T) {
	tb := newTestTable()
	tb.tell(0, 100, up(oper("p1"), text("UP")))
	if links := tb.tell(time.Second, 99, up(oper("p1"), text("DOWN"))); len(links) != 0 || tb.counts.OutOfOrder != 1 {
		t.Errorf("an older one was taken: %v, %+v", links, tb.counts)
	}
	if links := tb.tell(time.Second, 100, up(oper("p1"), text("DOWN"))); len(links) != 1 {
		t.Errorf("one of the same time was not: %v", links)
	}
	if links := tb.tell(2*time.Second, 0, up(oper("p1"), text("UP"))); len(links) != 1 {
		t.Errorf("one without a time was not taken: %v", links)
	}
	// The target's clock was set back: what it says is not taken until what it said is stale.
	if links := tb.tell(4*time.Second, 50, up(oper("p1"), text("DOWN"))); len(links) != 0 {
		t.Errorf("%v", links)
	}
	if links := tb.tell(5*time.Second, 51, up(oper("p1"), text("DOWN"))); len(links) != 1 || links[0].State != Down {
		t.Errorf("%v", links)
	}
	tb.begin(map[string]uint16{"p1": 1}, true) // a new subscription may have another clock
	if tb.tell(6*time.Second, 7, up(oper("p1"), text("UP"))); tb.all()[0].Oper != "UP" || len(tb.of) != 1 {
		t.Errorf("%+v", tb.all())
	}
}

func TestStale(t *testing.T) {
	tb := newTestTable()
	tb.tell(0, 1, up(oper("p1"), text("DOWN")))
	if links := tb.sweep(t0.Add(2 * time.Second)); len(links) != 0 {
		t.Errorf("too early: %v", links)
	}
	// Counters alone say nothing of a status that is sampled as well.
	tb.apply(&gpb.Notification{Timestamp: 2, Update: []*gpb.Update{up(inOctets("p1"), uintv(1))}}, t0.Add(2*time.Second))
	links := tb.sweep(t0.Add(3 * time.Second))
	if len(links) != 1 || links[0].State != Unknown || !tb.all()[0].Stale {
		t.Errorf("%v", links)
	}
	if links := tb.tell(4*time.Second, 3, up(oper("p1"), text("DOWN"))); len(links) != 1 || links[0].State != Down || tb.all()[0].Stale {
		t.Errorf("%v", links)
	}
	tb.begin(map[string]uint16{"p1": 1}, false)
	tb.tell(6*time.Second, 4, up(inOctets("p1"), uintv(1)))
	if links := tb.sweep(t0.Add(8 * time.Second)); len(links) != 0 {
		t.Errorf("of changes only, what else comes shows that the target is there: %v", links)
	}
}

func TestStatuses(t *testing.T) {
	for _, tc := range []struct {
		admin, oper string
		want        State
	}{
		{"UP", "UP", Up}, {"", "UP", Up}, {"DOWN", "UP", Down}, {"UP", "DOWN", Down}, {"", "LOWER_LAYER_DOWN", Down}, {"UP", "NOT_PRESENT", Down}, {"UP", "DORMANT", Down},
		{"UP", "UNKNOWN", Unknown}, {"UP", "", Unknown}, {"DOWN", "UNKNOWN", Down}, {"UP", "SIDEWAYS", Unknown},
	} {
		e := &entry{Interface: Interface{Admin: tc.admin, Oper: tc.oper}}
		if got := e.told(true); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestDeletes(t *testing.T) {
	for name, n := range map[string]*gpb.Notification{
		"leaf":      {Delete: []*gpb.Path{oper("p1")}},
		"container": {Delete: []*gpb.Path{path("p1", "state")}},
		"interface": {Delete: []*gpb.Path{path("p1")}},
		"all":       {Delete: []*gpb.Path{path("*")}},
		"root":      {Delete: []*gpb.Path{{}}},
		"prefix":    {Prefix: path("p1"), Delete: []*gpb.Path{{Elem: []*gpb.PathElem{{Name: "state"}}}}},
		"atomic":    {Atomic: true, Prefix: path("p1", "state"), Update: []*gpb.Update{up(&gpb.Path{Elem: []*gpb.PathElem{{Name: "admin-status"}}}, text("UP"))}},
	} {
		tb := newTestTable()
		tb.tell(0, 1, up(oper("p1"), text("DOWN")), up(inOctets("p1"), uintv(100)))
		n.Timestamp = 2
		tb.apply(n, t0.Add(time.Second))
		if links := tb.sweep(t0.Add(time.Second)); len(links) != 1 || links[0].State != Unknown {
			t.Errorf("%s: %v", name, links)
		}
		tb.tell(time.Second, 3, up(inOctets("p1"), uintv(7)))
		if got := tb.all()[0].Counters[InOctets].Value; got != 107 {
			t.Errorf("%s: the counter that came back is at %d", name, got)
		}
	}
	tb := newTestTable()
	tb.tell(0, 5, up(oper("p1"), text("DOWN")))
	tb.apply(&gpb.Notification{Timestamp: 4, Delete: []*gpb.Path{oper("p1"), path("p2", "state", "oper-status"), {Elem: []*gpb.PathElem{{Name: "system"}}}}}, t0)
	if tb.all()[0].Oper != "DOWN" {
		t.Error("an older delete was taken")
	}
}

func TestRates(t *testing.T) {
	tb := newTestTable()
	second := time.Second.Nanoseconds()
	tb.tell(0, second, up(inOctets("p1"), uintv(1000)))
	tb.tell(time.Second, 3*second, up(inOctets("p1"), uintv(3000)))
	if got := tb.all()[0].Rates.InBits; got != 8000 {
		t.Errorf("%v bit/s by the target's clock, want 8000", got)
	}
	tb.tell(2*time.Second, 4*second, up(inOctets("p1"), uintv(500)))
	got := tb.all()[0]
	if got.Rates.InBits != 4000 || got.Resets != 1 || got.Counters[InOctets].Value != 3500 {
		t.Errorf("after a reset: %+v", got)
	}
}

func TestSpeed(t *testing.T) {
	for s, want := range map[string]uint64{"SPEED_10MB": 10e6, "openconfig-if-ethernet:SPEED_2500MB": 2.5e9, "SPEED_800GB": 800e9, "SPEED_UNKNOWN": 0} {
		if got, ok := speed(s); !ok || got != want {
			t.Errorf("%s: %d, %t", s, got, ok)
		}
	}
}

// FuzzApply: whatever a target sends, nothing breaks, and nothing but what was asked for is kept.
func FuzzApply(f *testing.F) {
	for _, n := range []*gpb.Notification{
		{Timestamp: 1, Update: []*gpb.Update{up(oper("p1"), text("UP"))}},
		{Timestamp: -1, Atomic: true, Prefix: path("*"), Delete: []*gpb.Path{{}, nil, path("")}},
		{Timestamp: 1 << 62, Update: []*gpb.Update{up(nil, ietf(`{"interfaces":{"interface":[{"name":"p1","state":{"counters":{"in-octets":"1"}}},1,null,{"name":5}]}}`))}},
		{Update: []*gpb.Update{{}, nil, up(inOctets("p1"), &gpb.TypedValue{Value: &gpb.TypedValue_DoubleVal{DoubleVal: 1e300}})}},
		{Update: []*gpb.Update{up(inOctets("p1"), &gpb.TypedValue{Value: &gpb.TypedValue_LeaflistVal{}})}},
	} {
		b, err := proto.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, int64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, after int64) {
		n := &gpb.Notification{}
		if proto.Unmarshal(b, n) != nil && prototext.Unmarshal(b, n) != nil {
			return
		}
		tb := newTestTable()
		tb.tell(0, 10, up(oper("p1"), text("UP")), up(inOctets("p1"), uintv(10)))
		tb.apply(n, t0.Add(time.Duration(after)))
		tb.sweep(t0.Add(time.Duration(after)))
		tb.apply(n, t0.Add(time.Duration(after)))
		if len(tb.of) != 2 {
			t.Errorf("%d interfaces", len(tb.of))
		}
		for _, i := range tb.all() {
			if len(i.Oper) > maxWord || len(i.Admin) > maxWord {
				t.Errorf("%+v", i)
			}
		}
	})
}

// TestLeft: a link that was down is not down any more when its interface is not asked for, or has another port.
func TestLeft(t *testing.T) {
	for name, ports := range map[string]map[string]uint16{"gone": {"p2": 2}, "another port": {"p1": 7, "p2": 2}} {
		tb := newTestTable()
		tb.tell(0, 1, up(oper("p1"), text("DOWN")), up(oper("p2"), text("UP")))
		tb.begin(ports, true)
		if got := tb.sweep(t0); len(got) != 1 || got[0] != (Link{"p1", 1, Unknown}) {
			t.Errorf("%s: %v", name, got)
		}
		if got := tb.sweep(t0); len(got) != 0 {
			t.Errorf("%s, once more: %v", name, got)
		}
	}
}

// TestClockSetBack: a target whose clock was wrong has rates again with the second sample after it was set right.
func TestClockSetBack(t *testing.T) {
	tb := newTestTable()
	far := t0.AddDate(100, 0, 0).UnixNano()
	tb.tell(0, far, up(inOctets("p1"), uintv(0)))
	at := 5 * time.Second // what was told before is stale: the stamp does not count
	tb.tell(at, t0.Add(at).UnixNano(), up(inOctets("p1"), uintv(1000)))
	tb.tell(at+time.Second, t0.Add(at+time.Second).UnixNano(), up(inOctets("p1"), uintv(2000)))
	if got := tb.all()[0].Rates.InBits; got != 8000 {
		t.Errorf("%v bits a second, want 8000; %+v", got, tb.counts)
	}
}

// TestOldAdmin: that an interface was disabled once does not hold if the target tells how it is since, and never again whether it is enabled.
func TestOldAdmin(t *testing.T) {
	tb := newTestTable()
	if got := tb.tell(0, 1, up(admin("p1"), text("DOWN")), up(oper("p1"), text("DOWN"))); len(got) != 1 || got[0].State != Down {
		t.Fatal(got)
	}
	tb.tell(2*time.Second, 2, up(oper("p1"), text("UP")))
	if got := tb.tell(4*time.Second, 3, up(oper("p1"), text("UP"))); len(got) != 1 || got[0].State != Up {
		t.Error(got)
	}
}

// TestShown: what a target says of itself is short, and nothing that a terminal would act on.
func TestShown(t *testing.T) {
	if got := shown("0.7.0\x1b[2J"+strings.Repeat("x", 1<<20), 12); got != "0.7.0\uFFFD[2Jxxx…" {
		t.Errorf("%q", got)
	}
}
