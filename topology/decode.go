package topology

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/weft-sdn/weft/packet"
)

// Decode reads objects from a YAML or JSON stream. Unknown and repeated fields are errors; all errors are reported (Errors).
// It checks form, and values too once a form is wrong, so that all errors come at once; Set.Apply checks meaning.
func Decode(file string, data []byte) ([]*Object, error) {
	f, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	var objects []*Object
	var errs Errors
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		d := decoder{file: file, lines: map[string]int{}}
		o := d.object(doc.Body)
		errs = append(errs, d.errs...)
		objects = append(objects, o)
	}
	if len(errs) > 0 {
		return nil, errs.withValues(objects)
	}
	return objects, nil
}

// DecodeDocument reads the one document of a YAML or JSON file of another form into a struct with json tags, by the rules of Decode. The source
// has the lines of the fields that are there.
func DecodeDocument(file string, data []byte, into any) (*Source, error) {
	f, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	d := decoder{file: file, lines: map[string]int{}}
	for _, doc := range f.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType:
		case len(d.lines) > 0:
			d.fail(doc.Body, "", "", "is a second document", "write one")
		default:
			d.value(doc.Body, reflect.ValueOf(into).Elem(), "")
		}
	}
	return &Source{File: file, Lines: d.lines}, d.errs.orNil()
}

// mostNested is how deep values may be in each other. The parser's time and memory grow with the square of it: 100 kB of brackets would take 20 GB.
const mostNested = 100

// tooNested returns a token at which values are too deep in each other; nil: none is. In block style what opens a value stands in one line, or costs as many spaces.
func tooNested(tokens token.Tokens) *token.Token {
	flow, line, opened := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, opened = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			if flow == 0 {
				opened++
			}
		}
		if flow > mostNested || opened > mostNested {
			return t
		}
	}
	return nil
}

func parse(file string, data []byte) (*ast.File, error) {
	tokens := lexer.Tokenize(string(data))
	if t := tooNested(tokens); t != nil {
		return nil, Errors{{File: file, Line: t.Position.Line, Problem: fmt.Sprintf("has values in values more than %d deep", mostNested), Hint: "no object needs that"}}
	}
	f, err := parser.Parse(tokens, 0)
	if err == nil {
		return f, nil
	}
	e := &FieldError{File: file}
	var se *yaml.SyntaxError
	if !errors.As(err, &se) {
		e.Problem = err.Error()
		return nil, Errors{e}
	}
	if e.Problem = se.Message; se.Token != nil { // its text would quote all of a long line, in time that grows with the square of that
		e.Line = se.Token.Position.Line
	}
	return nil, Errors{e}
}

// decoder fills one object and notes the line of every field.
type decoder struct {
	file    string
	subject string
	lines   map[string]int
	errs    Errors
}

func (d *decoder) fail(n ast.Node, path, value, problem, hint string) {
	e := &FieldError{File: d.file, Object: d.subject, Field: path, Value: value, Problem: problem, Hint: hint}
	if n != nil {
		e.Line = n.GetToken().Position.Line
	}
	d.errs = append(d.errs, e)
}

// object decodes a document. The kind goes first, since it decides what spec is.
func (d *decoder) object(n ast.Node) *Object {
	o := &Object{Source: &Source{File: d.file, Lines: d.lines}}
	d.lines[""] = n.GetToken().Position.Line
	fields := d.fields(n, "")
	if len(d.errs) > 0 {
		return o
	}
	for _, v := range fields {
		if key(v) == "kind" {
			o.Kind = Kind(text(v.Value))
		}
		if key(v) == "metadata" {
			for _, m := range mapping(v.Value) {
				switch key(m) {
				case "name":
					o.Metadata.Name = text(m.Value)
				case "tenant":
					o.Metadata.Tenant = text(m.Value)
				}
			}
		}
	}
	spec := newSpec(o.Kind)
	if spec == nil {
		names := make([]string, 0, 5)
		for _, k := range Kinds() {
			names = append(names, string(k))
		}
		problem := "is no kind of object"
		if o.Kind == "" {
			problem = "is missing"
		}
		d.fail(n, "kind", string(o.Kind), problem, "use one of "+strings.Join(names, ", "))
		return o
	}
	o.Spec = spec
	d.subject = o.Ref().String()
	var form struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   Metadata `json:"metadata"`
		Spec       Spec     `json:"spec"`
		Status     Status   `json:"status"`
	}
	form.Spec = spec
	d.value(n, reflect.ValueOf(&form).Elem(), "")
	o.APIVersion, o.Metadata, o.Status = form.APIVersion, form.Metadata, form.Status
	return o
}

