package p4src

import (
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
)

// constTable is a table of constants of a P4 program: what v1model says with conditions, tna says with rows.
type constTable struct {
	keys  []string
	rows  []constRow
	deflt string
}

// constRow is an entry: of each key a value and a mask, nil for any.
type constRow struct {
	values, masks []*big.Int
	action        string
	hit           bool
}

var (
	constant   = regexp.MustCompile(`(?m)^const \w+(?:<\d+>)? (\w+) *= *(\w+);`)
	tableText  = regexp.MustCompile(`(?s)@hidden table (\w+) \{\n        key = \{(.*?)\}\n.*?const default_action = (.*?);\n        const entries = \{\n(.*?)\n        \}\n`)
	macroText  = regexp.MustCompile(`(?s)#define (LATEST_OF)\(([^)]*)\) \\\n(.*?[^\\])\n`)
	keyName    = regexp.MustCompile(`@name\("(\w+)"\)`)
	rowText    = regexp.MustCompile(`^\((.*)\): (.*);$`)
	actionText = regexp.MustCompile(`^(\w+)\((.*)\)$`)
)

// constants returns the named numbers of the shared sources.
func constants(t *testing.T) map[string]*big.Int {
	t.Helper()
	named := map[string]*big.Int{"true": big.NewInt(1), "false": big.NewInt(0)}
	for _, file := range []string{"shared/ids.p4", "shared/reasons.p4"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(text), -1) {
			if n, ok := new(big.Int).SetString(m[2], 0); ok {
				named[m[1]] = n
			}
		}
	}
	return named
}

// constTables returns the hidden tables of a P4 source by name.
func constTables(t *testing.T, file string) map[string]*constTable {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	named, text := constants(t), string(source)
	if m := macroText.FindStringSubmatch(text); m != nil {
		text = expand(text, m[1], strings.Split(m[2], ", "), strings.ReplaceAll(m[3], "\\\n", "\n"))
	}
	tables := map[string]*constTable{}
	for _, m := range tableText.FindAllStringSubmatch(text, -1) {
		table := &constTable{deflt: m[3]}
		for _, key := range strings.Split(m[2], ";") {
			if key = strings.TrimSpace(key); key == "" {
				continue
			}
			name := key[:strings.LastIndex(key, ": ")]
			if n := keyName.FindStringSubmatch(key); n != nil {
				name = n[1]
			}
			table.keys = append(table.keys, name)
		}
		for _, line := range strings.Split(m[4], "\n") {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			row := rowText.FindStringSubmatch(line)
			if row == nil { // of one key
				at := strings.LastIndex(line, ": ")
				row = []string{line, line[:at], strings.TrimSuffix(line[at+2:], ";")}
			}
			table.rows = append(table.rows, parseRow(t, m[1], row[1], row[2], len(table.keys), named))
		}
		tables[m[1]] = table
	}
	return tables
}

// expand replaces uses of a macro on lines of their own.
func expand(text, name string, params []string, body string) string {
	use := regexp.MustCompile(`(?m)^ *` + name + `\(([^)]*)\)$`)
	return use.ReplaceAllStringFunc(text, func(line string) string {
		args, out := strings.Split(use.FindStringSubmatch(line)[1], ", "), body
		for i, p := range params {
			out = regexp.MustCompile(`\b`+p+`\b`).ReplaceAllString(out, args[i])
		}
		return out
	})
}

func parseRow(t *testing.T, table, keys, action string, want int, named map[string]*big.Int) constRow {
	t.Helper()
	number := func(s string) *big.Int {
		if n, ok := new(big.Int).SetString(s, 0); ok {
			return n
		}
		if n, ok := named[s]; ok {
			return n
		}
		t.Fatalf("table %s: %q is neither a number nor a constant of p4src/shared", table, s)
		return nil
	}
	r := constRow{action: action}
	for _, s := range strings.Split(keys, ", ") {
		value, mask, masked := strings.Cut(s, " &&& ")
		switch {
		case s == "_":
			r.values, r.masks = append(r.values, nil), append(r.masks, nil)
		case masked:
			r.values, r.masks = append(r.values, number(value)), append(r.masks, number(mask))
		default:
			r.values, r.masks = append(r.values, number(value)), append(r.masks, nil)
		}
	}
	if len(r.values) != want {
		t.Fatalf("table %s: row (%s) has %d keys, want %d", table, keys, len(r.values), want)
	}
	return r
}

// lookup returns the action of the first row that matches, with its argument by name: "entry_is", "REASON_LAND".
func (c *constTable) lookup(t *testing.T, packet map[string]uint64) (action, arg string) {
	t.Helper()
	return c.find(t, func(key string) *big.Int {
		v, ok := packet[key]
		if !ok {
			t.Fatalf("the test gives no value of key %q", key)
		}
		return new(big.Int).SetUint64(v)
	})
}

func (c *constTable) find(t *testing.T, value func(key string) *big.Int) (action, arg string) {
	t.Helper()
	answer := c.deflt
rows:
	for n, r := range c.rows {
		for i, key := range c.keys {
			if r.values[i] == nil {
				continue
			}
			v := value(key)
			if r.masks[i] != nil {
				v = new(big.Int).And(v, r.masks[i])
			}
			if v.Cmp(r.values[i]) != 0 {
				continue rows
			}
		}
		answer, c.rows[n].hit = r.action, true
		break
	}
	m := actionText.FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("%q is no action", answer)
	}
	return m[1], m[2]
}

// used fails the test for each row that no lookup came to: it is never reached, or the test does not try what it is for.
func (c *constTable) used(t *testing.T) {
	t.Helper()
	for n, r := range c.rows {
		if !r.hit {
			t.Errorf("no packet of this test came to row %d, %s", n+1, r.action)
		}
	}
}
