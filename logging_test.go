package weft_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// synonyms are names of log fields that are called otherwise here, and how.
var synonyms = map[string]string{
	"error": "err", "edge_id": "edge", "edgeID": "edge", "node": "edge", "port_name": "vport", "vPort": "vport", "vport_name": "vport", "tenant_name": "tenant", "interface_name": "interface",
	"password": "(nothing)", "secret": "(nothing)", "token": "(nothing)", "psk": "(nothing)", "private_key": "(nothing)", "privateKey": "(nothing)", "authorization": "(nothing)",
}

// ids are what is no name.
var ids = regexp.MustCompile(`(^|\.)(id|ID|VPort|vport)$`)

// TestLogFields: what a log line is about is called the same everywhere (docs/operations.md, Logs), and nothing is logged that is to be kept.
func TestLogFields(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "testbed" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, text, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			args := logged(call)
			for i := 0; i+1 < len(args); i += 2 {
				lit, ok := args[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				seen++
				name, _ := strconv.Unquote(lit.Value)
				at := set.Position(lit.Pos())
				if right, is := synonyms[name]; is {
					t.Errorf("%v: field %q is called %s", at, name, right)
				}
				value := string(text[set.Position(args[i+1].Pos()).Offset:set.Position(args[i+1].End()).Offset])
				if name == "vport" && ids.MatchString(value) {
					t.Errorf("%v: field %q is TENANT/NAME; %s is an id: use vport_id", at, name, value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 100 {
		t.Errorf("only %d fields were found", seen)
	}
}

// logged are the fields and values of a call of a logger.
func logged(call *ast.CallExpr) []ast.Expr {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "With"}, s.Sel.Name) {
		return nil
	}
	if s.Sel.Name == "With" {
		return call.Args
	}
	return call.Args[min(1, len(call.Args)):]
}
