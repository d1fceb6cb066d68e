package gnmi

import (
	"encoding/json"
	"fmt"
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

// ietf is a value as RFC 7951 has it: 64-bit integers and decimals are strings.
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
func nest(leaves []leaf, n int) map[string]any {
	root := map[string]any{}
	for _, l := range leaves {
		at := root
		for i, e := range l.path[n:] {
			last := n+i == len(l.path)-1
			switch {
			case last:
				at[e.GetName()] = l.value
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
	for _, x := range list {
		m, _ := x.(map[string]any)
		if m["name"] == e.GetKey()["name"] {
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

// decode reads a value that a client sets: a scalar, or JSON.
func decode(v *gpb.TypedValue) (any, error) {
	var out any
	switch x := v.GetValue().(type) {
	case *gpb.TypedValue_StringVal:
		return x.StringVal, nil
	case *gpb.TypedValue_AsciiVal:
		return x.AsciiVal, nil
	case *gpb.TypedValue_BoolVal:
		return x.BoolVal, nil
	case *gpb.TypedValue_UintVal:
		return x.UintVal, nil
	case *gpb.TypedValue_IntVal:
		return float64(x.IntVal), nil
	case *gpb.TypedValue_DoubleVal:
		return x.DoubleVal, nil
	//lint:ignore SA1019 clients of gNMI before 0.8 have no other
	case *gpb.TypedValue_FloatVal:
		return float64(x.FloatVal), nil
	case *gpb.TypedValue_JsonVal:
		return out, unmarshal(x.JsonVal, &out)
	case *gpb.TypedValue_JsonIetfVal:
		return out, unmarshal(x.JsonIetfVal, &out)
	}
	return nil, invalidf("value of type %T is not supported", v.GetValue())
}

func unmarshal(b []byte, out *any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return invalidf("JSON value: %v", err)
	}
	return nil
}

// boolOf, uintOf and floatOf read a leaf's value in any of its forms.
func boolOf(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return false, invalidf("%v is not a boolean", v)
}

func uintOf(v any) (uint64, error) {
	switch v := v.(type) {
	case uint64:
		return v, nil
	case float64:
		if v >= 0 && v < 1<<63 && v == float64(uint64(v)) {
			return uint64(v), nil
		}
	case string:
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, invalidf("%v is not an unsigned integer", v)
}

func floatOf(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case uint64:
		return float64(v), nil
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return f, nil
		}
	}
	return 0, invalidf("%v is not a number", v)
}
