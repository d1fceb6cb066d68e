package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// fieldChange is how a field of an object changes.
type fieldChange struct {
	path          string // spec.routes[1].dst
	before, after any    // as encoding/json has them; nil: there is none
}

// fieldsOf are the fields in which two forms of an object differ, in order of path; of one that is created, or deleted, all that it has.
func fieldsOf(before, after *topology.Object) ([]fieldChange, error) {
	a, err := formOf(before)
	if err != nil {
		return nil, err
	}
	b, err := formOf(after)
	if err != nil {
		return nil, err
	}
	var out []fieldChange
	compareMaps("", a, b, &out)
	return out, nil
}

// formOf is what a user writes of an object, but for its name.
func formOf(o *topology.Object) (map[string]any, error) {
	if o == nil {
		return nil, nil
	}
	c := *o
	c.Status = topology.Status{}
	text, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	var form struct {
		Metadata struct {
			Labels any `json:"labels"`
		} `json:"metadata"`
		Spec any `json:"spec"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&form); err != nil {
		return nil, err
	}
	m := map[string]any{}
	if form.Spec != nil {
		m["spec"] = form.Spec
	}
	if form.Metadata.Labels != nil {
		m["metadata"] = map[string]any{"labels": form.Metadata.Labels}
	}
	return m, nil
}

func compareValues(path string, a, b any, out *[]fieldChange) {
	am, isMap := a.(map[string]any)
	bm, both := b.(map[string]any)
	al, isList := a.([]any)
	bl, lists := b.([]any)
	switch {
	case isMap && both:
		compareMaps(path, am, bm, out)
	case isList && lists:
		compareLists(path, al, bl, out)
	case !reflect.DeepEqual(a, b):
		*out = append(*out, fieldChange{path, a, b})
	}
}

func compareMaps(path string, a, b map[string]any, out *[]fieldChange) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		at := k
		if path != "" {
			at = path + "." + k
		}
		x, y := a[k], b[k]
		if at == "spec" || at == "metadata" { // what is new, or gone, is told field by field
			if x == nil {
				x = map[string]any{}
			}
			if y == nil {
				y = map[string]any{}
			}
		}
		compareValues(at, x, y, out)
	}
}

// maxAligned bounds the table of alignment: beyond, lists are compared item by item.
const maxAligned = 1 << 20

// compareLists tells which items are new, gone, or other ones: as few as there can be. An item that is gone has the place that it had, a new one the place that it has.
func compareLists(path string, a, b []any, out *[]fieldChange) {
	for len(a) > 0 && len(b) > 0 && reflect.DeepEqual(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	first := 0
	for first < len(a) && first < len(b) && reflect.DeepEqual(a[first], b[first]) {
		first++
	}
	item := func(i int) string { return path + "[" + strconv.Itoa(i) + "]" }
	if len(a) == len(b) || (len(a)-first)*(len(b)-first) > maxAligned {
		for i := first; i < max(len(a), len(b)); i++ {
			var x, y any
			if i < len(a) {
				x = a[i]
			}
			if i < len(b) {
				y = b[i]
			}
			compareValues(item(i), x, y, out)
		}
		return
	}
	common := alignment(a[first:], b[first:])
	i, j := first, first
	for _, c := range append(common, [2]int{len(a) - first, len(b) - first}) {
		for ; i < first+c[0]; i++ {
			*out = append(*out, fieldChange{item(i), a[i], nil})
		}
		for ; j < first+c[1]; j++ {
			*out = append(*out, fieldChange{item(j), nil, b[j]})
		}
		i, j = i+1, j+1
	}
}

// alignment is a longest common subsequence of two lists, as pairs of indices.
func alignment(a, b []any) (pairs [][2]int) {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if reflect.DeepEqual(a[i], b[j]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case reflect.DeepEqual(a[i], b[j]):
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}

// valueText is a value in one line, as YAML has it.
func valueText(v any) string {
	switch v := v.(type) {
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			words = append(words, k+": "+valueText(v[k]))
		}
		return "{" + strings.Join(words, ", ") + "}"
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = valueText(v[i])
		}
		return "[" + strings.Join(words, ", ") + "]"
	case string:
		if v == "" || strings.ContainsAny(v, "\"'\n\t,{}[]#") || strings.TrimSpace(v) != v {
			return strconv.Quote(v)
		}
		return v
	case nil:
		return "none"
	}
	return fmt.Sprint(v)
}
