package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/weft-sdn/weft/testbed/scenario"
)

// column is one of the columns of numbers in a table of legs.
type column struct {
	name  string
	width int
	from  int // the table has it from this width on; negative: only below it
	cell  func(r scenario.LegResult) string
}

// columns stand behind the leg's name, in this order.
var columns = [...]column{
	{"packets", 8, -100, func(r scenario.LegResult) string { return count(r.Packets) }},
	{"packets", 10, 100, func(r scenario.LegResult) string { return count(r.Packets) }},
	{"fast", 6, -100, func(r scenario.LegResult) string { return share(r) }},
	{"fast path", 9, 100, func(r scenario.LegResult) string { return share(r) }},
	{"upcalls", 7, 0, func(r scenario.LegResult) string { return count(r.Upcalls) }},
	{"drops", 8, 100, func(r scenario.LegResult) string { return count(r.Drops) }},
	{"entries", 7, 0, func(r scenario.LegResult) string { return count(r.Entries) }},
	{"first packet", 12, 100, func(r scenario.LegResult) string { return micros(r.FirstPacketUS) }},
	{"first", 7, -100, func(r scenario.LegResult) string { return micros(r.FirstPacketUS) }},
	{"steady", 7, 0, func(r scenario.LegResult) string { return micros(r.RTTUS) }},
	{"took", 7, 110, func(r scenario.LegResult) string { return micros(r.TookMS * 1e3) }},
}

// legHeader is the header of the column of names.
const legHeader = "leg"

// layout is a table's columns for one width of the terminal.
type layout struct {
	name    int // width of the leg's name
	columns []column
}

// layOut chooses the columns that fit in width; names of legs may be as long as longest.
func layOut(width, longest int) layout {
	var l layout
	left := width - len(ok) - 1 - len(" IPv4")
	for _, c := range columns {
		if c.from >= 0 && width < c.from || c.from < 0 && width >= -c.from {
			continue
		}
		l.columns = append(l.columns, c)
		left -= c.width + 1
	}
	l.name = min(longest, left)
	return l
}

// Marks before a leg.
const (
	ok     = "ok  "
	failed = "FAIL"
)

func (l layout) header() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%*s %s   IP", len(ok), "", pad(legHeader, l.name))
	for _, c := range l.columns {
		fmt.Fprintf(&b, " %*s", c.width, c.name)
	}
	return b.String()
}

// row returns a leg's line, the mark apart.
func (l layout) row(r scenario.LegResult) (mark, rest string) {
	var b strings.Builder
	name, _ := strings.CutSuffix(r.Name, "/"+r.Family.String())
	fmt.Fprintf(&b, "%s IPv%d", pad(name, l.name), r.Family)
	for _, c := range l.columns {
		b.WriteString(" ")
		cell := c.cell(r)
		b.WriteString(strings.Repeat(" ", max(0, c.width-utf8.RuneCountInString(cell))) + cell)
	}
	if !r.OK {
		return failed, b.String()
	}
	return ok, b.String()
}

// pad cuts text to width, the end of it marked, or fills it up.
func pad(text string, width int) string {
	runes := []rune(text)
	if len(runes) > width {
		return string(runes[:max(0, width-1)]) + "…"
	}
	return text + strings.Repeat(" ", width-len(runes))
}

func count(n uint64) string { return humanize.Comma(int64(n)) }

// share is the share of the fast path in per cent. It says 100 only of all packets.
func share(r scenario.LegResult) string {
	switch {
	case r.Packets == 0:
		return "-"
	case r.FastPath == r.Packets:
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(100*r.FastShare(), 99.9))
}

// micros prints microseconds with three digits.
func micros(us float64) string {
	switch {
	case us == 0:
		return "-"
	case us < 9.995:
		return fmt.Sprintf("%.2f µs", us)
	case us < 999.5:
		return fmt.Sprintf("%.0f µs", us)
	case us < 9995:
		return fmt.Sprintf("%.2f ms", us/1e3)
	case us < 99.95e3:
		return fmt.Sprintf("%.1f ms", us/1e3)
	case us < 999.5e3:
		return fmt.Sprintf("%.0f ms", us/1e3)
	}
	return fmt.Sprintf("%.1f s", us/1e6)
}

func took(d time.Duration) string { return micros(float64(d.Nanoseconds()) / 1e3) }
