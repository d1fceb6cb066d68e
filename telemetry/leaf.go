package telemetry

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmi/value"
)

// maxDepth bounds how deep a JSON value is looked into: the leaves that matter are 5 below the root.
const maxDepth = 8

// place is where a path of gNMI leads: a leaf of an interface, or what is above leaves.
type place struct {
	iface string // "" or *: all
	leaf  string // below the interface, such as state/oper-status; "": all
}

// placeOf reads a path below a prefix. It is false for what is not of openconfig-interfaces.
func placeOf(prefix, path *gpb.Path) (p place, ok bool) {
	var names []string
	for _, at := range []*gpb.Path{prefix, path} {
		for _, e := range at.GetElem() {
			names = append(names, bare(e.GetName()))
			if name, keyed := e.GetKey()["name"]; keyed && len(names) == 2 {
				p.iface = name
			}
		}
	}
	for i, want := range []string{"interfaces", "interface"} {
		if i < len(names) && names[i] != want {
			return p, false
		}
	}
	if len(names) > 2 {
		p.leaf = strings.Join(names[2:], "/")
	}
	return p, true
}

// depth is how many elements of interfaces/interface a path has.
func depth(prefix, path *gpb.Path) int { return min(len(prefix.GetElem())+len(path.GetElem()), 2) }

// bare is a name without the module that some targets put in front of it.
func bare(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}

// leaves calls take for every leaf of an update. It returns false if the update can't be read.
func leaves(prefix *gpb.Path, u *gpb.Update, take func(place, any)) bool {
	at, ok := placeOf(prefix, u.GetPath())
	if !ok {
		return true // not of interfaces: not asked for, and no harm
	}
	var v any
	raw := u.GetVal().GetJsonIetfVal()
	if raw == nil {
		raw = u.GetVal().GetJsonVal()
	}
	if raw != nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // 64 bits
		if d.Decode(&v) != nil {
			return false
		}
	} else {
		var err error
		if u.GetVal().GetValue() == nil {
			return false
		}
		if v, err = value.ToScalar(u.GetVal()); err != nil {
			return false
		}
	}
	above(at, 2-depth(prefix, u.GetPath()), v, take)
	return true
}

// above goes down to interfaces from a value that is levels above them.
func above(at place, levels int, v any, take func(place, any)) {
	switch m, object := v.(map[string]any); {
	case levels == 2 && object:
		for name, x := range m {
			if bare(name) == "interfaces" {
				above(at, 1, x, take)
			}
		}
	case levels == 1 && object:
		for name, x := range m {
			if bare(name) == "interface" {
				above(at, 0, x, take)
			}
		}
	case levels == 0:
		list, isList := v.([]any)
		if !isList {
			below(at, v, 0, take)
			return
		}
		for _, x := range list {
			m, _ := x.(map[string]any)
			if name, ok := m["name"].(string); ok {
				below(place{iface: name}, m, 0, take)
			}
		}
	}
}

// below takes the leaves of a value of one interface.
func below(at place, v any, deep int, take func(place, any)) {
	m, object := v.(map[string]any)
	switch {
	case !object && at.iface != "" && at.leaf != "":
		take(at, v)
	case !object || deep == maxDepth:
	default:
		for name, x := range m {
			next := place{at.iface, bare(name)}
			if at.leaf != "" {
				next.leaf = at.leaf + "/" + next.leaf
			}
			if at.iface == "" && next.leaf == "name" { // a list's element by itself
				continue
			}
			below(next, x, deep+1, take)
		}
	}
}

// number reads a count in any of the forms that encodings have for it.
func number(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	case json.Number:
		n, err := strconv.ParseUint(string(v), 10, 64)
		return n, err == nil
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		return n, err == nil
	case float64:
		return uint64(v), v >= 0 && v < 1<<63 && v == math.Trunc(v)
	case float32:
		return number(float64(v))
	}
	return 0, false
}

// maxWord bounds the words of a status that are kept.
const maxWord = 32

// word reads the name of a status, without its module. It is a copy: what is kept must not hold on to a message of megabytes.
func word(v any) (string, bool) {
	s, ok := v.(string)
	s = bare(s)
	if !ok || s == "" || len(s) > maxWord {
		return "", false
	}
	for _, r := range s {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "", false
		}
	}
	return strings.Clone(s), true
}

// speed reads openconfig-if-ethernet's identities, such as SPEED_2500MB and SPEED_100GB, in bits a second.
func speed(v any) (uint64, bool) {
	s, ok := word(v)
	s, named := strings.CutPrefix(s, "SPEED_")
	unit := uint64(1e6)
	digits, mega := strings.CutSuffix(s, "MB")
	if !mega {
		var giga bool
		if digits, giga = strings.CutSuffix(s, "GB"); !giga {
			return 0, ok && named && s == "UNKNOWN"
		}
		unit = 1e9
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return n * unit, ok && named && err == nil
}
