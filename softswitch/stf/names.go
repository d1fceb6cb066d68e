package stf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// aliases are the full names of a P4Info's objects by the short ones.
type aliases map[string]string

func readAliases(info *configv1.P4Info) aliases {
	a := aliases{}
	add := func(p *configv1.Preamble) {
		if p.GetAlias() != "" {
			a[p.GetAlias()] = p.GetName()
		}
	}
	for _, x := range info.GetTables() {
		add(x.GetPreamble())
	}
	for _, x := range info.GetActions() {
		add(x.GetPreamble())
	}
	for _, x := range info.GetCounters() {
		add(x.GetPreamble())
	}
	for _, x := range info.GetDirectCounters() {
		add(x.GetPreamble())
	}
	for _, x := range info.GetMeters() {
		add(x.GetPreamble())
	}
	for _, x := range info.GetRegisters() {
		add(x.GetPreamble())
	}
	return a
}

// resolve finds what a script means: the full name, the P4Info's alias, or the
// end of a full name if there is only one like it.
func (a aliases) resolve(what, name string, all []string) (string, error) {
	if slices.Contains(all, name) {
		return name, nil
	}
	if full, ok := a[name]; ok && slices.Contains(all, full) {
		return full, nil
	}
	for _, end := range []string{"." + name, name} {
		var found []string
		for _, x := range all {
			if strings.HasSuffix(x, end) && !slices.Contains(found, x) {
				found = append(found, x)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return "", fmt.Errorf("%s %q is ambiguous: %s", what, name, strings.Join(found, ", "))
	}
	return "", fmt.Errorf("no %s %q; there are %s", what, name, strings.Join(all, ", "))
}

// element is the way scripts write an element of a stack: s$0.f is s[0].f.
var element = regexp.MustCompile(`\$([0-9]+)`)

// keyIndex finds a key field: by its name, or as the end of one; valid stands
// for $valid$.
func keyIndex(keys []pipeline.KeyInfo, name string) (int, error) {
	name = element.ReplaceAllString(name, "[$1]")
	spellings := []string{name, name + "$", name + ".$valid$"}
	if before, ok := strings.CutSuffix(name, "valid"); ok {
		spellings = append(spellings, before+"$valid$", before+"isValid()")
	}
	for _, s := range spellings {
		if i := slices.IndexFunc(keys, func(k pipeline.KeyInfo) bool { return k.Name == s }); i >= 0 {
			return i, nil
		}
	}
	for _, s := range spellings {
		if i := slices.IndexFunc(keys, func(k pipeline.KeyInfo) bool { return strings.HasSuffix(k.Name, "."+s) }); i >= 0 {
			return i, nil
		}
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return 0, fmt.Errorf("no key field %q; there are %s", name, strings.Join(names, ", "))
}
