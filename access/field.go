package access

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// fieldThatNames finds where an object names another: the path of the first field whose text is its TENANT/NAME, whatever stands before; "" if there is none.
func fieldThatNames(o *topology.Object, r topology.Ref) string {
	b, err := json.Marshal(o.Spec)
	if err != nil {
		return ""
	}
	var spec any
	if json.Unmarshal(b, &spec) != nil {
		return ""
	}
	return find(spec, "spec", r.Tenant+"/"+r.Name)
}

func find(v any, path, name string) string {
	switch x := v.(type) {
	case string:
		if x == name || strings.HasSuffix(x, "/"+name) {
			return path
		}
	case []any:
		for i, item := range x {
			if p := find(item, fmt.Sprintf("%s[%d]", path, i), name); p != "" {
				return p
			}
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if p := find(x[k], path+"."+k, name); p != "" {
				return p
			}
		}
	}
	return ""
}
