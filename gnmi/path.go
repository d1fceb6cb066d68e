package gnmi

import (
	"maps"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// Wildcards of gNMI paths ("gNMI specification", 2.4.1 and path conventions).
const (
	anyName  = "*"
	anyDepth = "..."
)

// Bounds of a path: its elements, and how many of them stand for any number of others.
const (
	maxElems = 64
	maxDeep  = 3
)

// Join is a path below a prefix, without target and origin. It refuses what this server has not. Several "..." in a row are one: what they match is the same,
// and the ways to match them grow with their power.
func (s *Server) Join(prefix, p *gpb.Path) ([]*gpb.PathElem, error) {
	for _, x := range []*gpb.Path{prefix, p} {
		if o := x.GetOrigin(); o != "" && !slices.Contains(s.config.Origins, o) {
			return nil, Invalidf("origin %q is not known; known are %s", o, strings.Join(s.config.Origins, " and "))
		}
		//lint:ignore SA1019 a client of gNMI before 0.4 is told so
		if len(x.GetElement()) > 0 {
			return nil, Invalidf("path uses the field element, which gNMI 0.4 replaced by elem")
		}
	}
	path := slices.CompactFunc(slices.Concat(prefix.GetElem(), p.GetElem()), func(a, b *gpb.PathElem) bool {
		return a.GetName() == anyDepth && b.GetName() == anyDepth
	})
	deep := 0
	for _, e := range path {
		if e.GetName() == anyDepth {
			deep++
		}
	}
	if deep > maxDeep {
		return nil, Invalidf("path has %q %d times; use %d at most", anyDepth, deep, maxDeep)
	}
	if len(path) > maxElems {
		return nil, Invalidf("path has %d elements; use %d at most", len(path), maxElems)
	}
	return path, nil
}

// compares is how many comparisons with a leaf a path takes, give or take: each anyDepth of it may stand for any number of elements.
func compares(path []*gpb.PathElem) int {
	n := 1
	for _, e := range path {
		if e.GetName() == anyDepth {
			n *= 8
		}
	}
	return n
}

// Covers tells whether a leaf is at or below the path.
func Covers(path, leaf []*gpb.PathElem) bool {
	if len(path) == 0 {
		return true
	}
	if path[0].GetName() == anyDepth {
		for i := range len(leaf) + 1 {
			if Covers(path[1:], leaf[i:]) {
				return true
			}
		}
		return false
	}
	return len(leaf) > 0 && sameElem(path[0], leaf[0]) && Covers(path[1:], leaf[1:])
}

// sameElem compares an element of a query with one of a leaf. Keys that the query leaves out match
// anything, as "*" does; prefixes of modules don't count.
func sameElem(query, leaf *gpb.PathElem) bool {
	_, name, found := strings.Cut(query.GetName(), ":")
	if !found {
		name = query.GetName()
	}
	if name != anyName && name != leaf.GetName() {
		return false
	}
	for k, v := range query.GetKey() {
		if have, ok := leaf.GetKey()[k]; !ok || v != anyName && v != have {
			return false
		}
	}
	return true
}

// Show writes a path in its usual form.
func Show(path []*gpb.PathElem) string {
	var b strings.Builder
	for _, e := range path {
		b.WriteByte('/')
		b.WriteString(e.GetName())
		for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
			b.WriteString("[" + k + "=" + e.GetKey()[k] + "]")
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// wild tells whether a path can name more than one thing.
func wild(path []*gpb.PathElem) bool {
	return slices.ContainsFunc(path, func(e *gpb.PathElem) bool {
		if e.GetName() == anyName || e.GetName() == anyDepth || isList(e.GetName()) && len(e.GetKey()) == 0 {
			return true
		}
		return slices.Contains(slices.Collect(maps.Values(e.GetKey())), anyName)
	})
}

// isList reports whether elements of a name are told apart by a key.
func isList(name string) bool { return name == "interface" || name == "network-instance" }
