package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is one "$ " line of a ```console block, and the lines that follow it.
type command struct {
	args []string
	want []string
}

// commandsOf returns the commands of a document's console blocks.
func commandsOf(doc string) []command {
	var all []command
	console := false
	for line := range strings.Lines(doc) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			console = line == "```console"
		case console && strings.HasPrefix(line, "$ "):
			all = append(all, command{args: strings.Fields(line)[1:]})
		case console:
			c := &all[len(all)-1]
			c.want = append(c.want, line)
		}
	}
	return all
}

// aRevision depends on what agents have written by then.
var aRevision = regexp.MustCompile(`revision [0-9]+`)

// pattern returns the expected output as a regular expression: a line "…" stands for any lines.
func (c *command) pattern() *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for _, line := range c.want {
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
		} else {
			b.WriteString(aRevision.ReplaceAllLiteralString(regexp.QuoteMeta(line), `revision [0-9]+`) + `\n`)
		}
	}
	return regexp.MustCompile(b.String() + `\z`)
}

// TestREADME runs the README's commands and compares what they print. Of make and go it only asks whether there is such a target or test.
func TestREADME(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(string(doc), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("README.md links to what is not there: %v", err)
		}
	}
	commands := commandsOf(string(doc))
	if len(commands) < 5 || strings.Join(commands[0].args, " ") != "make demo" {
		t.Fatalf("%d commands, the first one %q; want make demo first", len(commands), commands[0].args)
	}
	for _, c := range commands {
		line := strings.Join(c.args, " ")
		switch c.args[0] {
		case "make":
			if out, err := exec.Command("make", append([]string{"-n"}, c.args[1:]...)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		case "go":
			name := c.args[slices.Index(c.args, "-run")+1]
			out, err := exec.Command("go", "test", "-list", name, c.args[len(c.args)-1]).CombinedOutput()
			if err != nil || !strings.Contains(string(out), name+"\n") {
				t.Errorf("%s: there is no such test: %v\n%s", line, err, out)
			}
		case "bin/weft":
			var stdout, stderr bytes.Buffer
			if code := run(context.Background(), c.args[1:], &stdout, &stderr); code != 0 || stderr.Len() > 0 {
				t.Errorf("%s: status %d\n%s", line, code, stderr.Bytes())
			}
			if !c.pattern().Match(stdout.Bytes()) {
				t.Errorf("%s prints\n%s\nwhich is not what the README says:\n%s", line, stdout.Bytes(), strings.Join(c.want, "\n"))
			}
		default:
			t.Errorf("%s: this test can't run it", line)
		}
	}
}
