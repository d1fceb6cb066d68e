package stf

import (
	"fmt"
	"strings"
)

// Script is a parsed test.
type Script struct {
	Name       string // for messages
	statements []statement
}

// statement is one line; op is its first word in lower case.
type statement struct {
	line int
	text string
	op   string
	args []string // the other words; of packet and expect: the port, then the data in one piece

	// of add and setdefault
	keys   []assignment
	action string
	params []assignment
	id     string // names the entry of an add
}

// assignment is name:value.
type assignment struct{ name, value string }

// Error is what is wrong with a statement.
type Error struct {
	Script string
	Line   int
	Text   string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d: %v\n    %s", e.Script, e.Line, e.Err, e.Text)
}

func (e *Error) Unwrap() error { return e.Err }

// arity of the statements that consist of words: fewest and most arguments.
var arity = map[string][2]int{
	"wait": {0, 0}, "no_packet": {0, 0}, "remove": {1, 1}, "check_counter": {1, 4},
	"mirroring_add": {2, 2}, "mirroring_add_mc": {2, 2}, "mirroring_delete": {1, 1}, "mirroring_get": {1, 1},
	"mc_mgrp_create": {1, 1}, "mc_node_create": {1, 1 << 10}, "mc_node_update": {1, 1 << 10}, "mc_node_associate": {2, 2},
	"counter_read": {2, 2}, "counter_write": {4, 4}, "register_read": {2, 2}, "register_write": {3, 3}, "register_reset": {1, 1},
	"meter_get_rates": {2, 2}, "meter_set_rates": {3, 4}, "meter_array_set_rates": {2, 3},
}

// Parse reads a script. Errors are of type *Error.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name}
	for i, line := range strings.Split(text, "\n") {
		code, _, _ := strings.Cut(line, "#")
		words := strings.Fields(code)
		if len(words) == 0 {
			continue
		}
		st := statement{line: i + 1, text: strings.TrimSpace(line), op: strings.ToLower(words[0]), args: words[1:]}
		if err := st.parse(code); err != nil {
			return nil, s.wrap(&st, err)
		}
		s.statements = append(s.statements, st)
	}
	return s, nil
}

func (s *Script) wrap(st *statement, err error) error {
	return &Error{Script: s.Name, Line: st.line, Text: st.text, Err: err}
}

func (st *statement) parse(code string) error {
	switch st.op {
	case "packet", "expect":
		return st.parsePacket()
	case "add", "setdefault":
		return st.parseEntry(code)
	case "check_counter":
		st.args = counterWords(st.args)
	}
	n, ok := arity[st.op]
	if !ok {
		return fmt.Errorf("no such statement: %q", st.op)
	}
	if len(st.args) < n[0] || len(st.args) > n[1] {
		return fmt.Errorf("%s: %d arguments, want %d to %d", st.op, len(st.args), n[0], n[1])
	}
	return nil
}

// counterWords joins what belongs together of NAME(INDEX) KIND OP NUMBER.
func counterWords(words []string) []string {
	text := strings.Join(words, " ")
	for _, op := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if before, after, ok := strings.Cut(text, op); ok {
			text = before + " " + op + " " + after
			break
		}
	}
	if i := strings.IndexByte(text, ')'); i >= 0 {
		text = strings.ReplaceAll(text[:i+1], " ", "") + " " + text[i+1:]
	}
	return strings.Fields(text)
}

func (st *statement) parsePacket() error {
	if len(st.args) == 0 {
		return fmt.Errorf("%s: want a port", st.op)
	}
	data := strings.ToUpper(strings.Join(st.args[1:], ""))
	bytes := data
	if st.op == "expect" {
		bytes = strings.TrimSuffix(data, "$")
	}
	for i, c := range bytes {
		if !strings.ContainsRune("0123456789ABCDEF", c) && (st.op != "expect" || c != '*') {
			return fmt.Errorf("%s: character %q at digit %d of the data", st.op, c, i)
		}
	}
	if st.op == "packet" && len(bytes)%2 != 0 {
		return fmt.Errorf("packet: %d digits, want whole bytes", len(bytes))
	}
	st.args = []string{st.args[0], data}
	return nil
}

// parseEntry parses TABLE [PRIORITY] KEY:VALUE… ACTION(NAME:VALUE, …) [= ID];
// a setdefault has neither priority nor keys.
func (st *statement) parseEntry(code string) error {
	rest := strings.TrimSpace(code[strings.Index(strings.ToLower(code), st.op)+len(st.op):])
	open, end := strings.IndexByte(rest, '('), strings.LastIndexByte(rest, ')')
	if open < 0 || end < open {
		return fmt.Errorf("%s: want an action with parentheses", st.op)
	}
	for _, p := range strings.FieldsFunc(rest[open+1:end], func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
		a, err := assign(p)
		if err != nil {
			return err
		}
		st.params = append(st.params, a)
	}
	if tail := strings.TrimSpace(rest[end+1:]); tail != "" {
		id, ok := strings.CutPrefix(tail, "=")
		if st.id = strings.TrimSpace(id); !ok || st.id == "" {
			return fmt.Errorf("%s: %q after the action, want = NAME", st.op, tail)
		}
	}
	words := strings.Fields(strings.ReplaceAll(rest[:open], " :", ":"))
	if len(words) < 2 {
		return fmt.Errorf("%s: want a table and an action", st.op)
	}
	st.action = words[len(words)-1]
	st.args = words[:1]
	words = words[1 : len(words)-1]
	if st.op == "add" && len(words) > 0 && !strings.Contains(words[0], ":") {
		st.args, words = append(st.args, words[0]), words[1:]
	}
	for _, w := range words {
		a, err := assign(w)
		if err != nil {
			return err
		}
		st.keys = append(st.keys, a)
	}
	if st.op == "setdefault" && len(st.keys) > 0 {
		return fmt.Errorf("setdefault: the default entry has no key, but %s is given", st.keys[0].name)
	}
	return nil
}

func assign(text string) (assignment, error) {
	name, value, ok := strings.Cut(text, ":")
	if !ok || name == "" || value == "" {
		return assignment{}, fmt.Errorf("%q: want NAME:VALUE", text)
	}
	return assignment{name: strings.Trim(name, `"`), value: value}, nil
}
