package p4rt

import (
	"fmt"
	"sync"
)

// maxNames bounds how many names a target can make a schema remember.
const maxNames = 1 << 20

// names gives each string of a translated type a number, so that it fits a [Value]: comparable,
// without heap. Numbers are per schema; they never reach the wire.
type names struct {
	mu     sync.RWMutex
	number map[string]uint64
	text   []string // by number
}

func newNames() *names { return &names{number: map[string]uint64{"": 0}, text: []string{""}} }

func (n *names) intern(s string) (Value, error) {
	n.mu.RLock()
	v, ok := n.number[s]
	n.mu.RUnlock()
	if ok {
		return U64(v), nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v, ok := n.number[s]; ok {
		return U64(v), nil
	}
	if len(n.text) >= maxNames {
		return Value{}, fmt.Errorf("%w: more than %d names", ErrOverflow, maxNames)
	}
	v = uint64(len(n.text))
	n.number[s], n.text = v, append(n.text, s)
	return U64(v), nil
}

// of is the string that v stands for; false if there is none.
func (n *names) of(v Value) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if v.Hi != 0 || v.Lo >= uint64(len(n.text)) {
		return "", false
	}
	return n.text[v.Lo], true
}

// Name is the [Value] of a string, for fields whose type is translated to strings
// (@p4runtime_translation(…, string)): ports or VRFs by name.
func (s *Schema) Name(text string) (Value, error) { return s.names.intern(text) }

// Text is the string that a Value of such a field stands for; "" if none.
func (s *Schema) Text(v Value) string {
	text, _ := s.names.of(v)
	return text
}

// IsName reports whether the field's values are strings: see [Schema.Name].
func (f *Field) IsName() bool { return f.names != nil }

// text shows a value of the field.
func (f *Field) text(v Value) string {
	if f.names == nil {
		return v.String()
	}
	s, _ := f.names.of(v)
	return fmt.Sprintf("%q", s)
}

// parse reads the field's bytes.
func (f *Field) parse(b []byte) (Value, error) {
	if f.names == nil {
		return ParseValue(b)
	}
	if len(b) == 0 {
		return Value{}, errEmptyValue
	}
	return f.names.intern(string(b))
}

// append appends the field's value as a length-delimited field of a message.
func (f *Field) append(b []byte, number byte, v Value) []byte {
	if f.names == nil {
		return appendValue(b, number, v)
	}
	s, _ := f.names.of(v)
	return appendText(b, number, s)
}

// bytes is the field's value in its wire form.
func (f *Field) bytes(v Value) []byte {
	if f.names == nil {
		return v.AppendCanonical(nil)
	}
	s, _ := f.names.of(v)
	return []byte(s)
}

// size is the length of the value's wire form, without tag and length.
func (f *Field) size(v Value) int {
	if f.names == nil {
		return v.byteLen()
	}
	s, _ := f.names.of(v)
	return len(s)
}
