package stf

import (
	"fmt"
	"slices"
	"strings"
)

// expectation is one packet that must leave by a port.
type expectation struct {
	st   *statement
	data string // hexadecimal digits, * matches any; a final $ forbids more
	any  bool   // any packet
}

// received is a packet that left, in hexadecimal digits.
type received struct {
	data string
	st   *statement // what caused it
}

// check compares what left by each port with what was expected there, in order.
// Only ports that the script mentions are looked at.
func (r *Runner) check() []string {
	var out []string
	ports := make([]uint16, 0, len(r.mentioned))
	for p := range r.mentioned {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	for _, p := range ports {
		want, got := r.expected[p], r.out[p]
		for i := range max(len(want), len(got)) {
			switch {
			case i >= len(got):
				out = append(out, fmt.Sprintf("%s:%d: port %d: packet %d of %d did not come\n    expected %s",
					r.script.Name, want[i].st.line, p, i+1, len(want), want[i].data))
			case i >= len(want):
				out = append(out, fmt.Sprintf("%s:%d: port %d: a packet more than expected (%d)\n    received %s",
					r.script.Name, got[i].st.line, p, len(want), got[i].data))
			default:
				if why, at := differ(want[i], got[i].data); why != "" {
					out = append(out, fmt.Sprintf("%s:%d: port %d, packet %d: %s\n    expected %s\n    received %s\n             %s^",
						r.script.Name, want[i].st.line, p, i+1, why, want[i].data, got[i].data, strings.Repeat(" ", at)))
				}
			}
		}
	}
	return out
}

// differ says how a packet differs from what is expected and at which digit; ""
// if it does not.
func differ(w expectation, got string) (string, int) {
	if w.any {
		return "", 0
	}
	want, exact := strings.CutSuffix(w.data, "$")
	for i := range min(len(want), len(got)) {
		if want[i] != '*' && want[i] != got[i] {
			return fmt.Sprintf("digit %d differs", i), i
		}
	}
	switch {
	case len(got) < len(want):
		return fmt.Sprintf("too short: %d digits, want %d", len(got), len(want)), len(got)
	case exact && len(got) > len(want):
		return fmt.Sprintf("too long: %d digits, want %d", len(got), len(want)), len(want)
	}
	return "", 0
}
