package topology

import (
	"runtime"
	"strings"
	"testing"
)

// TestNested: what is nested without end is refused before it takes memory, in whatever style.
func TestNested(t *testing.T) {
	for _, open := range []string{"[", "{a: ", "{", "- ", "? ", "&a ", "!a ", "[{a: ", "- [", "a: ["} {
		text := strings.Repeat(open, 10_000)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode("deep.yaml", []byte(text))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "more than 100 deep") {
			t.Errorf("%q: %.200v", open, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
			t.Errorf("%q: takes %d MB", open, took>>20)
		}
	}
	ok := "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: b, labels: {" + "a: b" + "}}\nspec: {}\n"
	if _, err := Decode("ok.yaml", []byte(strings.Repeat(ok+"---\n", 200))); err != nil {
		t.Errorf("many documents: %v", err)
	}
}

// TestLongMistake: the mistake in a long line takes no more memory than the line does.
func TestLongMistake(t *testing.T) {
	for _, text := range []string{"{" + strings.Repeat("a: 1,", 20_000) + "}", strings.Repeat("["+strings.Repeat("1,", 20_000)+"1]", 2)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode("long.yaml", []byte(text))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%.20s: taken", text)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 500<<20 {
			t.Errorf("%.20s: takes %d MB", text, took>>20)
		}
	}
}
