package agent

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestVPNMetrics: what an edge has of its VPNs.
func TestVPNMetrics(t *testing.T) {
	want := map[string]float64{
		"weft_vpn_held e1 acme/office": 1, "weft_vpn_takeovers_total e1 acme/office": 2, "weft_vpn_up e1 acme/office": 1, "weft_vpn_peer_handshake_timestamp_seconds e1 office acme/office": 1700000000,
		"weft_vpn_peer_received_bytes_total e1 office acme/office": 7, "weft_vpn_peer_sent_bytes_total e1 office acme/office": 5,
		"weft_vpn_held e1 acme/shop": 1, "weft_vpn_takeovers_total e1 acme/shop": 1, "weft_vpn_up e1 acme/shop": 0,
		"weft_vpn_held e1 acme/other": 0, "weft_vpn_takeovers_total e1 acme/other": 0,
	}
	for name, reasons := range map[string]map[string]float64{"acme/office": {"too_long": 3}, "acme/shop": {}} {
		all := map[string]float64{"not_for_us": 0, "too_long": 0, "not_allowed": 0, "not_held": 0, "no_transport": 0, "queue_is_full": 0, "not_taken": 0, "malformed": 0, "unknown_session": 0, "bad_handshake": 0, "refused": 0}
		maps.Copy(all, reasons)
		for reason, n := range all {
			want["weft_vpn_dropped_packets_total e1 "+reason+" "+name] = n
		}
	}
	wantMetrics(t, func(out chan<- prometheus.Metric) { edgeVPNs(out, "e1", &fake{}) }, want)
}

// TestVPNConfig: what is wrong with an edge's part for VPNs is said, and no key is.
func TestVPNConfig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\nmore\n", "short": "c2VjcmV0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for vpn, want := range map[string]string{
		`{interface: vm1, device: "unix:/run/vpn", keyFile: good}`:         "",
		`{device: "unix:/run/vpn", keyFile: good}`:                         `vpn.interface: is missing`,
		`{interface: vpn9, device: "unix:/run/vpn", keyFile: good}`:        `vpn.interface: "vpn9" is none of the edge's interfaces`,
		`{interface: vm1, keyFile: good}`:                                  `vpn.device: is missing`,
		`{interface: vm1, device: tap9}`:                                   `vpn.keyFile: is missing`,
		`{interface: vm1, device: tap9, keyFile: none}`:                    `no such file`,
		`{interface: vm1, device: tap9, keyFile: good, uids: 61184-61247}`: "",
		`{interface: vm1, device: tap9, keyFile: good, uids: 0-9}`:         `vpn.uids: "0-9" are no user ids from 1000 on`,
		`{interface: vm1, device: tap9, keyFile: short}`:                   `is no key`,
	} {
		_, err := Decode("agent.yaml", dir, []byte(strings.Replace(small, "  interfaces: {vm1: 1}", "  interfaces: {vm1: 1}\n  vpn: "+vpn, 1)))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", vpn, err, want)
		case err != nil && strings.Contains(err.Error(), "c2VjcmV0"):
			t.Errorf("%s: the error has the key: %v", vpn, err)
		}
	}
}
