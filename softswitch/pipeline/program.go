package pipeline

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// Program is a compiled program: immutable, shared by any number of Machines.
// It holds no state; counters, registers and tables belong to the Machine and
// are found by index.
type Program struct {
	layout
	errors     map[string]uint64 // parser errors by name
	fieldLists map[uint64][]*field
	digests    map[uint64]*digest
	calcs      map[string]*calc
	vsets      []*vsetDef
	counters   []arrayDef // indirect
	registers  []arrayDef
	meters     []meterDef // indirect
	actions    []*action
	profiles   []*profileDef
	tables     []*tableDef
	parser     *parseState // nil: nothing is parsed
	ingress    *node
	egress     *node
	deparse    []emitted
	verify     []*checksum
	update     []*checksum
	code       code
	temp0      int      // slots: state, parameters, from here on temporaries, then consts
	consts     []uint64 // never change
	index0     int      // slots: behind consts, where the index of each exact table is, for machine code
	nbig       int      // scratch big integers per context
	needsTime  bool     // timestamps, meters or idle timeouts are used
	maxKey     int      // words of the longest table key
	maxHeaders int      // bytes of all deparsed headers together
}

type digest struct {
	name   string
	fields []*field
}

type arrayDef struct {
	name  string
	size  int
	width int // bits, registers only
}

type meterDef struct {
	name  string
	size  int
	bytes bool // else packets
}

// Limits on what a program may ask for, so that a malformed one cannot exhaust memory.
const (
	maxWidth      = 1 << 15 // bits of a field
	maxSlots      = maxFrameSlots - maxParams - maxTemps - 1024
	maxFrameSlots = 1 << 14 // of a context: state, parameters, temporaries, constants
	maxCells      = 1 << 23 // cells of all arrays together, registers in words
	maxScratch    = 1 << 16
	maxParams     = 256 // words of an action's parameters
)

// loadError is what the compiler panics with; Load returns it.
type loadError struct{ err error }

// loader holds what only compiling needs.
type loader struct {
	j         jProgram
	p         *Program
	path      []string
	nodes     map[string]*node
	actByID   map[int]*action
	params    []paramDef        // of the action being compiled
	regs      map[int]bool      // that the code being compiled uses; nil where none may be
	pool      map[uint64]uint16 // slots of constants
	plain     bool              // emit nothing but closures; for tests
	interpret bool              // no machine code; for tests
}

// at runs f with path extended, for error messages.
func (l *loader) at(path string, f func()) {
	l.path = append(l.path, path)
	f()
	l.path = l.path[:len(l.path)-1]
}

func (l *loader) fail(format string, a ...any) {
	panic(loadError{fmt.Errorf("bmv2 json: %s: %s", strings.Join(l.path, "."), fmt.Sprintf(format, a...))})
}

func (l *loader) unsupported(format string, a ...any) {
	panic(loadError{fmt.Errorf("bmv2 json: %s: %w: %s", strings.Join(l.path, "."), ErrUnsupported, fmt.Sprintf(format, a...))})
}

// Load parses and compiles a bmv2 JSON program. Errors name the JSON path; a
// feature that this package does not execute is refused with ErrUnsupported.
func Load(bmv2JSON []byte) (p *Program, err error) { return load(bmv2JSON, false, false) }

func load(bmv2JSON []byte, plain, interpret bool) (p *Program, err error) {
	l := &loader{p: &Program{}, path: []string{"$"}, nodes: map[string]*node{}, actByID: map[int]*action{},
		pool: map[uint64]uint16{}, plain: plain, interpret: interpret}
	if err := json.Unmarshal(bmv2JSON, &l.j); err != nil {
		return nil, fmt.Errorf("bmv2 json: %w", err)
	}
	defer func() {
		if r := recover(); r != nil {
			le, ok := r.(loadError)
			if !ok {
				panic(r)
			}
			p, err = nil, le.err
		}
	}()
	if v := l.j.Meta.Version; len(v) > 0 && v[0] != 2 {
		l.unsupported("__meta__.version %v, want 2.x", v)
	}
	for _, x := range l.j.ExternInstances {
		l.unsupported("extern instance %s of type %s", x.Name, x.Type)
	}
	l.loadLayout()
	l.p.temp0 = l.p.slots + maxParams
	l.loadErrors()
	l.loadArrays()
	l.loadFieldLists()
	l.loadCalculations()
	l.loadActions()
	l.loadParser()
	l.loadPipelines()
	l.loadDeparser()
	l.loadChecksums()
	l.generate()
	if l.p.nbig > maxScratch {
		l.fail("%d wide subexpressions, limit %d", l.p.nbig, maxScratch)
	}
	l.p.needsTime = l.p.needsTime || l.p.std.timed()
	return l.p, nil
}

