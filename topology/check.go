package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Users returns the objects that refer to one, by kind, then name.
func (s *Set) Users(r Ref) []Ref {
	users, _ := s.users.get(r)
	return slices.SortedFunc(maps.Keys(users), compareByKind)
}

// Check returns what is wrong with objects by themselves, whatever they refer to. It is for those whose network is not whole, as some of it could not
// be read: Set.Apply checks all.
func Check(objects []*Object) Errors {
	e := newSetEdit(new(Set))
	v := validator{set: e.set, edit: e, alone: true}
	for _, o := range objects {
		if o.Spec != nil { // of no known kind, which has been told
			v.form(o)
		}
	}
	v.values(objects)
	return v.errs
}

// withValues adds to the errors of a form what is wrong with the values that could be read, in order of line.
func (e Errors) withValues(objects []*Object) Errors {
	form := e
	for _, found := range Check(objects) {
		if !slices.ContainsFunc(form, func(f *FieldError) bool { return f.Covers(found) }) {
			e = append(e, found)
		}
	}
	slices.SortStableFunc(e, func(a, b *FieldError) int { return cmp.Compare(a.Line, b.Line) })
	return e
}

// Covers reports whether two errors are of one field, or one of a field within the other's: what could not be read is not also wrong.
func (e *FieldError) Covers(o *FieldError) bool {
	within := func(a, b string) bool {
		rest, ok := strings.CutPrefix(b, a)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return e.Object == o.Object && e.Field != "" && (within(e.Field, o.Field) || o.Field != "" && within(o.Field, e.Field))
}

// maxUsers is how many users of an object that was to go are named.
const maxUsers = 6

// unused checks that nobody who stays refers to what goes. Those that are put anew are checked as such.
func (v *validator) unused(gone Ref, put map[Ref]*Object) {
	all, _ := v.edit.before.users.get(gone)
	var users []Ref
	for _, r := range slices.SortedFunc(maps.Keys(all), compareByKind) {
		if o := v.set.Get(r); o != nil && put[r] == nil && o.Status.Of == "" { // parts are checked with what they are made of
			users = append(users, r)
		}
	}
	if len(users) == 0 || put[gone] != nil {
		return
	}
	v.errs = append(v.errs, &FieldError{Object: gone.String(), Problem: "is used by " + namesText(users, gone.Tenant), Hint: "delete them in the same command"})
}

// namesText lists objects by kind, those of a tenant by name alone: vports web, acme/app1 and 3 more.
func namesText(refs []Ref, tenant string) string {
	var kinds []string
	for i, r := range refs {
		name := r.Name
		if r.Tenant != tenant {
			name = r.Tenant + "/" + r.Name
		}
		switch {
		case i >= maxUsers:
			return strings.Join(kinds, ", ") + fmt.Sprintf(" and %d more", len(refs)-i)
		case i > 0 && refs[i-1].Kind == r.Kind:
			kinds[len(kinds)-1] += ", " + name
			continue
		}
		kind := strings.ToLower(string(r.Kind))
		if i+1 < len(refs) && refs[i+1].Kind == r.Kind {
			kind += "s"
		}
		kinds = append(kinds, kind+" "+name)
	}
	return strings.Join(kinds, ", ")
}
