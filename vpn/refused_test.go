package vpn

import "testing"

// TestRefuses: lines of daemons' logs that tell of a packet that was dropped.
func TestRefuses(t *testing.T) {
	for _, tc := range []struct {
		words []string
		line  string
		want  bool
	}{
		{openVPNRefuses, "office/127.0.0.1:4 AEAD Decrypt error: bad packet ID (may be a replay): [ #3 ] -- see the man page entry", true},
		{openVPNRefuses, "127.0.0.1:4 TLS Error: Unroutable control packet received from [AF_INET]127.0.0.1:4 (si=3 op=P_ACK_V1)", true},
		{openVPNRefuses, "127.0.0.1:4 TLS Error: TLS key negotiation failed to occur within 20 seconds", false},
		{openVPNRefuses, "office/127.0.0.1:4 Data Channel: cipher 'AES-256-GCM', peer-id: 0", false},
		{ipsecRefuses, "07[ESP] ESP sequence number verification failed:", true},
		{ipsecRefuses, "07[NET] received invalid IKE header from 127.0.0.1 - ignored", true},
		{ipsecRefuses, "07[IKE] authentication of 'office' with pre-shared key successful", false},
	} {
		if got := refuses(tc.line, tc.words); got != tc.want {
			t.Errorf("%s: %v", tc.line, got)
		}
	}
}
