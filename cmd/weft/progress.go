package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quickEnough is what nobody needs to be told of.
const quickEnough = 500 * time.Millisecond

// progress is a line on a screen that says what takes so long; elsewhere it is nothing.
type progress struct {
	w  io.Writer
	at screen

	mu    sync.Mutex
	text  string
	shown bool
	later *time.Timer // nil: there is no screen
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, at: screenOf(w)}
	if p.at.width > 0 {
		p.later = time.AfterFunc(quickEnough, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.shown = p.text != ""
			p.show()
		})
	}
	return p
}

// say says what is done now.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
	if p.later != nil && p.shown {
		p.show()
	}
}

// show writes the line in the place of the one before.
func (p *progress) show() {
	if p.shown {
		fmt.Fprintf(p.w, "\r\x1b[K%s", shorten(p.text, p.at.width-1))
	}
}

// end takes the line away.
func (p *progress) end() {
	if p.later == nil {
		return
	}
	p.later.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.text, p.shown = "", false
}
