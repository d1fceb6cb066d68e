// Package report prints how a scenario goes: leg by leg while it runs, then a summary, or all of it as JSON.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/testbed/scenario"
)

// Printer writes a table that grows by a line with each leg that ends; on a terminal the leg under way is its last line. Steps outside legs have lines of their
// own. It is a scenario.Observer. Errors of the writer end nothing.
type Printer struct {
	w        io.Writer
	style    Style
	layout   layout
	numbered bool   // steps have lines: they are of a file
	headed   bool   // the table's header is written
	current  string // the leg under way; empty: none
	told     string // the text of the leg that was told last
}

var _ scenario.Observer = (*Printer)(nil)

// NewPrinter prints the runs of a scenario to w.
func NewPrinter(w io.Writer, s *scenario.Scenario, style Style) *Printer {
	longest := len(legHeader)
	for _, leg := range s.Legs {
		longest = max(longest, len([]rune(leg.Name)))
	}
	return &Printer{w: w, style: style, numbered: s.Name != "", layout: layOut(style.width(), longest)}
}

// LegBegins implements scenario.Observer.
func (p *Printer) LegBegins(name, text string, number, total int) {
	if !p.headed {
		p.headed = true
		fmt.Fprintf(p.w, "%s\n", p.style.paint(bold, p.layout.header()))
	}
	if text != "" && text != p.told {
		p.indented(len(ok)+1, text, faint)
	}
	p.current, p.told = name, text
	if p.style.Live {
		line := fmt.Sprintf("%*s %s, leg %d of %d", len(ok), "…", name, number, total)
		fmt.Fprint(p.w, p.style.paint(faint, cut(line, p.style.width()-1)))
	}
}

// indented prints text, in as many lines as it takes, behind so many blanks.
func (p *Printer) indented(by int, text, color string) {
	for _, line := range wrap(text, p.style.width()-by) {
		fmt.Fprintf(p.w, "%*s%s\n", by, "", p.style.paint(color, line))
	}
}

// StepEnds implements scenario.Observer.
func (p *Printer) StepEnds(r scenario.Result) {
	if p.current != "" {
		return
	}
	p.headed, p.told = false, "" // a table goes on under a header of its own
	mark, color := ok, green
	if r.Err != nil {
		mark, color = failed, red
	}
	text := r.Step.Text
	if p.numbered {
		text = fmt.Sprintf("line %d: %s", r.Step.Line, text)
	}
	fmt.Fprintf(p.w, "%s %s %s\n", p.style.paint(color, mark), text, p.style.paint(faint, took(r.Took)))
	for _, line := range r.Lines {
		fmt.Fprintf(p.w, "       %s\n", line)
	}
	if r.Err != nil {
		p.failure(r.Err.Error())
	}
}

// LegEnds implements scenario.Observer.
func (p *Printer) LegEnds(r scenario.LegResult) {
	if p.style.Live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.current = ""
	mark, row := p.layout.row(r)
	color := green
	if !r.OK {
		color = red
	}
	fmt.Fprintf(p.w, "%s %s\n", p.style.paint(color, mark), row)
	if !r.OK {
		p.failure(r.Error)
	}
}

// failure prints an error, which may have several lines, behind what it is of.
func (p *Printer) failure(text string) { p.indented(len(ok)+1, text, red) }

// Finish prints what the columns are, what traces showed, the figures, and one line that says it all.
func (p *Printer) Finish(r scenario.Report) {
	if len(r.Legs) > 0 {
		fmt.Fprintln(p.w)
		p.indented(0, legend, faint)
	}
	for _, leg := range r.Legs {
		if len(leg.Trace) > 0 {
			fmt.Fprintf(p.w, "\n%s\n", p.style.paint(bold, "weft trace, in leg "+leg.Name))
			for _, line := range leg.Trace {
				p.hanging(line)
			}
		}
	}
	if len(r.Figures) > 0 {
		fmt.Fprintln(p.w)
		for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
			fmt.Fprintf(p.w, "%s %s\n", pad(name, 24), strings.TrimRight(figure(r.Figures[name])+" "+units[name], " "))
		}
	}
	p.verdict(r)
}

// legend says what the columns are.
const legend = "Packets: frames that hosts sent. Fast path: the share of them that P4 entries forwarded alone. Upcalls: those that an agent decided. " +
	"Entries: flow entries that it installed. First, steady: the round trip of the leg's first packet, and the median of the later pings."

// hanging prints a line of a trace; where it is broken, the rest is further in.
func (p *Printer) hanging(line string) {
	const margin, more = 2, 4
	text := strings.TrimLeft(line, " ")
	in := margin + len(line) - len(text)
	for i, part := range wrap(text, p.style.width()-in-more) {
		if i == 1 {
			in += more
		}
		fmt.Fprintf(p.w, "%*s%s\n", in, "", part)
	}
}

// units are those of the figures that the demo has.
var units = map[string]string{"demo_ready": "s", "agent_rss": "MB"}

// verdict prints in one sentence how it went.
func (p *Printer) verdict(r scenario.Report) {
	var sum scenario.LegResult
	held := 0
	for _, leg := range r.Legs {
		if leg.OK {
			held++
		}
		sum.Packets += leg.Packets
		sum.FastPath += leg.FastPath
		sum.Upcalls += leg.Upcalls
		sum.Drops += leg.Drops
	}
	text := ""
	if len(r.Legs) > 0 {
		text = fmt.Sprintf(": %d of %d legs held; %s packets: %s on the fast path, %s upcalls, %s dropped", held, len(r.Legs),
			count(sum.Packets), share(sum), count(sum.Upcalls), count(sum.Drops))
	}
	if r.Target != "" {
		text += " (target " + r.Target + ")"
	}
	word, color := "ok", green
	if !r.OK {
		word, color = "FAILED", red
	}
	lines := wrap(word+text, p.style.width())
	lines[0] = p.style.paint(color, word) + strings.TrimPrefix(lines[0], word)
	fmt.Fprintf(p.w, "\n%s\n", strings.Join(lines, "\n"))
	if !r.OK {
		p.indented(0, closer, faint)
	}
}

// closer says what to do about a failure.
const closer = "To look closer, run it again with --pcap DIR (what was on each cable) or --verbose (what agents and targets log); docs/scenarios.md has more under \"When a leg fails\"."

// figure prints a number with the digits that matter.
func figure(v float64) string {
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d", int64(v))
	}
	return fmt.Sprintf("%.4g", v)
}

// JSON writes a report as one object in one line.
func JSON(w io.Writer, r scenario.Report) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// cut shortens a line to width.
func cut(line string, width int) string {
	return strings.TrimRight(pad(line, width), " ")
}

// wrap breaks text into lines of at most width, between words where it can.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line := []rune(paragraph)
		for len(line) > width {
			at := width
			for at > width/2 && line[at] != ' ' {
				at--
			}
			if line[at] != ' ' {
				at = width
			}
			lines = append(lines, string(line[:at]))
			line = []rune(strings.TrimLeft(string(line[at:]), " "))
		}
		lines = append(lines, string(line))
	}
	return lines
}
