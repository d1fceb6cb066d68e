package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	tty "golang.org/x/term"
)

// screen is what output is shown on.
type screen struct {
	width   int  // columns; 0: it is not shown but read by a program, and nothing is shortened
	height  int  // lines; 0: not known
	colours bool // https://no-color.org
}

// screenOf returns what a command's output is shown on.
func screenOf(w io.Writer) screen {
	f, ok := w.(*os.File)
	if !ok || !tty.IsTerminal(int(f.Fd())) {
		return screen{}
	}
	width, height, err := tty.GetSize(int(f.Fd()))
	if err != nil {
		width, height = 0, 0
	}
	return screen{width, height, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
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
	wideGap   = 2  // columns between cells
	leastCell = 18 // columns to which cells are shortened at most: a MAC is shown whole
	leastLast = 12 // and those of the last column, which is often text, and of any that is cut anyway where room is short
	leastText = 30 // columns that text needs to be read beside other columns
)

// fit makes a row of columns of these widths fit, and returns the gap between them: with a smaller gap, or narrower columns, the widest first. If it can't be made to, they are as narrow
// as they get, and lines are to be cut.
func (s screen) fit(widths []int) (gap int) {
	if s.width == 0 || len(widths) == 0 {
		return wideGap
	}
	sum := 0
	for _, w := range widths {
		sum += w
	}
	gaps := len(widths) - 1
	for _, gap := range []int{wideGap, 1} {
		if sum+gap*gaps <= s.width {
			return gap
		}
	}
	least := make([]int, len(widths))
	for i := range least {
		least[i] = leastCell
	}
	least[len(least)-1] = leastLast
	for _, gap := range []int{wideGap, 1} {
		if narrow := slices.Clone(widths); narrowed(narrow, least, s.width-gap*gaps) {
			copy(widths, narrow)
			return gap
		}
	}
	for i, w := range widths {
		if w > leastCell {
			least[i] = leastLast
		}
	}
	narrowed(widths, least, s.width-gaps)
	return 1
}

// narrowed narrows columns, the widest first, until their widths sum up to no more than room; false: they do not, as narrow as they may get.
func narrowed(widths, least []int, room int) bool {
	for {
		sum, widest := 0, -1
		for i, w := range widths {
			sum += w
			if w > least[i] && (widest < 0 || w >= widths[widest]) { // of equal ones the last: names come first
				widest = i
			}
		}
		switch {
		case sum <= room:
			return true
		case widest < 0:
			return false
		}
		widths[widest]--
	}
}

// hang is text behind what goes before it, in lines that fit: it goes on below where it began or, if there is little room, begins on a line of its own.
func (s screen) hang(before, text string) []string {
	room := s.width - utf8.RuneCountInString(before)
	if s.width == 0 || utf8.RuneCountInString(text) <= room {
		return []string{before + text}
	}
	var lines []string
	if room < leastText {
		lines, before = []string{shorten(strings.TrimRight(before, " "), s.width)}, "    "
		room = s.width - len(before)
	}
	for _, part := range wrapText(text, max(room, 1)) {
		lines = append(lines, before+part)
		before = strings.Repeat(" ", utf8.RuneCountInString(before))
	}
	return lines
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
