package access

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// names are what may be TENANT/NAME in a text.
var names = regexp.MustCompile(`[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*`)

// Conceal takes out of an error of validation what a tenant may not know of: objects of others, that these are wrong, and their names. set is what was stored when it was refused.
func (g *Guard) Conceal(id Identity, set *topology.Set, err error) error {
	var all topology.Errors
	if !id.Role.OfTenant() || !errors.As(err, &all) {
		return err
	}
	known := func(name string) bool {
		tenant, rest, _ := strings.Cut(name, "/")
		if tenant == id.Tenant || slices.Contains(set.Tenant(id.Tenant).Ports, name) {
			return true
		}
		return !slices.ContainsFunc(topology.Kinds(), func(k topology.Kind) bool { return set.Get(topology.Ref{Kind: k, Tenant: tenant, Name: rest}) != nil })
	}
	conceal := func(text string) string {
		return names.ReplaceAllStringFunc(text, func(name string) string {
			if known(name) {
				return name
			}
			return "another's"
		})
	}
	var told topology.Errors
	others := false
	for _, e := range all {
		if _, name, is := strings.Cut(e.Object, " "); is && !strings.HasPrefix(name, id.Tenant+"/") {
			others = true
			continue
		}
		c := *e
		c.Problem, c.Hint = conceal(e.Problem), conceal(e.Hint)
		told = append(told, &c)
	}
	if others {
		told = append(told, &topology.FieldError{Problem: "the provider relies on something that this would change", Hint: "ask for it to be let go of"})
	}
	return told
}
