package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/topology"
)

// parseKind reads a kind in the singular or the plural, in any case.
func parseKind(text string) (topology.Kind, error) {
	var names []string
	for _, k := range topology.Kinds() {
		name := strings.ToLower(string(k))
		if t := strings.ToLower(text); t == name || t == name+"s" {
			return k, nil
		}
		names = append(names, name)
	}
	return "", usage(fmt.Errorf("%q: is no kind of object; use one of %s", text, strings.Join(names, ", ")))
}

// scope are the flags that choose tenants.
type scope struct {
	tenant string
	all    bool
	login  func() string // the tenant of who has logged in; nil: nobody does here
}

func (s *scope) tenantFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.tenant, "tenant", "", "the `tenant` whose objects are meant; default: $WEFT_TENANT, that of the login, or "+topology.DefaultTenant)
}

func (s *scope) flags(cmd *cobra.Command) {
	s.tenantFlag(cmd)
	cmd.Flags().BoolVarP(&s.all, "all-tenants", "A", false, "objects of all tenants")
}

// name returns the chosen tenant, empty for all.
func (s *scope) name() string {
	env := os.Getenv("WEFT_TENANT")
	switch {
	case s.all:
		return ""
	case s.tenant != "":
		return s.tenant
	case env != "":
		return env
	}
	if s.login != nil {
		if tenant := s.login(); tenant != "" {
			return tenant
		}
	}
	return topology.DefaultTenant
}

// sayNone tells, beside the output, that there is nothing in a tenant; "": in any.
func sayNone(cmd *cobra.Command, what, tenant string) error {
	where := "in any tenant"
	if tenant != "" {
		where = "in tenant " + tenant + "; -A shows those of all tenants"
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", what, where)
	return err
}

// named reports whether arguments name objects, rather than kinds: KIND/NAME…, or KIND NAME….
func named(args []string) bool {
	if _, err := parseKind(args[0]); err != nil || len(args) == 1 {
		return strings.Contains(args[0], "/")
	}
	for _, name := range args[1:] {
		if first, _, found := strings.Cut(name, "/"); found {
			if _, err := parseKind(first); err == nil {
				return false // which is an error
			}
		}
	}
	_, err := parseKinds(args[1:])
	return err != nil
}

// refs reads what names objects: KIND/NAME of the chosen tenant or KIND/TENANT/NAME, each any number of times; or KIND and then NAME or TENANT/NAME.
func (s *scope) refs(args []string) ([]topology.Ref, error) {
	if len(args) > 1 {
		if _, err := parseKind(args[0]); err == nil {
			kind, names := args[0], args[1:]
			args = nil
			for _, name := range names {
				args = append(args, kind+"/"+name)
			}
		}
	}
	var refs []topology.Ref
	for _, arg := range args {
		parts := strings.Split(arg, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
			return nil, usage(fmt.Errorf("%q: is no object; use KIND/NAME, KIND/TENANT/NAME or KIND NAME, such as vport/acme/web", arg))
		}
		kind, err := parseKind(parts[0])
		if err != nil {
			return nil, err
		}
		r := topology.Ref{Kind: kind, Tenant: s.name(), Name: parts[len(parts)-1]}
		switch {
		case len(parts) == 3:
			r.Tenant = parts[1]
		case s.all:
			return nil, usage(fmt.Errorf("%q: is of one tenant, and -A means all; use KIND/TENANT/NAME or --tenant", arg))
		}
		if !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	return refs, nil
}

// notThere says that an object is not there, and where one of its kind and name is.
func notThere(all []*topology.Object, r topology.Ref) error {
	var others []string
	for _, o := range all {
		if o.Kind == r.Kind && o.Metadata.Name == r.Name {
			others = append(others, refName(o.Ref()))
		}
	}
	if len(others) == 0 {
		return missing("%s: is not there", refName(r))
	}
	return missing("%s: is not there; there is %s", refName(r), strings.Join(others, ", "))
}
