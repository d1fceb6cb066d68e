package stf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// Options of a run.
type Options struct {
	// P4Info gives names of its own to objects; nil: scripts use those of the program.
	P4Info   *configv1.P4Info
	DropPort uint16    // 0: 511
	Log      io.Writer // what is read and what the program logs; nil: nowhere
}

// Runner runs one script on one machine.
type Runner struct {
	machine *pipeline.Machine
	names   aliases
	log     io.Writer

	script    *Script
	at        *statement // that is running
	mentioned map[uint16]bool
	expected  map[uint16][]expectation
	out       map[uint16][]received
	entries   map[string]entryRef

	nodes    []node
	groups   map[uint32][]int // nodes, in order of association
	sessions map[uint32]session
}

type entryRef struct {
	table    *pipeline.Table
	match    []pipeline.FieldMatch
	priority int32
}

// node is a multicast node: copies to ports with one replica id.
type node struct {
	rid   uint16
	ports []uint16
}

// session is a mirroring session: to a port or to a group.
type session struct {
	port, group uint32
	toGroup     bool
}

// New loads a program. Errors are those of pipeline.Load.
func New(program []byte, o Options) (*Runner, error) {
	p, err := pipeline.Load(program)
	if err != nil {
		return nil, err
	}
	r := &Runner{names: readAliases(o.P4Info), log: o.Log, mentioned: map[uint16]bool{}, expected: map[uint16][]expectation{},
		out: map[uint16][]received{}, entries: map[string]entryRef{}, groups: map[uint32][]int{}, sessions: map[uint32]session{}}
	if r.log == nil {
		r.log = io.Discard
	}
	r.machine = pipeline.New(p, pipeline.Options{DropPort: o.DropPort, Emit: r.emit,
		Log: func(s string) { fmt.Fprintln(r.log, "log:", s) }})
	for _, t := range o.P4Info.GetTables() {
		if table, ok := r.machine.Table(t.GetPreamble().GetName()); ok {
			table.SetConst(t.GetIsConstTable())
		}
	}
	return r, nil
}

func (r *Runner) emit(port uint16, frame []byte) {
	data := strings.ToUpper(hex.EncodeToString(frame))
	fmt.Fprintf(r.log, "out: port %d: %s\n", port, data)
	r.out[port] = append(r.out[port], received{data: data, st: r.at})
}

// ErrFailed marks the errors of a test that ran and whose expectations were not met.
var ErrFailed = errors.New("failed")

// Run runs a script. The error names every expectation that was not met, or
// the statement that could not be carried out (an *Error).
func (r *Runner) Run(s *Script) error {
	r.script = s
	for i := range s.statements {
		st := &s.statements[i]
		if st.op != "packet" && st.op != "expect" {
			continue
		}
		port, err := integer(st.args[0], 16)
		if err != nil {
			return s.wrap(st, fmt.Errorf("port: %w", err))
		}
		r.mentioned[uint16(port)] = true
	}
	for i := range s.statements {
		r.at = &s.statements[i]
		if err := r.execute(r.at); err != nil {
			return s.wrap(r.at, err)
		}
	}
	if wrong := r.check(); len(wrong) > 0 {
		return fmt.Errorf("%w:\n%s", ErrFailed, strings.Join(wrong, "\n"))
	}
	return nil
}

func (r *Runner) execute(st *statement) error {
	switch st.op {
	case "packet", "expect":
		port, _ := integer(st.args[0], 16) // Run has checked it
		return r.packet(st, uint16(port))
	case "no_packet":
		for p := range r.out { // whatever comes is too much
			r.mentioned[p] = true
		}
	case "add":
		return r.add(st)
	case "setdefault":
		return r.setDefault(st)
	case "remove":
		return r.remove(st.args[0])
	case "check_counter":
		return r.checkCounter(st)
	case "wait": // packets are through before the next statement
	default:
		if strings.HasPrefix(st.op, "mc_") || strings.HasPrefix(st.op, "mirroring_") {
			return r.replication(st)
		}
		return r.array(st)
	}
	return nil
}

func (r *Runner) packet(st *statement, port uint16) error {
	data := st.args[1]
	if st.op == "expect" {
		r.expected[port] = append(r.expected[port], expectation{st: st, data: data, any: data == ""})
		return nil
	}
	frame, err := hex.DecodeString(data)
	if err != nil {
		return err
	}
	r.machine.Process(port, frame)
	return nil
}
