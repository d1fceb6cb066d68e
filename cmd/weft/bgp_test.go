package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBGPDocument does what docs/bgp.md says, in its order: steps in a lab, commands beside it.
func TestBGPDocument(t *testing.T) {
	root := atRoot(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs/bgp.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEFT_ETCD", "unix://"+dir+"/etcd")
	in := devOf(t, "examples/upstreams.yaml", "unix://"+dir+"/etcd")
	ran := 0
	for _, block := range regexp.MustCompile("(?ms)^```(text|console)\n(.*?)^```$").FindAllStringSubmatch(string(doc), -1) {
		if block[1] == "text" {
			if _, err := io.WriteString(in, block[2]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, c := range commandsOf(block[0]) {
			for i, line := range c.want {
				c.want[i] = settled(line)
			}
			want, line := c.pattern(), strings.Join(c.args, " ")
			until(t, func() (bool, string) {
				var stdout, stderr buffer
				run(t.Context(), c.args[1:], &stdout, &stderr)
				return want.MatchString(settled(stdout.String())), line + " prints\n" + stdout.String() + stderr.String() + "which is not what docs/bgp.md says:\n" + strings.Join(c.want, "\n")
			})
			ran++
		}
	}
	if ran < 6 {
		t.Errorf("%d commands", ran)
	}
}

var (
	unsettled = regexp.MustCompile(`\b(\d+[dhm])*\d+[hms]\b|\d{4}-\d\d-\d\dT[0-9:]+Z|TCP of .*`)
	blanks    = regexp.MustCompile(` +`)
)

// settled is text without what differs from run to run: times, how wide columns are, and which stack a port has.
func settled(text string) string {
	return blanks.ReplaceAllString(unsettled.ReplaceAllString(text, "·"), " ")
}

// devOf runs weft dev until the test ends, and returns where its steps are written to, once it says that its network is there: what ends it while it comes up ends the
// test, and a test that is soon done does not interrupt it.
func devOf(t *testing.T, file, etcd string) io.Writer {
	t.Helper()
	in, steps := io.Pipe()
	var out buffer
	root := newRoot()
	root.SetArgs([]string{"dev", "-f", file, "--listen", etcd})
	root.SetIn(in)
	root.SetOut(io.MultiWriter(t.Output(), &out))
	root.SetErr(t.Output())
	ctx, cancel := context.WithCancel(context.Background())
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed = root.ExecuteContext(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if failed != nil {
			t.Errorf("weft dev -f %s: %v", file, failed)
		}
		steps.Close()
	})
	until(t, func() (bool, string) {
		select {
		case <-ended:
			t.Fatalf("weft dev -f %s ended before its network was there", file) // why, the cleanup tells
		default:
		}
		return strings.Contains(out.String(), "ctrl-C ends it."), "weft dev prints\n" + out.String()
	})
	return steps
}
