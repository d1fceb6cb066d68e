package scenario

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// ParseFile reads a scenario from a file.
func ParseFile(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a scenario; name is the file's in errors. The error is ParseErrors.
func Parse(name string, data []byte) (*Scenario, error) {
	p := &parser{
		scenario: &Scenario{Name: name, Files: map[string][]byte{}},
		begins:   map[string]int{}, hosts: map[string]bool{}, vports: map[string]bool{}, edges: map[string]bool{},
		legs: map[string]bool{}, started: map[string]int{},
	}
	archive := parseArchive(data)
	for _, file := range archive.files {
		if p.begins[file.name] != 0 {
			p.fail(file.line-1, problem{text: fmt.Sprintf("file %q appears twice", file.name)})
		}
		p.begins[file.name] = file.line
		p.scenario.Files[file.name] = file.data
	}
	if network, ok := p.scenario.Files[NetworkFile]; ok {
		p.scenario.Network = network
	} else {
		p.fail(1, problem{text: "file " + NetworkFile + " is missing", hint: `add it behind a line "-- ` + NetworkFile + ` --"`})
	}
	p.eachLine(p.scenario.Files[EdgesFile], p.begins[EdgesFile], p.edge)
	p.eachLine(p.scenario.Files[HostsFile], p.begins[HostsFile], p.host)
	p.eachLine(archive.comment, 1, p.line)
	p.endLeg()
	if len(p.errors) == 0 {
		return p.scenario, nil
	}
	slices.SortStableFunc(p.errors, func(a, b *ParseError) int { return cmp.Compare(a.Line, b.Line) })
	return nil, p.errors
}

type parser struct {
	scenario             *Scenario
	begins               map[string]int // first line of each file
	hosts, vports, edges map[string]bool
	leg                  Leg             // the one under way
	legs                 map[string]bool // names
	started              map[string]int  // started steps that wait for their finish, with their lines
	errors               ParseErrors
}

func (p *parser) fail(line int, problems ...problem) {
	for _, one := range problems {
		p.errors = append(p.errors, &ParseError{File: p.scenario.Name, Line: line, Problem: one.text, Hint: one.hint})
	}
}

// eachLine calls parse for each line that holds more than a comment.
func (p *parser) eachLine(data []byte, first int, parse func(line int, text string, all []string)) {
	for i, text := range strings.Split(string(data), "\n") {
		all, err := split(text)
		switch {
		case err != nil:
			p.fail(first+i, problem{text: err.Error(), hint: "write '' for a quote within quotes"})
		case len(all) > 0:
			parse(first+i, strings.TrimSpace(text), all)
		}
	}
}

// maxUplinks bounds the underlay links and the tunnel addresses of an edge: flows to a peer are spread over 16 ways (docs/decisions/0004-peer-buckets.md).
const maxUplinks = 4

func (p *parser) edge(line int, _ string, all []string) {
	w := newWords(all)
	edge := Edge{
		Name:    w.next("name of the edge"),
		Encap:   w.oneOf("encap", "", "vxlan", "geneve", "gre"),
		Family:  w.number("family", 0, 4, 6),
		MTU:     w.number("mtu", 0, 1280, 65535),
		Uplinks: w.number("uplinks", 1, 1, maxUplinks),
		VTEPs:   w.number("vteps", 1, 1, maxUplinks),
		Line:    line,

		Telemetry: w.flag("telemetry"),
	}
	if text, given := w.option("multicast"); given {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !prefix.Addr().IsMulticast() {
			w.failHint("it is a range such as 239.192.0.0/14 or ff05::/104", "multicast=%s", text)
		}
		edge.Multicast = prefix
	}
	if edge.Family == 5 {
		w.failHint("it is 4 or 6", "family=5")
	}
	if p.edges[edge.Name] {
		w.fail("edge %s appears twice", edge.Name)
	}
	w.end()
	p.edges[edge.Name] = true
	p.scenario.Edges = append(p.scenario.Edges, edge)
	p.fail(line, w.problems...)
}

// checkEdge complains of an edge that the edges file, if there is one, does not have.
func (p *parser) checkEdge(w *words, name string) {
	if name != "" && len(p.edges) > 0 && !p.edges[name] {
		w.failHint("edges are "+names(p.edges), "unknown edge %q", name)
	}
}

func names(set map[string]bool) string {
	all := make([]string, 0, len(set))
	for name := range set {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
