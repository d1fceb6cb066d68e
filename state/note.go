package state

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// EventType tells whether somebody may have to do something about an event.
type EventType string

// Types.
const (
	EventNormal  EventType = "Normal"
	EventWarning EventType = "Warning"
)

// Note is something that happened, as it is told to the event log (Store.Record).
type Note struct {
	Type    EventType   `json:"type"`
	Reason  string      `json:"reason"`  // one word, such as TargetLost: what programs look for
	Object  EventObject `json:"object"`  // what it happened to
	Message string      `json:"message"` // for people, one line
	Source  string      `json:"source"`  // the edge or process that tells it
}

// EventObject is what an event is about: an object of the network, or an edge. Comparable.
type EventObject struct {
	Kind   string `json:"kind"`             // as in a reference: vport; or edge
	Tenant string `json:"tenant,omitempty"` // edges have none
	Name   string `json:"name"`
}

// eventEdge is the kind of edges, which are no objects of the network.
const eventEdge = "edge"

// EdgeObject is an edge.
func EdgeObject(id string) EventObject { return EventObject{Kind: eventEdge, Name: id} }

// RefObject is an object of the network.
func RefObject(r topology.Ref) EventObject {
	return EventObject{Kind: strings.ToLower(string(r.Kind)), Tenant: r.Tenant, Name: r.Name}
}

// ParseEventObject reads what String writes.
func ParseEventObject(text string) (EventObject, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 2 && parts[0] == eventEdge && parts[1] != "" {
		return EdgeObject(parts[1]), nil
	}
	if len(parts) == 3 && parts[1] != "" && parts[2] != "" {
		for _, k := range topology.Kinds() {
			if o := RefObject(topology.Ref{Kind: k, Tenant: parts[1], Name: parts[2]}); o.Kind == parts[0] {
				return o, nil
			}
		}
	}
	return EventObject{}, fmt.Errorf("%q: is no object; use KIND/TENANT/NAME or edge/NAME, such as vport/acme/web", text)
}

// String is KIND/TENANT/NAME, or edge/NAME.
func (o EventObject) String() string {
	if o.Tenant == "" {
		return o.Kind + "/" + o.Name
	}
	return o.Kind + "/" + o.Tenant + "/" + o.Name
}

const (
	maxEventName    = 256  // bytes of an object's name or a source
	maxEventMessage = 1024 // bytes; what is longer is cut
)

// tidy makes a note fit to be stored; false: it has no reason, object or source.
func (n *Note) tidy() bool {
	if n.Reason == "" || strings.ContainsFunc(n.Reason, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
		return false
	}
	o := &n.Object
	if o.Kind == "" || o.Name == "" || strings.Contains(o.Kind+o.Tenant, "/") || len(o.Name) > maxEventName || n.Source == "" || len(n.Source) > maxEventName {
		return false
	}
	if n.Type != EventWarning {
		n.Type = EventNormal
	}
	n.Message = strings.ToValidUTF8(strings.ReplaceAll(n.Message, "\n", ": "), "�")
	if len(n.Message) > maxEventMessage {
		n.Message = strings.ToValidUTF8(n.Message[:maxEventMessage-len("…")], "") + "…"
	}
	return true
}
