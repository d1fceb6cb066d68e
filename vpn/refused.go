package vpn

import (
	"slices"
	"strings"
)

// What daemons say of packets that they drop, one line for each: replays, and what was forged, garbled or is of another protocol.
var (
	openVPNRefuses = []string{
		"Authenticate/Decrypt packet error", "AEAD Decrypt error", "Bad encapsulated packet",
		"TLS Error: incoming packet authentication failed", "TLS Error: tls-crypt unwrapping failed", "TLS Error: reading acknowledgement record",
		"TLS Error: Unroutable control packet", "TLS Error: unknown opcode", "TLS Error: local/remote TLS keys are out of sync", "TLS State Error",
		"TLS Error: initial packet", "TLS Error: client->client", "Protocol error: received", "unsupported key-method", "TLS Error: cannot locate HMAC", "TLS Error: session-id not found",
	}
	ipsecRefuses = []string{
		"ESP sequence number verification failed", "ESP decryption", "parsing ESP payload failed", "failed to parse ESP header", "insufficient to parse",
		"received invalid IKE header", "received unsupported IKE version", "ignoring IKE_SA setup", "ignoring unprotected INFORMATIONAL",
		"integrity check failed", "decryption failed", "verification failed", "received malformed", "could not decrypt payloads",
	}
)

// refuses reports whether a line of a daemon's log tells of a packet that it dropped.
func refuses(line string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
}