// mapping returns the fields of a mapping, nil if n is none.
func mapping(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func (d *decoder) fields(n ast.Node, path string) []*ast.MappingValueNode {
	f := mapping(n)
	if m, ok := n.(*ast.MappingNode); f == nil && !(ok && len(m.Values) == 0) {
		d.fail(n, path, text(n), "is not a mapping", "write fields as name: value")
	}
	return f
}

func key(v *ast.MappingValueNode) string { return v.Key.GetToken().Value }

func text(n ast.Node) string {
	if n == nil || mapping(n) != nil || n.Type() == ast.SequenceType {
		return ""
	}
	if s, ok := n.(*ast.LiteralNode); ok {
		return s.Value.Value
	}
	return n.GetToken().Value
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// value decodes n into v.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	d.lines[path] = n.GetToken().Position.Line
	if n.Type() == ast.NullType {
		return // as if left out
	}
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.TagType, ast.MergeKeyType:
		d.fail(n, path, "", "uses a YAML anchor, alias or tag", "write the value itself")
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		m, isMAC := u.(*packet.MAC)
		if s := text(n); s == "" || u.UnmarshalText([]byte(s)) != nil || isMAC && m.IsZero() {
			d.fail(n, path, s, "is not "+article(v.Interface()), "")
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Interface:
		d.value(n, reflect.Indirect(reflect.ValueOf(v.Interface())), path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for _, f := range d.fields(n, path) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(f.Value, item, join(path, key(f)))
			m.SetMapIndex(reflect.ValueOf(key(f)), item)
		}
		v.Set(m)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) structure(n ast.Node, v reflect.Value, path string) {
	t := v.Type()
	for _, f := range d.fields(n, path) {
		i, known := 0, make([]string, 0, t.NumField())
		for ; i < t.NumField(); i++ {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if name == key(f) {
				break
			}
			known = append(known, name)
		}
		if i == t.NumField() {
			d.fail(f.Key, join(path, key(f)), "", "is not a known field", "use one of "+strings.Join(known, ", "))
			continue
		}
		d.value(f.Value, v.Field(i), join(path, key(f)))
		if narrows(v.Interface(), key(f)) && v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0 && emptyList(f.Value) {
			d.fail(f.Value, join(path, key(f)), "", "is empty", "leave it out, or list one value at least")
		}
	}
}

// narrows reports whether a list says which packets or hosts are meant, so that none given means all of them, or whatever is there: one that is given and
// empty is hardly meant so.
func narrows(in any, field string) bool {
	switch in.(type) {
	case MatchSpec, SecurityRule, NATSpec, AddressGroupSpec, PortGroupSpec:
		return true
	case SecurityGroupSpec:
		return field == "egress" // none: all
	}
	return false
}

// emptyList reports whether a list has no items, or is null.
func emptyList(n ast.Node) bool {
	s, ok := n.(*ast.SequenceNode)
	return ok && len(s.Values) == 0 || n.Type() == ast.NullType
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, path, text(n), "is not a list", "write items as - item, or [item, item]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		if at := fmt.Sprintf("%s[%d]", path, i); item.Type() == ast.NullType {
			d.fail(item, at, "", "is empty", "write a value, or leave the item out")
		} else {
			d.value(item, v.Index(i), at)
		}
	}
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	s := text(n)
	if mapping(n) != nil || n.Type() == ast.SequenceType || n.Type() == ast.MappingType {
		d.fail(n, path, "", "is a mapping or a list", "write one value, in quotes if it has a colon")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			d.fail(n, path, s, "is neither true nor false", "")
		}
		v.SetBool(s == "true")
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		x, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			d.fail(n, path, s, "is not a number in range", fmt.Sprintf("use 0 to %d", uint64(1)<<v.Type().Bits()-1))
		}
		v.SetUint(x)
	default:
		d.fail(n, path, s, "has a type that can't be read", "")
	}
}

// article names a type of value for an error.
func article(v any) string {
	switch v.(type) {
	case netip.Prefix:
		return "an IP prefix such as 10.0.0.0/24 or 2001:db8::/64"
	case netip.Addr:
		return "an IP address such as 10.0.0.1 or 2001:db8::1"
	case packet.MAC:
		return "a MAC such as 02:00:00:00:00:01"
	case AddrSpec:
		return "an address or prefix such as 10.0.0.1, 10.0.0.0/24 or 2001:db8::/64"
	case PortRange:
		return "a port or range of ports such as 80 or 8000-8080"
	case VLANRange:
		return "a VLAN or range of VLANs such as 10 or 100-199"
	case Protocol:
		return "a protocol: tcp, udp, sctp, icmp, icmpv6, igmp, gre or a number"
	case EtherType:
		return "a type of frames: ipv4, ipv6, arp or a number such as 0x88cc"
	case ICMPType:
		return "an ICMP type, or type and code, such as 8 or 3/4"
	case Fragment:
		return "a class of fragments: whole, first or later"
	case ConnState:
		return "a state of connections: new, established or related"
	case AddrRange:
		return "an address or range of addresses such as 192.0.2.1 or 192.0.2.1-192.0.2.9"
	case BitRate:
		return "a rate in bits a second such as 50M, 2500k or 10G"
	case time.Time:
		return "a time such as 2026-03-01T18:00:00Z or 2026-03-01T19:00:00+01:00"
	case FlagSpec:
		return "TCP flags such as syn or syn+!ack"
	}
	return fmt.Sprintf("a %T", v)
}
