package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/softswitch"
)

// TestLevels: each level shows what is as grave or graver, trace by its name.
func TestLevels(t *testing.T) {
	order := []struct {
		name  string
		level slog.Level
	}{{"TRACE", softswitch.LevelTrace}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn}, {"ERROR", slog.LevelError}, {"off", slog.LevelError + 1}}
	for i, from := range order {
		var out bytes.Buffer
		log, _, err := (&Config{LogLevel: strings.ToLower(from.name)}).logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		for k, at := range order[:len(order)-1] {
			out.Reset()
			log.Log(t.Context(), at.level, "hello")
			if shown := strings.Contains(out.String(), "level="+at.name+" "); shown != (k >= i) {
				t.Errorf("-L %s: %s is shown: %t, %q", from.name, at.name, shown, out.String())
			}
		}
	}
}
