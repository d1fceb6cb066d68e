package vpn

import (
	"crypto/ecdsa"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// openVPNSite is that of testSite as an OpenVPN that is called, or calls.
func openVPNSite(listen uint16, endpoint string) *topology.VPN {
	s := testSite()
	s.Spec.Type, s.Spec.ListenPort, s.Spec.MTU = topology.VPNOpenVPN, listen, 1300
	s.Spec.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd01::/64")}
	s.Private.Addresses = []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30"), netip.MustParsePrefix("fd09::1/64")}
	p := &s.Spec.Peers[0]
	p.PublicKey, p.Endpoint, p.PresharedKeySecret = "AB:CD", endpoint, "crypt"
	p.Addresses = []netip.Prefix{netip.MustParsePrefix("192.168.50.2/24"), netip.MustParsePrefix("fd50::2/64")}
	return s
}

// TestOpenVPNKey: the certificate is the key's, the private key is in the database sealed, and of another type it is refused.
func TestOpenVPNKey(t *testing.T) {
	seal := newSeal(t, 1)
	key, err := seal.generateCertificate("acme/office")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(key.Certificate)
	if err != nil || certificate.Subject.CommonName != "office.acme" || key.Public != fingerprint(key.Certificate) || len(key.Public) != 32*3-1 {
		t.Fatalf("%+v, %v", certificate, err)
	}
	site := openVPNSite(1194, "")
	k := New(Config{Seal: seal, Secret: func(string, string) (string, error) { return strings.Repeat("0f", 256), nil }})
	keys, err := k.openVPNSecrets(&state.VPNRecord{Site: site, Key: &key})
	if err != nil || strings.Count(keys.tlsCrypt, "\n") != 16 {
		t.Fatalf("%q, %v", keys.tlsCrypt, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(keys.private)
	if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(certificate.PublicKey) {
		t.Fatalf("the certificate is another key's: %v", err)
	}
	if strings.Contains(string(key.Sealed), string(keys.private[len(keys.private)-32:])) {
		t.Error("the private key is stored as it is")
	}
	other := key
	other.Certificate = append([]byte{1}, key.Certificate...)
	wireGuard, err := seal.generate("acme/office")
	if err != nil {
		t.Fatal(err)
	}
	for what, rec := range map[string]*state.VPNRecord{
		"it has no key yet":     {Site: site},
		"is none of OpenVPN's:": {Site: site, Key: &wireGuard},
		"none of OpenVPN's":     {Site: site, Key: &other},
	} {
		if _, err := k.openVPNSecrets(rec); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
	k.cfg.Secret = func(string, string) (string, error) { return "secret words", nil }
	if _, err := k.openVPNSecrets(&state.VPNRecord{Site: site, Key: &key}); err == nil || !strings.Contains(err.Error(), "is no key for tls-crypt") || strings.Contains(err.Error(), "secret words") {
		t.Errorf("a secret that is none: %v", err)
	}
}

// TestOpenVPNConf: the daemon of either role is told what it needs, and what the remote end is given fits.
func TestOpenVPNConf(t *testing.T) {
	keys := &openVPNKeys{certificate: []byte{1}, private: []byte{2}, tlsCrypt: "00\n"}
	at := &place{device: "weft0", dir: "/d", relay: netip.MustParseAddrPort("127.0.0.1:1194")}
	for _, tc := range []struct {
		site             *topology.VPN
		conf, exported   []string
		not, notExported string
	}{
		{openVPNSite(1194, ""), []string{"mode server", "local 127.0.0.1\nport 1194\n", "client-config-dir /d/clients", "explicit-exit-notify 1"}, []string{"client\nremote 100.64.0.10 1194\n", "remote-cert-tls server", "ifconfig 192.168.50.2 10.9.0.1\n", "ifconfig-ipv6 fd50::2/64 fd09::1\n", "route 10.1.0.0 255.255.255.0\n", "route-ipv6 fd01::/64\n"}, "remote ", "tls-server"},
		{openVPNSite(0, "[2001:db8::9]:4444"), []string{"tls-client\nremote 127.0.0.1 1194\nnobind"}, []string{"tls-server\ndh none\nport 4444\nfloat\n", "remote-cert-tls client", "proto udp6"}, "mode server", "remote 1"},
	} {
		conf := openVPNConf(tc.site, keys, at)
		exported, err := exportOpenVPN(&state.VPNRecord{Site: tc.site, Key: &state.VPNKey{Certificate: []byte{1}}}, &tc.site.Spec.Peers[0], "<cert>PRIVATE</cert>\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range append([]string{"dev weft0\ndev-type tun", "tun-mtu 1300", "keepalive 1 4", "peer-fingerprint AB:CD\n", "management /d/management unix\nmanagement-client\n", "<tls-crypt>"}, tc.conf...) {
			if !strings.Contains(conf, want) {
				t.Errorf("the daemon is not told %q:\n%s", want, conf)
			}
		}
		for _, want := range append([]string{"dev tun\ndev-type tun", "tun-mtu 1300", "<ca>", "PRIVATE", "# <tls-crypt>: the key of the secret crypt"}, tc.exported...) {
			if !strings.Contains(exported, want) {
				t.Errorf("the profile has no %q:\n%s", want, exported)
			}
		}
		if strings.Contains(conf, tc.not) && tc.not != "remote " || strings.Contains(exported, tc.notExported) || strings.Contains(exported, "PRIVATE KEY") {
			t.Errorf("there is too much:\n%s\n%s", conf, exported)
		}
	}
	if routes := openVPNRoutes(openVPNSite(1194, "")); routes != "iroute 192.168.50.0 255.255.255.0\niroute-ipv6 fd50::/64\n" {
		t.Errorf("routes: %q", routes)
	}
}

// TestOpenVPNTells: what the management socket tells of a client, and of a peer.
func TestOpenVPNTells(t *testing.T) {
	list := func(clients ...string) []string {
		return append(append([]string{"TITLE\tOpenVPN 2.6"}, clients...), "END")
	}
	s := &session{server: true}
	var p Peer
	for i, step := range []struct {
		lines []string
		want  Peer
		at    string
	}{
		{list("CLIENT_LIST\tUNDEF\t127.0.0.1:1\t\t\t5\t5\tnow\t100\tUNDEF\t0\t0\t"), Peer{}, ""},
		{list("CLIENT_LIST\toffice\t127.0.0.1:1\t\t\t10\t20\tnow\t100\tUNDEF\t0\t0\t"), Peer{Connected: true, Received: 10, Sent: 20}, "127.0.0.1:1"},
		{list("CLIENT_LIST\toffice\t127.0.0.1:2\t\t\t3\t4\tnow\t200\tUNDEF\t0\t0\t", "CLIENT_LIST\toffice\t127.0.0.1:1\t\t\t12\t20\tnow\t100\tUNDEF\t0\t0\t"), Peer{Connected: true, Received: 13, Sent: 24}, "127.0.0.1:2"},
		{list(), Peer{Received: 13, Sent: 24}, "127.0.0.1:2"},
		{[]string{"CLIENT_LIST\toffice", ">STATE:1,CONNECTED", "garbage"}, Peer{Received: 13, Sent: 24}, "127.0.0.1:2"},
	} {
		for _, l := range step.lines {
			s.told(l)
		}
		at := s.peer(&p)
		if got := at.String(); got != step.at && step.at != "" || p != step.want {
			t.Errorf("step %d: %+v at %s, want %+v at %s", i, p, at, step.want, step.at)
		}
	}
	s = new(session)
	for _, l := range []string{">STATE:1,TCP_CONNECT,,", ">STATE:2,CONNECTED,SUCCESS,,", ">BYTECOUNT:7,8"} {
		s.told(l)
	}
	if s.peer(&p); !p.Connected || p.Received != 7 || p.Sent != 8 {
		t.Errorf("%+v", p)
	}
	if _, ok := s.logged("127.0.0.1:5 Control Channel: TLSv1.3, cipher TLS_AES_256_GCM_SHA384", time.Unix(5, 0)); !ok || s.handshake != time.Unix(5, 0) {
		t.Error("a handshake is not heard")
	}
	if said, ok := s.logged("TLS Error: TLS handshake failed", time.Now()); ok || said == "" {
		t.Error("a complaint is not heard")
	}
}

// FuzzOpenVPNTells: whatever the daemon says, the agent lives.
func FuzzOpenVPNTells(f *testing.F) {
	f.Add("CLIENT_LIST\toffice\t127.0.0.1:1\t\t\t10\t20\tnow\t100\tx\nEND", true)
	f.Add(">BYTECOUNT:1,2\n>STATE:1,CONNECTED\n", false)
	f.Fuzz(func(t *testing.T, text string, server bool) {
		s := &session{server: server}
		for _, l := range strings.Split(text, "\n") {
			s.told(l)
			s.logged(l, time.Unix(1, 0))
		}
		var p Peer
		s.peer(&p)
	})
}

// TestFrom: a packet from elsewhere than a peer's networks is not taken.
func TestFrom(t *testing.T) {
	behind := testSite().Spec.Peers[0].AllowedIPs
	for _, tc := range []struct {
		src  netip.Addr
		dst  netip.Addr
		want bool
	}{{ipB, ipA, true}, {ipB6, ipA6, true}, {ipA, ipB, false}, {ipA6, ipB6, false}} {
		if ip := udp(tc.src, tc.dst, hostMAC, routerMAC, 1)[14:]; from(ip, behind) != tc.want {
			t.Errorf("from %v: %v", tc.src, !tc.want)
		}
	}
	for _, ip := range [][]byte{nil, {0x45}, make([]byte, 60), append([]byte{0x60}, make([]byte, 38)...)} {
		if from(ip, behind) {
			t.Errorf("%x is from the peer", ip)
		}
	}
}
