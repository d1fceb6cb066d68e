package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	tty "golang.org/x/term"
)

// screen is what output is shown on.
type screen struct {
	width   int  // columns; 0: it is not shown but read by a program, and nothing is shortened
	colours bool // https://no-color.org
}

// screenOf returns what a command's output is shown on.
func screenOf(w io.Writer) screen {
	f, ok := w.(*os.File)
	if !ok || !tty.IsTerminal(int(f.Fd())) {
		return screen{}
	}
	width, _, err := tty.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return screen{width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// colour is how text is shown: a parameter of SGR (ECMA-48 section 8.3.117).
type colour string

const (
	plain  colour = ""
	bold   colour = "1"
	faint  colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

// paint shows text in a colour, if there are any.
func (s screen) paint(c colour, text string) string {
	if !s.colours || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

const (
	gap       = 2 // between columns
	leastCell = 8 // columns to which a cell is shortened at most
)

// fit narrows columns of these widths, the widest first, until a row fits. What can't fit is left as it is: it wraps.
func (s screen) fit(widths []int) {
	if s.width == 0 || len(widths) == 0 {
		return
	}
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for total > s.width {
		widest, second := 0, leastCell
		for i, w := range widths {
			if w >= widths[widest] { // of equal ones the last: names come first
				widest = i
			}
		}
		for i, w := range widths {
			if i != widest && w < widths[widest] {
				second = max(second, w)
			}
		}
		cut := min(total-s.width, max(1, widths[widest]-second))
		if widths[widest]-cut < leastCell {
			return
		}
		widths[widest] -= cut
		total -= cut
	}
}

// shorten cuts text that is wider than a column.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n >= width {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ") + "…"
}
