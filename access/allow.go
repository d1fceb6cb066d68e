package access

import (
	"context"
	"fmt"
)

// Allow says whether somebody may do something: nil, ErrForbidden or ErrNotVisible. It does not ask whether the object is there, and so does not tell.
func (g *Guard) Allow(_ context.Context, id Identity, a Action) error {
	if a.Tenant == "" && (a.Verb == List || a.Verb == Watch) {
		a.Tenant, _ = id.Sees()
	}
	if g.policy.permits(id, a) && g.moves(id, a) {
		return nil
	}
	if a.Tenant != "" && id.Role.OfTenant() && a.Tenant != id.Tenant {
		return ErrNotVisible
	}
	return fmt.Errorf("%w: role %s may not %s %s", ErrForbidden, id.Role, a.Verb, a.Kind)
}

// moves reports whether he may do with the objects of an action what he may do with its name: one is nowhere taken from, or given to, another tenant.
func (g *Guard) moves(id Identity, a Action) bool {
	if a.Before != nil && a.Before.Tenant() != a.Tenant || a.After != nil && a.After.Tenant() != a.Tenant {
		return id.Role == ProviderAdmin
	}
	return true
}
