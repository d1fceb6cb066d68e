package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/topology"
)

// source is what the comments of package topology say of its types.
type source struct {
	types map[string]*ast.TypeSpec
	docs  map[string]string // of types
	texts map[string]string // what UnmarshalText of a type reads
}

// readSource parses the package.
func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{map[string]*ast.TypeSpec{}, map[string]string{}, map[string]string{}}
	files, err := filepath.Glob("../../topology/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						s.types[ts.Name.Name], s.docs[ts.Name.Name] = ts, d.Doc.Text()
					}
				}
			case *ast.FuncDecl:
				if star, ok := receiver(d).(*ast.StarExpr); ok && d.Name.Name == "UnmarshalText" {
					s.texts[star.X.(*ast.Ident).Name] = strings.TrimSuffix(strings.TrimPrefix(oneLine(d.Doc.Text()), "UnmarshalText reads "), ".")
				}
			}
		}
	}
	return s
}

func receiver(d *ast.FuncDecl) ast.Expr {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return nil
	}
	return d.Recv.List[0].Type
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

var requirements = regexp.MustCompile(` \([A-Z]\d+(–[A-Z]?\d+|, [A-Z]\d+)*\)`)

// sentence makes a type's comment one of its kind: "BridgeSpec is a virtual bridge (B1)." is "A virtual bridge."
func sentence(name, doc string) string {
	doc = requirements.ReplaceAllString(oneLine(doc), "")
	doc = strings.TrimPrefix(strings.TrimPrefix(doc, name+" "), "is ")
	if doc == "" {
		return ""
	}
	return string(unicode.ToUpper([]rune(doc)[0])) + string([]rune(doc)[1:])
}

// ranges are the values that fields take, where that is less than their types do.
var ranges = map[string]string{"dscp": "0 to 63", "vlan": "1 to 4094", "native": "1 to 4094"}

// form names a type, and the struct whose fields are below it, if any.
func (s *source) form(t *testing.T, x ast.Expr) (text string, below string) {
	t.Helper()
	switch x := x.(type) {
	case *ast.StarExpr:
		return s.form(t, x.X)
	case *ast.ArrayType:
		text, below = s.form(t, x.Elt)
		if text == "fields" {
			return "list", below
		}
		return "list of " + text, below
	case *ast.MapType:
		value, _ := s.form(t, x.Value)
		return "map of " + value, ""
	case *ast.SelectorExpr:
		known := map[string]string{"MAC": "MAC", "Addr": "IP address", "Prefix": "IP prefix", "VPortID": "number", "Duration": "duration", "Time": "time such as 2026-03-01T18:00:00Z"}[x.Sel.Name]
		if known == "" {
			t.Fatalf("a field has a type that this test does not know: %s", x.Sel.Name)
		}
		return known, ""
	case *ast.Ident:
		if known := map[string]string{"string": "text", "bool": "true or false", "uint8": "0 to 255", "uint16": "0 to 65535", "uint32": "number", "Kind": "text"}[x.Name]; known != "" {
			return known, ""
		}
		if what, ok := s.texts[x.Name]; ok {
			return what, ""
		}
		if ts := s.types[x.Name]; ts != nil {
			if _, ok := ts.Type.(*ast.StructType); ok {
				return "fields", x.Name
			}
			return s.form(t, ts.Type)
		}
		t.Fatalf("a field has a type that this test does not know: %s", x.Name)
	}
	t.Fatalf("a field has a type that this test does not know: %T", x)
	return "", ""
}

// fields explains the fields of a struct.
func (s *source) fields(t *testing.T, name string) []explained {
	t.Helper()
	var all []explained
	for _, f := range s.types[name].Type.(*ast.StructType).Fields.List {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		json, options, _ := strings.Cut(tag, ",")
		doc := oneLine(f.Comment.Text())
		if doc == "" {
			doc = oneLine(f.Doc.Text())
		}
		e := explained{Name: json, Needed: options == "", Doc: requirements.ReplaceAllString(doc, "")}
		below := ""
		if e.Type, below = s.form(t, f.Type); below != "" {
			e.Fields = s.fields(t, below)
			if e.Doc == "" {
				e.Doc = sentence(below, s.docs[below])
			}
		}
		if r := ranges[e.Name]; r != "" {
			e.Type = strings.Replace(e.Type, "0 to 65535", r, 1)
		}
		all = append(all, e)
	}
	return all
}

// kinds explains all kinds.
func (s *source) kinds(t *testing.T) []explained {
	t.Helper()
	var all []explained
	for _, k := range topology.Kinds() {
		name := string(k) + "Spec"
		if s.types[name] == nil {
			t.Fatalf("topology has no type %s", name)
		}
		all = append(all, explained{Name: string(k), Doc: sentence(name, s.docs[name]), Fields: []explained{
			{Name: "metadata", Type: "fields", Needed: true, Doc: "The object's name, its tenant and its labels.", Fields: s.fields(t, "Metadata")},
			{Name: "spec", Type: "fields", Needed: true, Doc: "What the object is to be.", Fields: s.fields(t, name)},
		}})
	}
	return all
}

// TestObjects: what weft explain and docs/objects.md say is what the comments of package topology say, for every kind and field. UPDATE=1 writes both.
func TestObjects(t *testing.T) {
	kinds := readSource(t).kinds(t)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(kinds); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"../../manual/objects.json": b.String(), "../../docs/objects.md": objectsDoc(kinds)} {
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is not what package topology says; UPDATE=1 go test ./cmd/weft -run TestObjects writes it (-want +got):\n%s", file, d)
		}
	}
}

// TestCommandsTable: docs/operations.md has a row for every command of the network and its edges.
func TestCommandsTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range newRoot().Commands() {
		row := regexp.MustCompile("(?m)^\\|[^|]*`weft " + c.Name() + "`[^|]*\\| [^|]+\\|$")
		if (c.GroupID == "network" || c.GroupID == "edges" || c.GroupID == "access") && !row.Match(doc) {
			t.Errorf("no row for weft %s", c.Name())
		}
	}
}
