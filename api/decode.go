package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

func itoa(n int) string { return strconv.Itoa(n) }

// sortedKeys are the keys of a map, in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// keysOf are the keys of two maps, in order.
func keysOf(a, b map[string]json.RawMessage) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return sortedKeys(all)
}

// mustJSON is a value that can be JSON.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// decodeObject reads an object from a request's body, and the revision that it says. What the path says of it may be left out, and must not be otherwise.
func decodeObject(body []byte, path topology.Ref) (*topology.Object, int64, error) {
	o, revision, err := decodeOne(body, "", path)
	if err != nil {
		return nil, 0, err
	}
	is := o.Ref()
	for _, f := range []struct{ pointer, is, want string }{{"kind", string(is.Kind), string(path.Kind)}, {"metadata.tenant", is.Tenant, path.Tenant}, {"metadata.name", is.Name, path.Name}} {
		if f.want != "" && f.is != f.want {
			return nil, 0, fields(topology.Errors{{Object: is.String(), Field: f.pointer, Value: f.is, Problem: "is not that of the path, " + strconv.Quote(f.want), Hint: "leave it out"}}, func(string) string { return "" })
		}
	}
	return o, revision, nil
}

// decodeOne reads an object in JSON that is at a pointer of the body. What a reference says goes in place of what is left out.
func decodeOne(data []byte, at string, or topology.Ref) (*topology.Object, int64, error) {
	if err := tooLarge(data, at); err != nil {
		return nil, 0, err
	}
	var form map[string]json.RawMessage
	if err := strict(data, &form); err != nil {
		return nil, 0, notJSON(err, at)
	}
	if form == nil {
		return nil, 0, notJSON(errors.New("null is no object"), at)
	}
	revision := int64(0)
	if text, ok := form["revision"]; ok {
		if json.Unmarshal(text, &revision) != nil || revision < 0 {
			return nil, 0, fields(topology.Errors{{Field: "revision", Value: string(text), Problem: "is no revision", Hint: "leave it out, or give the one that the API told"}}, func(string) string { return at })
		}
		delete(form, "revision")
	}
	fill := func(m map[string]json.RawMessage, name, value string) {
		if _, ok := m[name]; !ok && value != "" {
			m[name], _ = json.Marshal(value)
		}
	}
	fill(form, "apiVersion", topology.APIVersion)
	fill(form, "kind", string(or.Kind))
	var meta map[string]json.RawMessage
	if text, ok := form["metadata"]; !ok || json.Unmarshal(text, &meta) == nil && meta != nil {
		if meta == nil {
			meta = map[string]json.RawMessage{}
		}
		fill(meta, "tenant", or.Tenant)
		fill(meta, "name", or.Name)
		form["metadata"], _ = json.Marshal(meta)
	}
	text, err := json.Marshal(form)
	if err != nil {
		return nil, 0, notJSON(err, at)
	}
	objects, err := topology.Decode("", text)
	var list topology.Errors
	switch {
	case errors.As(err, &list):
		return nil, 0, fields(list, func(string) string { return at })
	case err != nil:
		return nil, 0, err
	case len(objects) != 1:
		return nil, 0, refuse(http.StatusUnprocessableEntity, "the body holds no object")
	}
	objects[0].Source = nil
	return objects[0], revision, nil
}

// strict reads one JSON value, and no more. A field that is there twice is a *repeatedError.
func strict(data []byte, into any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the value")
	}
	return nil
}

// notJSON is what is said of a body that can't be read.
func notJSON(err error, at string) *problem {
	var twice *repeatedError
	if errors.As(err, &twice) {
		p := refuse(http.StatusBadRequest, "%s%s", at+twice.pointer, thereTwice)
		p.Errors = []client.FieldError{{Pointer: at + twice.pointer, Problem: "is there twice", Hint: "leave one out"}}
		return p
	}
	var large *boundsError
	if errors.As(err, &large) {
		return refuse(http.StatusRequestEntityTooLarge, "the body is not read: %v", err)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) { // its text has names of Go
		err = fmt.Errorf("%s is a value of another kind than what is there: %s", cmp.Or(kind.Field, "the whole"), kind.Value)
	}
	p := refuse(http.StatusBadRequest, "the body is not JSON of the form that is asked for: %v", err)
	if at != "" {
		p.Detail = at + ": " + p.Detail
	}
	return p
}
