package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/manual"
	"github.com/weft-sdn/weft/topology"
)

// described is a kind or field as package manual has it.
type described struct {
	Name   string      `json:"name"`
	Needed bool        `json:"needed"`
	Doc    string      `json:"doc"`
	Fields []described `json:"fields"`
}

func (d *described) field(name string) *described {
	for i := range d.Fields {
		if d.Fields[i].Name == name {
			return &d.Fields[i]
		}
	}
	return new(described)
}

// schemas are what the description of the API says of bodies: those of objects come from the types of package topology, with its texts.
type schemas struct {
	registry huma.Registry
	kinds    map[topology.Kind]*huma.Schema
	all      *huma.Schema // any object
	list     *huma.Schema
	result   *huma.Schema
	change   *huma.Schema
	event    *huma.Schema
	problem  *huma.Schema

	operation *huma.Schema
}

func newSchemas(r huma.Registry) (*schemas, error) {
	var texts []described
	if err := json.Unmarshal(manual.Objects, &texts); err != nil {
		return nil, err
	}
	s := &schemas{registry: r, kinds: map[topology.Kind]*huma.Schema{}}
	var every []*huma.Schema
	for _, k := range topology.Kinds() {
		doc := new(described)
		for i := range texts {
			if texts[i].Name == string(k) {
				doc = &texts[i]
			}
		}
		s.kinds[k] = s.object(k, doc)
		every = append(every, s.kinds[k])
	}
	s.all = s.named("Object", &huma.Schema{Description: "An object, of any kind", OneOf: every, Discriminator: &huma.Discriminator{PropertyName: "kind"}})
	number := func(doc string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: doc}
	}
	items := &huma.Schema{Type: huma.TypeArray, Items: s.all}
	s.list = s.named("List", &huma.Schema{Type: huma.TypeObject, Description: "Some of the objects that were asked for, as they were at one revision", Required: []string{"revision", "total", "items"}, Properties: map[string]*huma.Schema{
		"revision": number("At which they were so; watch from there"), "total": number("How many there are in all pages"), "continue": {Type: huma.TypeString, Description: "Ask for what follows with this; none: that is all"}, "items": items,
	}})
	ref := r.Schema(reflect.TypeFor[client.Ref](), true, "Ref")
	s.change = s.named("Change", &huma.Schema{Type: huma.TypeObject, Description: "What is to be changed", Properties: map[string]*huma.Schema{
		"put":    {Type: huma.TypeArray, Items: s.all, Description: "Objects to create or replace"},
		"delete": {Type: huma.TypeArray, Items: ref, Description: "Objects to delete; one that is put, too, is replaced and keeps its id"},
	}})
	s.event = s.named("Event", &huma.Schema{Type: huma.TypeObject, Description: "Data of a server-sent event", Required: []string{"type", "revision"}, Properties: map[string]*huma.Schema{
		"type": {Type: huma.TypeString, Enum: []any{"put", "delete", "bookmark"}}, "revision": number("At which it happened"), "object": {Ref: s.all.Ref, Description: "Of put: as it is now; of delete: as it was last"},
	}})
	pointer := &huma.Schema{Type: huma.TypeString, Description: "A place in the object (RFC 6901)"}
	s.operation = s.named("PatchOperation", &huma.Schema{Type: huma.TypeObject, Description: "An operation of a patch (RFC 6902)", Required: []string{"op", "path"}, Properties: map[string]*huma.Schema{
		"op": {Type: huma.TypeString, Enum: []any{"add", "remove", "replace", "move", "copy", "test"}}, "path": pointer, "from": pointer, "value": {},
	}})
	s.result = r.Schema(reflect.TypeFor[client.Result](), true, "Result")
	s.problem = r.Schema(reflect.TypeFor[client.Problem](), true, "Problem")
	return s, nil
}

// named adds a schema to the components.
func (s *schemas) named(name string, schema *huma.Schema) *huma.Schema {
	s.registry.Map()[name] = schema
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// object is the schema of the objects of a kind.
func (s *schemas) object(k topology.Kind, doc *described) *huma.Schema {
	spec := s.registry.Schema(reflect.TypeOf(topology.NewSpec(k)).Elem(), true, string(k)+"Spec")
	meta := s.registry.Schema(reflect.TypeFor[topology.Metadata](), true, "Metadata")
	status := s.registry.Schema(reflect.TypeFor[topology.Status](), true, "Status")
	s.describe(spec, doc.field("spec"), map[string]bool{})
	s.describe(meta, doc.field("metadata"), map[string]bool{})
	s.describe(status, doc.field("status"), map[string]bool{})
	s.resolve(meta).Required, s.resolve(status).Required = nil, nil // of a body, the path says the rest
	return s.named(string(k), &huma.Schema{
		Type: huma.TypeObject, Description: doc.Doc, Required: []string{"spec"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
			"apiVersion": {Type: huma.TypeString, Enum: []any{topology.APIVersion}, Description: "Default: " + topology.APIVersion},
			"kind":       {Type: huma.TypeString, Enum: []any{string(k)}, Description: "Default: that of the path"},
			"metadata":   {Ref: meta.Ref, Description: "Default: tenant and name of the path"},
			"spec":       {Ref: spec.Ref},
			"status":     {Ref: status.Ref, ReadOnly: true, Description: "What the system adds; it is ignored in a request"},
			"revision":   {Type: huma.TypeInteger, Format: "int64", Description: "At which it was last changed; in a request: at which it must have been, or the answer is 409"},
		},
	})
}

// resolve is what a schema refers to.
func (s *schemas) resolve(schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		return s.registry.SchemaFromRef(schema.Ref)
	}
	return schema
}

