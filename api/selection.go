package api

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// term is one condition on a label or field.
type term struct {
	key, value string
	any        bool // of whatever value
	not        bool
}

// parseTerm reads KEY=VALUE, KEY!=VALUE, KEY and !KEY; false: it is none.
func parseTerm(word string) (t term, ok bool) {
	key, value, equal := strings.Cut(word, "=")
	switch {
	case equal && strings.HasSuffix(key, "!"):
		t = term{key: strings.TrimSuffix(key, "!"), value: value, not: true}
	case equal:
		t = term{key: key, value: strings.TrimPrefix(value, "=")} // kubectl takes == too
	default:
		t = term{key: strings.TrimPrefix(word, "!"), any: true, not: strings.HasPrefix(word, "!")}
	}
	return t, t.key != ""
}

// selection is which objects are meant: all conditions must hold.
type selection struct {
	labels []term
	fields []term
	parts  bool // parts of others, too
}

const termHint = "use KEY=VALUE, KEY!=VALUE, KEY or !KEY"

func parseSelection(labels string, conditions []string, parts bool) (s selection, err error) {
	s.parts = parts
	if labels != "" {
		for _, word := range strings.Split(labels, ",") {
			t, ok := parseTerm(word)
			if !ok {
				return s, parameter("selector", labels, "is no selector of labels", termHint+", with commas between")
			}
			s.labels = append(s.labels, t)
		}
	}
	for _, word := range conditions {
		t, ok := parseTerm(word)
		if !ok {
			return s, parameter("field", word, "is no condition on a field", termHint+", such as spec.device=bridge/web")
		}
		s.fields = append(s.fields, t)
	}
	return s, nil
}

// takes reports whether an object meets all conditions.
func (s *selection) takes(e *state.Entry) bool {
	o := e.Object
	if o.Status.Of != "" && !s.parts {
		return false
	}
	for _, t := range s.labels {
		value, there := o.Metadata.Labels[t.key]
		if (there && (t.any || value == t.value)) == t.not {
			return false
		}
	}
	for _, t := range s.fields {
		values := valuesAt(o, t.key)
		if (len(values) > 0 && (t.any || slices.Contains(values, t.value))) == t.not {
			return false
		}
	}
	return true
}

// valuesAt are the values of a field, as text: none if it is not set, several of a list.
func valuesAt(o *topology.Object, path string) []string {
	var out []string
	collect(reflect.ValueOf(o).Elem(), path, &out)
	return out
}

// collect walks down a path such as spec.routes.dst or spec.routes[1].dst.
func collect(v reflect.Value, path string, out *[]string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if text, ok := textOf(v); ok {
		if path == "" && !v.IsZero() {
			*out = append(*out, text)
		}
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		if rest, ok := strings.CutPrefix(path, "["); ok {
			number, after, _ := strings.Cut(rest, "]")
			if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < v.Len() {
				collect(v.Index(n), strings.TrimPrefix(after, "."), out)
			}
			return
		}
		for i := range v.Len() {
			collect(v.Index(i), path, out)
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			if x := v.MapIndex(reflect.ValueOf(path).Convert(v.Type().Key())); x.IsValid() {
				collect(x, "", out)
			}
		}
	case reflect.Struct:
		end := strings.IndexAny(path, ".[")
		name, rest := path, ""
		if end >= 0 {
			name, rest = path[:end], strings.TrimPrefix(path[end:], ".")
		}
		t := v.Type()
		for i := range t.NumField() {
			if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag == name && tag != "" && tag != "-" {
				collect(v.Field(i), rest, out)
			}
		}
	}
}

// textOf is a value in the form that it has in JSON; false: it is not one value.
func textOf(v reflect.Value) (string, bool) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return string(b), err == nil
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct, reflect.Interface:
		return "", false
	}
	return fmt.Sprint(v.Interface()), true
}

// sortBy orders entries by the first value of a field, and those of equal ones as they were. Numbers are by size.
func sortBy(entries []*state.Entry, field string, down bool) {
	type keyed struct {
		e    *state.Entry
		text string
		n    float64
		num  bool
	}
	all := make([]keyed, len(entries))
	for i, e := range entries {
		k := keyed{e: e}
		if values := valuesAt(e.Object, field); len(values) > 0 {
			k.text = values[0]
			n, err := strconv.ParseFloat(k.text, 64)
			k.n, k.num = n, err == nil
		}
		all[i] = k
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		c := cmp.Compare(a.text, b.text)
		if a.num && b.num {
			c = cmp.Compare(a.n, b.n)
		}
		if down {
			return -c
		}
		return c
	})
	for i := range all {
		entries[i] = all[i].e
	}
}
