package access

import (
	_ "embed"
	"fmt"

	"github.com/cedar-policy/cedar-go"

	"github.com/weft-sdn/weft/topology"
)

//go:embed policy.cedar
var policyText []byte

// Groups of kinds that policy.cedar names. A kind that is in none is the provider's alone.
const (
	groupNetwork   = "network"   // what tenants draw
	groupPlacement = "placement" // what ties it to the provider, and says what they have from him
	groupFabric    = "fabric"    // the provider's own
	groupView      = "view"      // what is known of the network at work
	groupAccess    = "access"    // users and tokens
)

var groupOf = map[topology.Kind]string{
	topology.KindBridge:        groupNetwork,
	topology.KindRouter:        groupNetwork,
	topology.KindVPort:         groupNetwork,
	topology.KindChain:         groupNetwork,
	topology.KindAddressGroup:  groupNetwork,
	topology.KindPortGroup:     groupNetwork,
	topology.KindDHCP:          groupNetwork,
	topology.KindPool:          groupNetwork,
	topology.KindSecurityGroup: groupNetwork,
	topology.KindFloatingIP:    groupNetwork,
	topology.KindSNATGateway:   groupNetwork,

	topology.KindTenant:     groupPlacement,
	topology.KindVPN:        groupPlacement, // agents of the provider carry it out, from their own network too, with secrets that they have
	topology.KindBinding:    groupPlacement,
	topology.KindBGPSession: groupPlacement, // through exterior ports, which the provider binds, by agents that are his

	topology.KindFabric: groupFabric,
	KindEdge:            groupFabric,
	KindStatus:          groupFabric,

	KindLocation: groupView, KindFDB: groupView, KindNeighbour: groupView, KindRoute: groupView, KindLease: groupView, KindSession: groupView, KindConnection: groupView,
	KindFlow: groupView, KindCounter: groupView, KindEvent: groupView, KindTrace: groupView,

	KindUser: groupAccess, KindToken: groupAccess,
}

// knownKind reports whether a token may be for a kind.
func knownKind(k topology.Kind) bool {
	return groupOf[k] != "" || k == KindAudit
}

var verbs = map[Verb]string{Get: "read", List: "read", Watch: "read", Trace: "read", Create: "write", Update: "write", Delete: "write"}

// policy decides. Immutable.
type policy struct {
	rules    *cedar.PolicySet
	entities cedar.EntityMap // roles, actions and kinds
}

func uid(t cedar.EntityType, id string) cedar.EntityUID {
	return cedar.EntityUID{Type: t, ID: cedar.String(id)}
}

// newPolicy reads the policy that is built in.
func newPolicy() (*policy, error) {
	rules, err := cedar.NewPolicySetFromBytes("policy.cedar", policyText)
	if err != nil {
		return nil, fmt.Errorf("access: policy: %w", err)
	}
	p := &policy{rules: rules, entities: cedar.EntityMap{}}
	parents := map[Role]Role{TenantAdmin: TenantEditor, TenantEditor: TenantViewer}
	for _, r := range Roles() {
		p.add(uid("Role", string(r)), "Role", string(parents[r]))
	}
	for v, group := range verbs {
		p.add(uid("Action", string(v)), "Action", group)
	}
	for k, group := range groupOf {
		p.add(uid("Kind", string(k)), "Group", group)
	}
	return p, nil
}

func (p *policy) add(e cedar.EntityUID, parentType cedar.EntityType, parent string) {
	x := cedar.Entity{UID: e}
	if parent != "" {
		x.Parents = cedar.NewEntityUIDSet(uid(parentType, parent))
	}
	p.entities[e] = x
}

// permits reports whether the policy lets somebody do something.
func (p *policy) permits(id Identity, a Action) bool {
	if _, known := verbs[a.Verb]; !known || !id.Role.Valid() || id.Subject == "" || id.Role.OfTenant() != (id.Tenant != "") {
		return false
	}
	decision, _ := cedar.Authorize(p.rules, p.entities, cedar.Request{
		Principal: uid("Role", string(id.Role)), Action: uid("Action", string(a.Verb)), Resource: uid("Kind", string(a.Kind)),
		Context: cedar.NewRecord(cedar.RecordMap{
			"own":      cedar.Boolean(id.Tenant != "" && a.Tenant == id.Tenant),
			"mine":     cedar.Boolean(a.Owner == id.Subject),
			"readOnly": cedar.Boolean(id.Scope.ReadOnly),
			"inScope":  cedar.Boolean(id.Scope.Covers(a.Kind)),
		}),
	})
	return decision == cedar.Allow
}
