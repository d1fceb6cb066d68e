package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// repeatedError: a field of an object is there twice, and which of them counts nobody knows (RFC 8259, section 4).
type repeatedError struct{ pointer string }

const thereTwice = ": a field is there twice"

func (e *repeatedError) Error() string { return e.pointer + thereTwice }

// onceEach is how huma reads JSON, of fields that are there once.
func onceEach(read func([]byte, any) error) func([]byte, any) error {
	return func(data []byte, into any) error {
		if err := checkJSON(data); err != nil {
			return err
		}
		return read(data, into)
	}
}

// nesting is an object or a list that a reader of JSON is in.
type nesting struct {
	keys map[string]struct{} // of an object so far; nil: a list
	key  string              // of the value that comes next or is being read
	n    int                 // of a list: its place
	name bool                // a key comes next
}

// repeatedField finds the first field of JSON that is there twice, as a JSON pointer. What is no JSON has none: others say what is wrong with it.
func repeatedField(data []byte) (pointer string, found bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var in []nesting
	for {
		token, err := d.Token()
		if err != nil {
			return "", false
		}
		if top := len(in) - 1; top >= 0 && in[top].name {
			if key, ok := token.(string); ok {
				in[top].key, in[top].name = key, false
				if _, twice := in[top].keys[key]; twice {
					return pointerTo(in), true
				}
				in[top].keys[key] = struct{}{}
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			in = append(in, nesting{keys: map[string]struct{}{}, name: true})
			continue
		case json.Delim('['):
			in = append(in, nesting{})
			continue
		case json.Delim('}'), json.Delim(']'):
			in = in[:len(in)-1]
		}
		if len(in) == 0 {
			return "", false
		}
		if top := &in[len(in)-1]; top.keys != nil {
			top.name = true
		} else {
			top.n++
		}
	}
}

// pointerTo is where a reader is (RFC 6901).
func pointerTo(in []nesting) string {
	var b strings.Builder
	for i := range in {
		word := strconv.Itoa(in[i].n)
		if in[i].keys != nil {
			word = strings.NewReplacer("~", "~0", "/", "~1").Replace(in[i].key)
		}
		b.WriteString("/" + word)
	}
	return b.String()
}
