package report

import (
	"os"

	"golang.org/x/term"
)

// Style is how much a terminal shows. The zero value is for files and pipes: plain lines of 80 columns.
type Style struct {
	Width int  // columns; 0: 80
	Live  bool // a terminal: the line of what is under way is written over
	Color bool
}

// minWidth is the least width that a table is laid out for, in columns.
const minWidth = 60

// StyleOf returns what a file can show: NO_COLOR (https://no-color.org) and TERM=dumb are heeded.
func StyleOf(f *os.File) Style {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return Style{}
	}
	width, _, err := term.GetSize(fd)
	if err != nil {
		width = 0
	}
	dumb := os.Getenv("TERM") == "dumb"
	return Style{Width: width, Live: !dumb, Color: !dumb && os.Getenv("NO_COLOR") == ""}
}

func (s Style) width() int {
	if s.Width == 0 {
		return 80
	}
	return max(s.Width, minWidth)
}

// Colours of a terminal.
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	faint = "\x1b[2m"
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

func (s Style) paint(color, text string) string {
	if !s.Color {
		return text
	}
	return color + text + plain
}
