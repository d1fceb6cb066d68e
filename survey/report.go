package survey

import "slices"

// Verdict is what a finding means to an agent.
type Verdict uint8

// Verdicts.
const (
	OK      Verdict = iota // as the specification has it
	Differs                // the agent copes, if it is told by the profile
	Lacks                  // an agent can not run, or something of a network does not work
)

func (v Verdict) String() string { return [...]string{"ok", "differs", "LACKS"}[v] }

// MarshalText is String in lower case, for JSON.
func (v Verdict) MarshalText() ([]byte, error) {
	return []byte([...]string{"ok", "differs", "lacks"}[v]), nil
}

// Finding is one thing that was looked at.
type Finding struct {
	Topic   string  `json:"topic"`
	Verdict Verdict `json:"verdict"`
	Seen    string  `json:"seen"`
	Advice  string  `json:"advice,omitempty"`
}

// Report is what is known of a target.
type Report struct {
	Findings []Finding `json:"findings"`
	// Profile is the target profile of the agent's configuration that fits what was seen; "": it was not tried, or none does.
	Profile string `json:"profile,omitempty"`
}

// add notes a finding.
func (r *Report) add(topic string, v Verdict, seen, advice string) {
	r.Findings = append(r.Findings, Finding{topic, v, seen, advice})
}

// Runs reports whether an agent can run the target: nothing is lacking.
func (r *Report) Runs() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Verdict == Lacks })
}
