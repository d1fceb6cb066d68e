package p4src

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// What a controller relies on, whatever the target is: of tables the names, ids, keys, actions and parameters, and the headers of packet-in and packet-out. Sizes of tables, ids of counters and
// meters, and idle timeouts are the target's.

// contract is that of a p4info: each thing by its name, in words.
func contract(info *p4configv1.P4Info) map[string]string {
	all, actions := map[string]string{}, map[uint32]*p4configv1.Action{}
	for _, a := range info.GetActions() {
		actions[a.GetPreamble().GetId()] = a
	}
	for _, t := range info.GetTables() {
		table := "table " + t.GetPreamble().GetName()
		all[table] = fmt.Sprintf("id %#x", t.GetPreamble().GetId())
		for _, k := range t.GetMatchFields() {
			all[table+", key "+k.GetName()] = fmt.Sprintf("id %d, %d bits, %s", k.GetId(), k.GetBitwidth(), k.GetMatchType())
		}
		for _, ref := range t.GetActionRefs() {
			a := actions[ref.GetId()]
			action := table + ", action " + a.GetPreamble().GetName()
			all[action] = fmt.Sprintf("id %#x, %s", ref.GetId(), ref.GetScope())
			for _, p := range a.GetParams() {
				all[action+", parameter "+p.GetName()] = fmt.Sprintf("id %d, %d bits", p.GetId(), p.GetBitwidth())
			}
		}
		if a := actions[t.GetConstDefaultActionId()]; a != nil {
			all[table+", default action"] = a.GetPreamble().GetName()
		}
	}
	for _, h := range info.GetControllerPacketMetadata() {
		for _, m := range h.GetMetadata() {
			all["header "+h.GetPreamble().GetName()+", field "+m.GetName()] = fmt.Sprintf("id %d, %d bits", m.GetId(), m.GetBitwidth())
		}
	}
	return all
}

// maxProblems is how many differences are told one by one.
const maxProblems = 5

// sameContract says in what one p4info is not as another.
func sameContract(want, got *p4configv1.P4Info) error {
	wants, has := contract(want), contract(got)
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(wants)) {
		switch is, there := has[name]; {
		case !there:
			problems = append(problems, fmt.Sprintf("%s: is missing, is to have %s", name, wants[name]))
		case is != wants[name]:
			problems = append(problems, fmt.Sprintf("%s: has %s, is to have %s", name, is, wants[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if _, known := wants[name]; !known {
			problems = append(problems, name+": is one too many")
		}
	}
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], fmt.Sprintf("%d more", more))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}
