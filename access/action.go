package access

import "github.com/weft-sdn/weft/topology"

// Verb is what is to be done.
type Verb string

// Verbs.
const (
	Get    Verb = "get"
	List   Verb = "list"
	Watch  Verb = "watch"
	Create Verb = "create"
	Update Verb = "update"
	Delete Verb = "delete"
	Trace  Verb = "trace" // a packet through the network, from a vport
)

// Kinds of what is asked for that is no object of the model. Views are of a tenant; an Action names as Tenant and Name the device, vport or object that they are of.
const (
	KindUser  topology.Kind = "User"
	KindToken topology.Kind = "Token"
	KindAudit topology.Kind = "Audit" // records, of the tenant whose object changed

	KindLocation   topology.Kind = "Location" // where a vport lives
	KindFDB        topology.Kind = "FDB"
	KindNeighbour  topology.Kind = "Neighbour"
	KindRoute      topology.Kind = "Route"
	KindLease      topology.Kind = "Lease"
	KindSession    topology.Kind = "Session"
	KindConnection topology.Kind = "Connection"
	KindFlow       topology.Kind = "Flow"
	KindCounter    topology.Kind = "Counter"
	KindEvent      topology.Kind = "Event"
	KindTrace      topology.Kind = "Trace"

	KindEdge   topology.Kind = "Edge"   // the provider's: edges, what they have applied
	KindStatus topology.Kind = "Status" // the provider's: of servers and the database
)

// Action is something to be done to an object, or to what is known of it.
type Action struct {
	Verb          Verb
	Kind          topology.Kind    // of the model, or of those above
	Tenant        string           // of the object. Empty in List and Watch: of whichever Identity.Sees says
	Name          string           // empty in List and Watch
	Owner         string           // of a token: subject of who made it
	Before, After *topology.Object // as stored, and as it is to be; nil: absent, or not told
}