// describe gives the fields of a structure their texts, and says which are needed.
func (s *schemas) describe(schema *huma.Schema, doc *described, done map[string]bool) {
	if schema == nil || done[schema.Ref] && schema.Ref != "" {
		return
	}
	done[schema.Ref] = true
	to := s.resolve(schema)
	if to == nil || to.Type != huma.TypeObject || len(doc.Fields) == 0 {
		return
	}
	to.Required = nil
	for i := range doc.Fields {
		f := &doc.Fields[i]
		prop := to.Properties[f.Name]
		if prop == nil {
			continue
		}
		prop.Description = f.Doc
		if f.Needed {
			to.Required = append(to.Required, f.Name)
		}
		for item := prop; item != nil; item = item.Items {
			s.describe(item, f, done)
		}
	}
}

// say puts what bodies are into the description of an operation. Media types of requests go with their schemas.
func (s *Server) say(method, path string, request map[string]*huma.Schema, answer *huma.Schema) {
	op := operationsOf(s.api.OpenAPI().Paths[path])[method]
	if request != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
		for media, schema := range request {
			op.RequestBody.Content[media] = &huma.MediaType{Schema: schema}
		}
	}
	for status, r := range op.Responses {
		if answer != nil && strings.HasPrefix(status, "2") {
			r.Content = map[string]*huma.MediaType{mediaJSON: {Schema: answer}}
		}
	}
}

// operationsOf are the operations of a path, by method.
func operationsOf(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete}
	maps.DeleteFunc(all, func(_ string, op *huma.Operation) bool { return op == nil })
	return all
}

// sayAll completes the description of the API.
func (s *Server) sayAll() error {
	sc, err := newSchemas(s.api.OpenAPI().Components.Schemas)
	if err != nil {
		return err
	}
	for _, k := range topology.Kinds() {
		path, object := "/v1/"+client.Plural(k), sc.kinds[k]
		s.say(http.MethodGet, path, nil, sc.list)
		s.say(http.MethodGet, path+"/{tenant}", nil, sc.list)
		s.say(http.MethodPost, path+"/{tenant}", map[string]*huma.Schema{mediaJSON: object}, object)
		one := path + "/{tenant}/{name}"
		s.say(http.MethodGet, one, nil, object)
		s.say(http.MethodPut, one, map[string]*huma.Schema{mediaJSON: object}, object)
		merge := &huma.Schema{Type: huma.TypeObject, Description: "Fields that change, as in the object; null removes one (RFC 7396)"}
		s.say(http.MethodPatch, one, map[string]*huma.Schema{
			mediaJSON: merge, string(client.MergePatch): merge,
			string(client.JSONPatch): {Type: huma.TypeArray, Items: sc.operation, Description: "Operations, in order (RFC 6902)"},
		}, object)
		s.say(http.MethodDelete, one, nil, sc.result)
	}
	s.say(http.MethodGet, "/v1/objects", nil, sc.list)
	s.say(http.MethodPost, "/v1/apply", map[string]*huma.Schema{mediaJSON: sc.change, mediaYAML: {Type: huma.TypeString, Description: "Manifests, which are put"}}, sc.result)
	watch := s.api.OpenAPI().Paths[watchPath].Get
	watch.Responses["200"] = &huma.Response{Description: "A stream of events", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: sc.event}}}
	for _, item := range s.api.OpenAPI().Paths {
		for _, op := range operationsOf(item) {
			op.Responses["default"] = &huma.Response{Description: "Why not (RFC 9457)", Content: map[string]*huma.MediaType{client.ProblemType: {Schema: sc.problem}}}
			op.Security = []map[string][]string{{"token": {}}}
		}
	}
	c := s.api.OpenAPI().Components
	c.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "A token of this server, or an ID token of its OpenID provider"}}
	delete(c.Schemas.Map(), "ErrorModel")
	delete(c.Schemas.Map(), "ErrorDetail")
	return nil
}