func (l *loader) loadErrors() {
	l.p.errors = map[string]uint64{}
	for i, e := range l.j.Errors {
		l.at(fmt.Sprintf("errors[%d]", i), func() {
			if len(e) != 2 {
				l.fail("want [name, value]")
			}
			var n string
			var v uint32
			l.decode(e[0], &n)
			l.decode(e[1], &v)
			l.p.errors[n] = uint64(v)
		})
	}
}

func (l *loader) loadArrays() {
	left := maxCells
	check := func(what string, i, size int) {
		if size < 0 || size > left {
			l.fail("%s[%d].size: %d not in 0…%d", what, i, size, left)
		}
		left -= size
	}
	for i, a := range l.j.CounterArrays {
		if !a.IsDirect { // direct ones have no size
			check("counter_arrays", i, a.Size)
			l.p.counters = append(l.p.counters, arrayDef{name: a.Name, size: a.Size})
		}
	}
	for i, a := range l.j.RegisterArrays {
		if a.Bitwidth < 1 || a.Bitwidth > maxWidth {
			l.fail("register_arrays[%d].bitwidth: %d", i, a.Bitwidth)
		}
		check("register_arrays", i, min(a.Size, maxCells+1)*limbs(a.Bitwidth))
		l.p.registers = append(l.p.registers, arrayDef{name: a.Name, size: a.Size, width: a.Bitwidth})
	}
	for i, a := range l.j.MeterArrays {
		if a.RateCount != 2 {
			l.unsupported("meter_arrays[%d].rate_count %d, want 2", i, a.RateCount)
		}
		if a.Type != "bytes" && a.Type != "packets" {
			l.fail("meter_arrays[%d].type: %q", i, a.Type)
		}
		l.p.needsTime = true
		if !a.IsDirect {
			check("meter_arrays", i, a.Size)
			l.p.meters = append(l.p.meters, meterDef{name: a.Name, size: a.Size, bytes: a.Type == "bytes"})
		}
	}
	for i, v := range l.j.ParseVSets {
		if v.Bitwidth < 1 || v.Bitwidth > maxWidth {
			l.fail("parse_vsets[%d].compressed_bitwidth: %d", i, v.Bitwidth)
		}
		l.p.vsets = append(l.p.vsets, &vsetDef{index: i, name: v.Name, width: v.Bitwidth})
	}
}

func (l *loader) loadFieldLists() {
	l.p.fieldLists = map[uint64][]*field{}
	l.p.digests = map[uint64]*digest{}
	for i, fl := range l.j.FieldLists {
		l.at(fmt.Sprintf("field_lists[%d]", i), func() { l.p.fieldLists[uint64(fl.ID)] = l.fieldList(fl.Elements) })
	}
	for i, fl := range l.j.LearnLists {
		l.at(fmt.Sprintf("learn_lists[%d]", i), func() {
			d := &digest{name: fl.Name, fields: l.fieldList(fl.Elements)}
			for _, f := range d.fields {
				f.use()
			}
			l.p.digests[uint64(fl.ID)] = d
		})
	}
}

func (l *loader) fieldList(elements []jValue) []*field {
	var fs []*field
	for _, e := range elements {
		if e.Type != "field" {
			l.unsupported("element of type %q in a field list", e.Type)
		}
		f := l.fieldRef(e.Value).use()
		f.set = true // the field may come with a packet that is sent again
		fs = append(fs, f)
	}
	return fs
}

// decode unmarshals part of the program.
func (l *loader) decode(raw json.RawMessage, v any) {
	if len(raw) == 0 {
		l.fail("missing value")
	}
	if err := json.Unmarshal(raw, v); err != nil {
		l.fail("%v", err)
	}
}

func (l *loader) str(raw json.RawMessage) string {
	var s string
	l.decode(raw, &s)
	return s
}

// hex parses a hexstr: 0x prefix optional, may be negative.
func (l *loader) hex(s string) *big.Int {
	t, neg := strings.CutPrefix(s, "-")
	t = strings.TrimPrefix(strings.TrimPrefix(t, "0x"), "0X")
	v, ok := new(big.Int).SetString(t, 16)
	if !ok || strings.HasPrefix(t, "-") || strings.HasPrefix(t, "+") || len(t) > maxWidth/4 {
		l.fail("%q is not a hexstr", s)
	}
	if neg {
		v.Neg(v)
	}
	return v
}

// find looks up an object of the program by name.
func find[T any](l *loader, what, name string, list []T, nameOf func(T) string) int {
	for i, x := range list {
		if nameOf(x) == name {
			return i
		}
	}
	l.fail("no %s named %q", what, name)
	return 0
}
