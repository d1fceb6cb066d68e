package scenario

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxFrame bounds a raw frame in bytes.
const maxFrame = 9216 + 18

// Pattern matches frames: hexadecimal digits, with "." for any digit.
type Pattern struct {
	value, mask []byte
	open        bool // longer frames match too
}

// Matches tells whether a frame fits.
func (p Pattern) Matches(frame []byte) bool {
	if len(frame) < len(p.value) || !p.open && len(frame) > len(p.value) {
		return false
	}
	for i, want := range p.value {
		if frame[i]&p.mask[i] != want {
			return false
		}
	}
	return true
}

// String returns the pattern as it is written.
func (p Pattern) String() string {
	text := []byte(hex.EncodeToString(p.value))
	for i := range text {
		if p.mask[i/2]>>(4-4*(i%2))&0xf == 0 {
			text[i] = '.'
		}
	}
	if p.open {
		text = append(text, '*')
	}
	return string(text)
}

// paragraphs cuts a file of hexadecimal frames: a blank line ends a frame, # begins a
// comment, white space does not count. lines are where the frames begin, from 0.
func paragraphs(data []byte) (frames []string, lines []int) {
	var current strings.Builder
	begin := 0
	flush := func() {
		if current.Len() > 0 {
			frames, lines = append(frames, current.String()), append(lines, begin)
			current.Reset()
		}
	}
	for i, line := range strings.Split(string(data), "\n") {
		text, _, comment := strings.Cut(line, "#")
		text = strings.Join(strings.Fields(text), "")
		switch {
		case text == "" && !comment:
			flush()
		case text != "" && current.Len() == 0:
			begin = i
			current.WriteString(text)
		default:
			current.WriteString(text)
		}
	}
	flush()
	return frames, lines
}

func parsePattern(text string) (Pattern, error) {
	text, open := strings.CutSuffix(text, "*")
	p := Pattern{open: open}
	digits, mask := []byte(text), bytes.Repeat([]byte{'f'}, len(text))
	for i, c := range digits {
		if c == '.' {
			digits[i], mask[i] = '0', '0'
		}
	}
	var err error
	if p.value, err = hex.DecodeString(string(digits)); err != nil {
		return Pattern{}, fmt.Errorf("frame pattern: %w", err)
	}
	if len(p.value) > maxFrame {
		return Pattern{}, fmt.Errorf("frame pattern of %d bytes is longer than %d", len(p.value), maxFrame)
	}
	if p.mask, err = hex.DecodeString(string(mask)); err != nil {
		return Pattern{}, fmt.Errorf("frame pattern: %w", err)
	}
	return p, nil
}

func parseFrame(text string) ([]byte, error) {
	frame, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	if len(frame) < 14 || len(frame) > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes; frames are 14 to %d bytes long", len(frame), maxFrame)
	}
	return frame, nil
}
