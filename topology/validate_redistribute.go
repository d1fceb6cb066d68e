package topology

import (
	"fmt"
	"slices"
	"strconv"
)

// Bounds of what a session redistributes.
const (
	maxRedistribute = 64  // rules
	maxWithin       = 256 // prefixes of one
)

// bgpRedistribute checks what a session advertises by itself.
func (v *validator) bgpRedistribute(o *Object, s *BGPSessionSpec) {
	if len(s.Redistribute) > maxRedistribute {
		v.fail(o, "spec.redistribute", strconv.Itoa(len(s.Redistribute)), "are too many", fmt.Sprintf("use %d at most", maxRedistribute))
		return
	}
	known := []string{sourceConnected, sourceStatic, sourceFloating, sourceSNAT, sourceVirtual}
	for i := range s.Redistribute {
		r, field := &s.Redistribute[i], fmt.Sprintf("spec.redistribute[%d]", i)
		if len(r.Sources) == 0 {
			v.fail(o, field+".sources", "", "is missing", "use some of connected, static, floatingIPs, snatGateways and virtualAddresses")
		}
		for j, source := range r.Sources {
			at := fmt.Sprintf("%s.sources[%d]", field, j)
			if !slices.Contains(known, source) {
				v.fail(o, at, source, "is no source", "use connected, static, floatingIPs, snatGateways or virtualAddresses")
			} else if slices.Contains(r.Sources[:j], source) {
				v.fail(o, at, source, "is listed twice", "list each source once")
			}
		}
		if len(r.Within) == 0 {
			v.fail(o, field+".within", "", "is missing", "give the prefixes that are yours to advertise: nothing else is told, whatever tenants have")
		}
		if len(r.Within) > maxWithin {
			v.fail(o, field+".within", strconv.Itoa(len(r.Within)), "are too many", fmt.Sprintf("use %d at most", maxWithin))
			continue
		}
		for j, p := range r.Within {
			at := fmt.Sprintf("%s.within[%d]", field, j)
			if v.prefix(o, at, p); p.IsValid() {
				v.exchanged(o, s, at, p)
			}
		}
		if r.WhenDown != "" && r.WhenDown != "withdraw" && r.WhenDown != whenDownKeep {
			v.fail(o, field+".whenDown", r.WhenDown, "is unknown", "use withdraw or keep")
		}
		for j, c := range r.Communities {
			v.community(o, fmt.Sprintf("%s.communities[%d]", field, j), c)
		}
		if r.Prepend > maxPrepend {
			v.fail(o, field+".prepend", strconv.Itoa(int(r.Prepend)), "is out of range", fmt.Sprintf("use %d at most", maxPrepend))
		}
	}
}
