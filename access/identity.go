package access

import (
	"slices"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// Role is what somebody is to the network.
type Role string

// Roles. Those of tenants go with a tenant.
const (
	ProviderAdmin  Role = "provider-admin"  // all
	ProviderViewer Role = "provider-viewer" // sees all, but no users and tokens
	TenantAdmin    Role = "tenant-admin"    // changes the tenant's network, and who has access to it
	TenantEditor   Role = "tenant-editor"   // changes the tenant's network
	TenantViewer   Role = "tenant-viewer"   // sees the tenant's network
	Agent          Role = "agent"           // the process of an edge
)

// Roles returns all roles, those of the provider first.
func Roles() []Role {
	return []Role{ProviderAdmin, ProviderViewer, TenantAdmin, TenantEditor, TenantViewer, Agent}
}

// OfTenant reports whether the role goes with a tenant.
func (r Role) OfTenant() bool { return r == TenantAdmin || r == TenantEditor || r == TenantViewer }

// Valid reports whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Method is how somebody showed who he is.
type Method string

// Methods.
const (
	BySession     Method = "session"     // a token got for a user's password
	ByToken       Method = "token"       // an API token
	ByOIDC        Method = "oidc"        // an ID token of an OpenID provider
	ByCertificate Method = "certificate" // a client certificate
)

// Identity is who asks. The zero value is nobody, who may do nothing.
type Identity struct {
	Subject string // user:alice, token:NAME of a token that is no user's, oidc:SUBJECT, agent:NAME: what the audit log has
	Name    string // for people to read, if there is a better one; it decides nothing
	Role    Role
	Tenant  string // of roles of tenants; else empty
	Method  Method
	Token   string    // id of the token or session that was shown; empty: none
	Expires time.Time // of these credentials; zero: not by themselves
	Scope   Scope
}

// Scope narrows what a role may do. The zero value does not.
type Scope struct {
	ReadOnly bool            `json:"readOnly,omitempty"`
	Kinds    []topology.Kind `json:"kinds,omitempty"` // of objects and views; none: all
}

// Covers reports whether the scope lets a kind be touched.
func (s Scope) Covers(k topology.Kind) bool { return len(s.Kinds) == 0 || slices.Contains(s.Kinds, k) }

// Sees is the tenant whose objects a list of any kind shows to him, and whether it is those of all tenants. Neither: none.
func (i Identity) Sees() (tenant string, all bool) {
	if i.Role.OfTenant() {
		return i.Tenant, false
	}
	return "", i.Role.Valid()
}
