package scenario

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// words is one line: words, and options KEY=VALUE. It is consumed by getters that note
// problems; what is left over at the end is a problem too.
type words struct {
	args     []string
	options  map[string]string
	known    []string // options that were asked for
	problems []problem
}

type problem struct{ text, hint string }

// split cuts a line into words at white space. Quotes '…' keep white space, also within a
// word; ” in quotes is a quote.
func split(line string) ([]string, error) {
	var (
		all    []string
		word   strings.Builder
		inWord bool
		quoted bool
	)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\'' && i+1 < len(line) && line[i+1] == '\'':
			word.WriteByte(c)
			i++
		case c == '\'':
			quoted, inWord = !quoted, true
		case !quoted && (c == ' ' || c == '\t' || c == '\r'):
			if inWord {
				all = append(all, word.String())
				word.Reset()
				inWord = false
			}
		case !quoted && !inWord && c == '#':
			return all, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("quote without end")
	}
	if inWord {
		all = append(all, word.String())
	}
	return all, nil
}

func newWords(all []string) *words {
	w := &words{options: map[string]string{}}
	for _, word := range all {
		key, value, ok := strings.Cut(word, "=")
		if !ok || !isKey(key) {
			w.args = append(w.args, word)
			continue
		}
		if _, twice := w.options[key]; twice {
			w.fail("%s= is given twice", key)
		}
		w.options[key] = value
	}
	return w
}

// isKey tells whether s is a name of lower-case letters, with - between them.
func isKey(s string) bool {
	for i, c := range s {
		if (c < 'a' || c > 'z') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

func (w *words) fail(format string, args ...any) {
	w.problems = append(w.problems, problem{text: fmt.Sprintf(format, args...)})
}

func (w *words) failHint(hint, format string, args ...any) {
	w.problems = append(w.problems, problem{text: fmt.Sprintf(format, args...), hint: hint})
}

// next takes the next word; what names it in problems.
func (w *words) next(what string) string {
	if len(w.args) == 0 {
		w.fail("%s is missing", what)
		return ""
	}
	word := w.args[0]
	w.args = w.args[1:]
	return word
}

// flag takes a word out if it is there.
func (w *words) flag(name string) bool {
	w.known = append(w.known, name)
	at := slices.Index(w.args, name)
	if at < 0 {
		return false
	}
	w.args = slices.Delete(w.args, at, at+1)
	return true
}

// option takes the value of an option out, if it is there.
func (w *words) option(key string) (string, bool) {
	w.known = append(w.known, key+"=")
	value, ok := w.options[key]
	delete(w.options, key)
	return value, ok
}

// number is a whole number from least to most.
func (w *words) number(key string, absent, least, most int) int {
	text, ok := w.option(key)
	if !ok {
		return absent
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		w.failHint(fmt.Sprintf("it is a whole number from %d to %d", least, most), "%s=%s", key, text)
		return absent
	}
	return n
}

// size is a number of bytes with an optional unit.
func (w *words) size(key string, absent int64) int64 {
	text, ok := w.option(key)
	if !ok {
		return absent
	}
	n, ok := parseSize(text)
	if !ok {
		w.failHint("it is a number of bytes such as 1000, 64KB, 5MB or 1GiB", "%s=%s", key, text)
		return absent
	}
	return n
}

func parseSize(text string) (int64, bool) {
	digits := strings.TrimRight(text, "KMGiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	factor := map[string]int64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[text[len(digits):]]
	if err != nil || n < 1 || factor == 0 || n > math.MaxInt64/factor {
		return 0, false
	}
	return n * factor, true
}

func (w *words) duration(key string, absent time.Duration) time.Duration {
	text, ok := w.option(key)
	if !ok {
		return absent
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > time.Hour {
		w.failHint("it is a time up to 1h such as 200ms or 5s", "%s=%s", key, text)
		return absent
	}
	return d
}

func (w *words) oneOf(key, absent string, values ...string) string {
	text, ok := w.option(key)
	if !ok {
		return absent
	}
	if !slices.Contains(values, text) {
		w.failHint("it is one of "+strings.Join(values, ", "), "%s=%s", key, text)
		return absent
	}
	return text
}

// list takes an option of comma-separated values.
func list[T any](w *words, key, example string, parse func(string) (T, error)) []T {
	text, ok := w.option(key)
	if !ok {
		return nil
	}
	var all []T
	for one := range strings.SplitSeq(text, ",") {
		value, err := parse(one)
		if err != nil {
			w.failHint("it is a comma-separated list such as "+example, "%s=%s: %q is not valid", key, text, one)
			return nil
		}
		all = append(all, value)
	}
	return all
}

// parseAddr parses an address without a zone; one that is IPv4 in IPv6 is refused.
func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, err
	case addr.Zone() != "" || addr.Is4In6():
		return netip.Addr{}, fmt.Errorf("%s has a zone or is IPv4 in IPv6", text)
	}
	return addr, nil
}

// end notes what nobody asked for.
func (w *words) end() {
	hint := ""
	if len(w.known) > 0 {
		hint = "options here are " + strings.Join(w.known, ", ")
	}
	for _, word := range w.args {
		w.failHint(hint, "unexpected word %q", word)
	}
	keys := make([]string, 0, len(w.options))
	for key := range w.options {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		w.failHint(hint, "unknown option %s=", key)
	}
}
