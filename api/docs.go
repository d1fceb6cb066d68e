package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsTemplate makes the page of all that there is. It takes nothing from elsewhere.
//
//go:embed docs.html
var docsTemplate string

// docsPage is what the page shows.
type docsPage struct {
	Title, Version, Text string
	Tags                 []docsTag
	Schemas              []docsSchema
}

type docsTag struct {
	Name string
	Ops  []docsOp
}

type docsOp struct {
	Method, Path, ID, Summary, Text string
	Params                          []docsField
	Body, Answer                    []docsField // media type and schema
}

type docsSchema struct {
	Name, Text string
	Fields     []docsField
}

// docsField is a parameter, a field, or a body. Ref is the schema that it links to.
type docsField struct {
	Name, Where, Type, Ref, Text string
	Needed                       bool
}

// typeOf is the type of a schema in words, and the named schema that it refers to.
func typeOf(s *huma.Schema) (text, ref string) {
	switch {
	case s == nil:
		return "any", ""
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return name, name
	case s.Type == huma.TypeArray:
		text, ref = typeOf(s.Items)
		return "list of " + text, ref
	case len(s.Enum) == 1:
		return "always " + strings.Trim(strings.ReplaceAll(string(mustJSON(s.Enum[0])), `"`, ""), " "), ""
	case len(s.Enum) > 1:
		return "one of " + strings.NewReplacer(`"`, "", "[", "", "]", "", ",", ", ").Replace(string(mustJSON(s.Enum))), ""
	case s.Type == "":
		return "any", ""
	}
	return s.Type, ""
}

func bodies(content map[string]*huma.MediaType) (out []docsField) {
	for media, m := range content {
		f := docsField{Name: media}
		f.Type, f.Ref = typeOf(m.Schema)
		if m.Schema != nil {
			f.Text = m.Schema.Description
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b docsField) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// page gathers what the description of the API says.
func page(o *huma.OpenAPI) docsPage {
	p := docsPage{Title: o.Info.Title, Version: o.Info.Version, Text: o.Info.Description}
	for _, path := range sortedKeys(o.Paths) {
		item := o.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			d := docsOp{Method: op.Method, Path: op.Path, ID: op.OperationID, Summary: op.Summary, Text: op.Description}
			for _, x := range op.Parameters {
				f := docsField{Name: x.Name, Where: x.In, Text: x.Description, Needed: x.Required}
				f.Type, _ = typeOf(x.Schema)
				d.Params = append(d.Params, f)
			}
			if op.RequestBody != nil {
				d.Body = bodies(op.RequestBody.Content)
			}
			for _, status := range sortedKeys(op.Responses) {
				if strings.HasPrefix(status, "2") {
					d.Answer = append(d.Answer, bodies(op.Responses[status].Content)...)
				}
			}
			tag := "Others"
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			i := slices.IndexFunc(p.Tags, func(t docsTag) bool { return t.Name == tag })
			if i < 0 {
				p.Tags = append(p.Tags, docsTag{Name: tag})
				i = len(p.Tags) - 1
			}
			p.Tags[i].Ops = append(p.Tags[i].Ops, d)
		}
	}
	all := o.Components.Schemas.Map()
	for _, name := range sortedKeys(all) {
		s := all[name]
		d := docsSchema{Name: name, Text: s.Description}
		for _, field := range sortedKeys(s.Properties) {
			f := docsField{Name: field, Text: s.Properties[field].Description, Needed: slices.Contains(s.Required, field)}
			f.Type, f.Ref = typeOf(s.Properties[field])
			d.Fields = append(d.Fields, f)
		}
		p.Schemas = append(p.Schemas, d)
	}
	return p
}

// docsRoute serves the page at /docs.
func (s *Server) docsRoute() error {
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page(s.api.OpenAPI())); err != nil {
		return err
	}
	s.docs = b.Bytes()
	return nil
}

// serveDocs answers with the page.
func (s *Server) serveDocs(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(s.docs)
}
