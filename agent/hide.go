package agent

import (
	"log/slog"
	"strings"
)

// hide replaces what is never to be in a log, whoever gave it to one, in groups too.
func hide(_ []string, a slog.Attr) slog.Attr {
	if secret(a.Key) && a.Value.Kind() != slog.KindGroup {
		a.Value = slog.StringValue("(hidden)")
	}
	return a
}

// secret reports whether a field's name says that its value is to be kept.
func secret(field string) bool {
	field = strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(field))
	for _, s := range []string{"password", "passphrase", "secret", "token", "psk", "privatekey", "presharedkey", "authorization", "credential"} {
		if strings.Contains(field, s) {
			return true
		}
	}
	return false
}
