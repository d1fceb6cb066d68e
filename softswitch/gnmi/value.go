package gnmi

import (
	"encoding/json"
	"strconv"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	serve "github.com/weft-sdn/weft/gnmi"
)

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
	return nil, serve.Invalidf("value of type %T is not supported", v.GetValue())
}

func unmarshal(b []byte, out *any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return serve.Invalidf("JSON value: %v", err)
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
	return false, serve.Invalidf("%v is not a boolean", v)
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
	return 0, serve.Invalidf("%v is not an unsigned integer", v)
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
	return 0, serve.Invalidf("%v is not a number", v)
}
