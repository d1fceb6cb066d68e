package stf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// probe loads the softswitch's test program.
func probe(t *testing.T, log *bytes.Buffer) *Runner {
	t.Helper()
	program, err := os.ReadFile("../testdata/probe.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../testdata/probe.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &configv1.P4Info{}
	if err := prototext.Unmarshal(text, info); err != nil {
		t.Fatal(err)
	}
	r, err := New(program, Options{P4Info: info, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func runText(t *testing.T, text string) error {
	t.Helper()
	s, err := Parse("test.stf", text)
	if err != nil {
		return err
	}
	return probe(t, &bytes.Buffer{}).Run(s)
}

func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.stf")
	if err != nil || len(paths) < 2 {
		t.Fatalf("scripts %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := runText(t, string(text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLog: what statements read goes to the log.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	s, err := Parse("x", "register_write last 3 9\nregister_read last 3\ncounter_write port_counter 1 2 3\ncounter_read port_counter 1\n"+
		"meter_set_rates port_meter 2 0.000005:4 0.00002:5\nmeter_get_rates port_meter 2\nmirroring_add 3 4\nmirroring_get 3\n"+
		"setdefault mac forward(port:2)\npacket 1 010203040506 010203040506 0102")
	if err != nil {
		t.Fatal(err)
	}
	if err := probe(t, &log).Run(s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"register ingress.last[3]: 9", "counter ingress.port_counter[1]: 2 packets, 3 bytes",
		"5/s burst 4, peak 20/s burst 5", "session 3: [{4 0}]", "out: port 2: 0102030405060102030405060102"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, &log)
		}
	}
}

// TestFailures: a test that ought to fail does, and says where.
func TestFailures(t *testing.T) {
	const entry = "setdefault mac forward(port:2)\npacket 1 010203040506 010203040506 0102 aa\n"
	for _, tc := range []struct {
		name, text, want string
		ran              bool // ErrFailed, not a bad statement
	}{
		{"none came", "packet 1 00\nexpect 2 00", "test.stf:2: port 2: packet 1 of 1 did not come", true},
		{"too many", entry + "packet 2 01", "test.stf:2: port 2: a packet more than expected (0)\n    received 010203040506", true},
		{"digit", entry + "expect 2 0102030405060102030405070102", "test.stf:3: port 2, packet 1: digit 23 differs", true},
		{"too long", entry + "expect 2 010203040506 010203040506 0102 $", "too long: 30 digits, want 28", true},
		{"too short", entry + "expect 2 010203040506 010203040506 0102 aa bb", "too short: 30 digits, want 32", true},
		{"counter", entry + "expect 2\ncheck_counter port_counter(1) packets > 1", "the counter is 1 packets, want > 1", true},
		{"port", "packet 70000 00", "port: 70000 is out of range", false},
		{"unknown", "frob 1", `test.stf:1: no such statement: "frob"`, false},
		{"data", "packet 1 0g", "'G' at digit 1", false},
		{"half a byte", "packet 1 012", "whole bytes", false},
		{"arguments", "mirroring_add 1", "1 arguments, want 2 to 2", false},
		{"table", "add nope x:1 a()", `no table "nope"; there are`, false},
		{"action", "add mac ethernet.dst:1 nope()", `table ingress.mac: no action "nope"`, false},
		{"ambiguous", "add c ethernet.dst:1 nope()", `table "c" is ambiguous`, false},
		{"parameter", "add mac ethernet.dst:1 forward(prt:1)", `no parameter "prt"`, false},
		{"no parameter", "add mac ethernet.dst:1 forward()", "parameter port missing", false},
		{"key", "add mac ethernet.dts:1 forward(port:1)", `no key field "ethernet.dts"`, false},
		{"value", "add mac ethernet.dst:0xx forward(port:1)", `"0xx" is not a number`, false},
		{"width", "add mac ethernet.dst:0x1000000000000 forward(port:1)", "value of 49 bits, field of 48", false},
		{"twice", "add mac ethernet.dst:1 forward(port:1)\nadd mac ethernet.dst:1 forward(port:2)", "test.stf:2: table ingress.mac: entry already exists", false},
		{"tail", "add mac ethernet.dst:1 forward(port:1) x", "want = NAME", false},
		{"default with key", "setdefault mac ethernet.dst:1 forward(port:1)", "the default entry has no key", false},
		{"remove", "remove x", `no entry was added under the name "x"`, false},
		{"group", "mc_node_associate 1 0", "no group 1", false},
		{"node", "mc_mgrp_create 1\nmc_node_associate 1 0", "no node 0", false},
		{"rate", "meter_set_rates port_meter 0 x:1 1:2", "units per microsecond", false},
		{"register", "register_write last 8 1", "index out of range", false},
		{"comparison", "check_counter port_counter(1) hits == 1", "want packets or bytes", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := runText(t, tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, ErrFailed) != tc.ran {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			var at *Error
			if !tc.ran && !errors.As(err, &at) {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	key := func(kind pipeline.MatchKind) pipeline.KeyInfo {
		return pipeline.KeyInfo{Name: "k", Kind: kind, Width: 16}
	}
	for _, tc := range []struct {
		kind        pipeline.MatchKind
		text        string
		value, mask string
		high        string
		prefix      int
		any         bool
	}{
		{pipeline.Exact, "", "\x00", "", "", 0, false},
		{pipeline.Exact, "0x0102", "\x01\x02", "", "", 0, false},
		{pipeline.Ternary, "", "", "", "", 0, true},
		{pipeline.Ternary, "0x25**", "\x25\x00", "\xff\x00", "", 0, false},
		{pipeline.Ternary, "0x**25", "\x25", "\xff", "", 0, false},
		{pipeline.Ternary, "0b1*1", "\x05", "\x05", "", 0, false},
		{pipeline.Ternary, "5", "\x05", "\xff\xff", "", 0, false},
		{pipeline.Ternary, "0x10&&&0xf0", "\x10", "\xf0", "", 0, false},
		{pipeline.Ternary, "0x****", "\x00", "\x00", "", 0, true},
		{pipeline.LPM, "", "", "", "", 0, true},
		{pipeline.LPM, "0x0a00/8", "\x0a\x00", "", "", 8, false},
		{pipeline.LPM, "0x0a**", "\x0a\x00", "", "", 8, false},
		{pipeline.LPM, "0x0a01", "\x0a\x01", "", "", 16, false},
		{pipeline.LPM, "7", "\x07", "", "", 16, false},
		{pipeline.Range, "1->0x10", "\x01", "", "\x10", 0, false},
		{pipeline.Range, "3..4", "\x03", "", "\x04", 0, false},
		{pipeline.Range, "3", "\x03", "", "\x03", 0, false},
		{pipeline.Range, "", "", "", "", 0, true},
		{pipeline.Optional, "**", "", "", "", 0, true},
		{pipeline.Optional, "2", "\x02", "", "", 0, false},
	} {
		m, err := match(key(tc.kind), tc.text)
		if err != nil || string(m.Value) != tc.value || string(m.Mask) != tc.mask || string(m.High) != tc.high || m.PrefixLen != tc.prefix || m.Any != tc.any {
			t.Errorf("match kind %d of %q: %+v, %v", tc.kind, tc.text, m, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"packet 1 00\nexpect 1 0* $", "add t 10 a:1 b:0x1* c(d:1,e:2) = x", "check_counter c(1) packets == 1", "meter_set_rates m 1 0.1:2 0.2:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", text)
		if err != nil {
			var at *Error
			if !errors.As(err, &at) || at.Line < 1 {
				t.Errorf("error %v of type %T", err, err)
			}
			return
		}
		for i := range s.statements {
			if s.statements[i].op == "" {
				t.Error("statement without a name")
			}
		}
	})
}
