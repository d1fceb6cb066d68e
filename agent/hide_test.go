package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestLogsHideSecrets: whatever is logged by the name of a secret is not in the log, in either format, in groups and in what a logger was given before; all else is.
func TestLogsHideSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := Log{Level: "debug", Format: format}.Logger(&out)
		log = log.With("edge", "nic1", "Password", "hunter2")
		log.WithGroup("vpn").Info("peer", "preshared_key", []byte("hunter2"), "privateKey", "hunter2", slog.Group("api", "authorization", "Bearer hunter2", "vport", "acme/web"), "key", "/weft/conf")
		log.Warn("login", "token", fmt.Errorf("hunter2"), "psk", "hunter2", "err", "refused")
		got := out.String()
		if strings.Contains(got, "hunter2") || strings.Count(got, "(hidden)") != 7 {
			t.Errorf("%s: %s", format, got)
		}
		for _, want := range []string{"nic1", "acme/web", "refused", "/weft/conf"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", format, want, got)
			}
		}
		if format == "json" {
			for line := range strings.Lines(got) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s", line)
				}
			}
		}
	}
}
