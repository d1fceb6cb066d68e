package access

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// names are what may be TENANT/NAME in a text.
var names = regexp.MustCompile(`[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*`)

// Anothers stands for the name of what is another tenant's.
const Anothers = "another's"

// Concealed returns what makes of a text one that somebody may read: of names of objects those stay that are his own, or that he was granted; a prefix, or a kind with a name of his own tenant's, is none, unless
// there is such an object. set is what is stored.
func Concealed(id Identity, set *topology.Set) func(text string) string {
	own, all := id.Sees()
	if all {
		return func(text string) string { return text }
	}
	shows := func(name string) bool {
		tenant, rest, _ := strings.Cut(name, "/")
		if own != "" && (tenant == own || slices.Contains(set.Tenant(own).Ports, name)) {
			return true
		}
		if _, err := netip.ParsePrefix(name); err != nil && !isKind(tenant) {
			return false
		}
		return !slices.ContainsFunc(topology.Kinds(), func(k topology.Kind) bool { return set.Get(topology.Ref{Kind: k, Tenant: tenant, Name: rest}) != nil })
	}
	return func(text string) string {
		return names.ReplaceAllStringFunc(text, func(name string) string {
			if shows(name) {
				return name
			}
			return Anothers
		})
	}
}

func isKind(word string) bool {
	return slices.ContainsFunc(topology.Kinds(), func(k topology.Kind) bool { return strings.EqualFold(string(k), word) })
}

// Conceal takes out of an error of validation what a tenant may not know of: objects of others, that these are wrong, and their names. set is what was stored when it was refused. Of an error of validation, what
// is not named here is not told.
func (g *Guard) Conceal(id Identity, set *topology.Set, err error) error {
	var all topology.Errors
	if !id.Role.OfTenant() || !errors.As(err, &all) {
		return err
	}
	conceal := Concealed(id, set)
	var told topology.Errors
	others := false
	for _, e := range all {
		if _, name, is := strings.Cut(e.Object, " "); is && !strings.HasPrefix(name, id.Tenant+"/") {
			others = true
			continue
		}
		told = append(told, &topology.FieldError{
			File: e.File, Line: e.Line, Object: e.Object, Field: e.Field, Value: e.Value, // are the caller's own words
			Problem: conceal(e.Problem), Hint: conceal(e.Hint),
		})
	}
	if others {
		told = append(told, &topology.FieldError{Problem: "the provider relies on something that this would change", Hint: "ask for it to be let go of"})
	}
	return told
}
