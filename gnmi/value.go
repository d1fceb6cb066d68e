package gnmi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// checkEncoding refuses encodings that this server has not.
func checkEncoding(e gpb.Encoding) error {
	switch e {
	case gpb.Encoding_JSON, gpb.Encoding_PROTO, gpb.Encoding_JSON_IETF:
		return nil
	}
	return status.Errorf(codes.Unimplemented, "encoding %v is not supported", e)
}

// encode is a leaf's value in an encoding.
func encode(v any, e gpb.Encoding) (*gpb.TypedValue, error) {
	switch e {
	case gpb.Encoding_PROTO:
		switch v := v.(type) {
		case string:
			return &gpb.TypedValue{Value: &gpb.TypedValue_StringVal{StringVal: v}}, nil
		case bool:
			return &gpb.TypedValue{Value: &gpb.TypedValue_BoolVal{BoolVal: v}}, nil
		case uint16:
			return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: uint64(v)}}, nil
		case uint32:
			return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: uint64(v)}}, nil
		case uint64:
			return &gpb.TypedValue{Value: &gpb.TypedValue_UintVal{UintVal: v}}, nil
		case float64:
			return &gpb.TypedValue{Value: &gpb.TypedValue_DoubleVal{DoubleVal: v}}, nil
		}
		return nil, fmt.Errorf("value of type %T", v)
	case gpb.Encoding_JSON_IETF:
		b, err := json.Marshal(ietf(v))
		return &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: b}}, err
	}
	b, err := json.Marshal(v)
	return &gpb.TypedValue{Value: &gpb.TypedValue_JsonVal{JsonVal: b}}, err
}

// ietf is a value as RFC 7951, section 6.1, has it: 64-bit integers and decimals are strings, shorter integers are numbers.
func ietf(v any) any {
	switch v := v.(type) {
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = ietf(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = ietf(x)
		}
		return out
	}
	return v
}

// nest is the JSON object of leaves below a path of n elements: lists are arrays of objects.
func nest(leaves []Leaf, n int) map[string]any {
	root := map[string]any{}
	for _, l := range leaves {
		at := root
		for i, e := range l.Path[n:] {
			last := n+i == len(l.Path)-1
			switch {
			case last:
				at[e.GetName()] = l.Value
			case len(e.GetKey()) > 0:
				at = item(at, e)
			default:
				next, ok := at[e.GetName()].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[e.GetName()] = next
				}
				at = next
			}
		}
	}
	return root
}

// item finds or makes a list's element.
func item(at map[string]any, e *gpb.PathElem) map[string]any {
	list, _ := at[e.GetName()].([]any)
	for _, x := range slices.Backward(list) { // mostly it is the last one: leaves of an element come together
		m, _ := x.(map[string]any)
		if sameKey(m, e.GetKey()) {
			return m
		}
	}
	m := map[string]any{}
	for k, v := range e.GetKey() {
		m[k] = v
	}
	at[e.GetName()] = append(list, m)
	return m
}

// sameKey reports whether a list's element has a key.
func sameKey(m map[string]any, key map[string]string) bool {
	for k, v := range key {
		if m[k] != v {
			return false
		}
	}
	return true
}
