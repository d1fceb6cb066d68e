package client

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// Object is an object as the API has it: a manifest, with the revision at which it was last changed.
type Object struct {
	topology.Object
	Revision int64 `json:"revision,omitempty"` // sent back with a change, it is refused if the object was changed since
}

// UnmarshalJSON reads what the API writes.
func (o *Object) UnmarshalJSON(b []byte) error {
	var at struct {
		Revision int64 `json:"revision"`
	}
	if err := json.Unmarshal(b, &at); err != nil {
		return err
	}
	o.Revision = at.Revision
	return o.Object.UnmarshalJSON(b)
}

// Encode returns an object as the API writes it: its JSON as it is stored, with the revision.
func Encode(stored []byte, revision int64) []byte {
	b := bytes.TrimRight(stored, " \n")
	out := make([]byte, 0, len(b)+32)
	out = append(out, b[:len(b)-1]...)
	out = append(out, `,"revision":`...)
	out = appendInt(out, revision)
	return append(out, '}')
}

func appendInt(b []byte, n int64) []byte {
	text, _ := json.Marshal(n)
	return append(b, text...)
}

// Ref names an object.
type Ref struct {
	Kind   topology.Kind `json:"kind" doc:"Kind of the object"`
	Tenant string        `json:"tenant,omitempty" doc:"Its owner; default: default"`
	Name   string        `json:"name" doc:"Its name"`
}

// RefOf is a topology.Ref in the API's form.
func RefOf(r topology.Ref) Ref { return Ref{r.Kind, r.Tenant, r.Name} }

// Topology is the same as package topology has it.
func (r Ref) Topology() topology.Ref {
	if r.Tenant == "" {
		r.Tenant = topology.DefaultTenant
	}
	return topology.Ref{Kind: r.Kind, Tenant: r.Tenant, Name: r.Name}
}

// Plural is a kind as it is in paths: vports.
func Plural(k topology.Kind) string {
	name := strings.ToLower(string(k))
	switch {
	case strings.HasSuffix(name, "s"):
		return name
	case strings.HasSuffix(name, "y"):
		return name[:len(name)-1] + "ies"
	}
	return name + "s"
}

// List is some of the objects that were asked for, all as they were at one revision.
type List struct {
	Revision int64    `json:"revision"`           // at which they were so; watch from there
	Continue string   `json:"continue,omitempty"` // ask for what follows with this; empty: that is all
	Total    int      `json:"total"`              // how many there are in all pages
	Items    []Object `json:"items"`
}

// Change is what a request changes.
type Change struct {
	Put    []topology.Object `json:"put,omitempty"`    // create these, or replace them
	Delete []Ref             `json:"delete,omitempty"` // one that is in Put, too, is replaced and keeps its id
}

// Step is what a change did to one object, or would do.
type Step struct {
	Ref
	Action string      `json:"action" enum:"created,configured,unchanged,deleted" doc:"What becomes of the object"`
	Fields []FieldStep `json:"fields,omitempty" doc:"Of one that is configured: the fields that differ"`
}

// Actions of steps.
const (
	Created    = "created"
	Configured = "configured"
	Unchanged  = "unchanged"
	Deleted    = "deleted"
)

// FieldStep is how one field of an object changes.
type FieldStep struct {
	Path   string          `json:"path" doc:"JSON pointer to the field in the object (RFC 6901)"`
	Before json.RawMessage `json:"before,omitempty" doc:"Value that it had; left out: none"`
	After  json.RawMessage `json:"after,omitempty" doc:"Value that it has; left out: none"`
}

// Result is what a change did, or would do.
type Result struct {
	Revision int64  `json:"revision" doc:"Of the change: all of it is there from then on. Of one that changes nothing, and of a dry run: the last one before"`
	DryRun   bool   `json:"dryRun,omitempty" doc:"Nothing was changed"`
	Steps    []Step `json:"steps" doc:"What was deleted, then what was put, in the order given"`
}

// Event is what Watch tells.
type Event struct {
	Type     EventType `json:"type"`
	Revision int64     `json:"revision"`
	Object   *Object   `json:"object,omitempty"` // of put: as it is now; of delete: as it was last
}

// EventType is a kind of Event.
type EventType string

// Event types. A bookmark says that everything up to its revision has been told: what comes between two of them happened at once.
const (
	EventPut      EventType = "put"
	EventDelete   EventType = "delete"
	EventBookmark EventType = "bookmark"
)

// AuditRecord is what one request did to one object.
type AuditRecord struct {
	Revision int64           `json:"revision"`
	Time     time.Time       `json:"time"` // by the clock of the API's server
	Subject  string          `json:"subject"`
	Token    string          `json:"token,omitempty"` // id of the token or session that was shown; none: nothing of the kind was
	Request  string          `json:"request"`         // its id
	Verb     string          `json:"verb"`
	Object   Ref             `json:"object"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
}
