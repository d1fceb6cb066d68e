package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// remoteNet has ports for a VPN, and one that names them; %s is more of its spec.
const remoteNet = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30], mtu: 1400}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: free, tenant: acme}, spec: {device: router/core, addresses: [10.8.0.1/30]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: acme}, spec: {device: router/core, singleHost: true, addresses: [100.64.0.10/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: cable, tenant: acme}, spec: {device: bridge/lan, mtu: 1350}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: wide, tenant: acme}, spec: {device: bridge/lan, mtu: 1400}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: acme}, spec: {device: router/core, peer: out2, addresses: [10.0.0.1/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out2, tenant: acme}, spec: {device: bridge/lan, peer: in}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: v, tenant: acme}, spec: {%s}}
`

const (
	keyA = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyB = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// peerText is a peer that is called, with more.
func peerText(more string) string {
	return fmt.Sprintf(`{name: p, publicKey: "%s", endpoint: "192.0.2.1:51820", allowedIPs: [192.168.0.0/16]%s}`, keyA, more)
}

// openVPNPeer is the same of an OpenVPN.
func openVPNPeer(more string) string {
	return fmt.Sprintf(`{name: p, publicKey: "%s", endpoint: "192.0.2.1:1194", allowedIPs: [192.168.0.0/16]%s}`, strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), more)
}

func TestVPNMistakes(t *testing.T) {
	ok := "peers: [" + peerText("") + "]"
	for _, tc := range []struct{ spec, want string }{
		{"vport: office, " + ok, ""},
		{"vport: office, edges: [e1, e2], mtu: 1420, networks: [10.0.0.0/24], type: wireguard, " + ok, ""},
		{"vport: office, publicPort: out, listenPort: 51820, endpoint: vpn.example.com:51820, peers: [{name: p, allowedIPs: [192.168.0.0/16]}]", ""},
		{"vport: cable, ethernet: {local: 10.255.0.1, remote: 192.168.0.2, vni: 7}, " + ok, ""},
		{ok, `spec.vport: is missing; name the exterior vport that is the private port`},
		{"vport: none, " + ok, `spec.vport: "none" is no vport; define vport acme/none or name an existing one`},
		{"vport: in, " + ok, `spec.vport: "in" is an interior port; name an exterior one`},
		{"vport: cable, " + ok, `spec.vport: "cable" is a port of bridge acme/lan; name a port of a router, or say with ethernet how the bridge's frames go through the tunnel`},
		{"vport: office, ethernet: {local: 10.255.0.1, remote: 192.168.0.2}, " + ok, `spec.ethernet: is for a port of a bridge, and office is one of router acme/core; leave it out, or name a port of a bridge`},
		{"vport: free, " + ok, `spec.vport: "free" has mtu 0, and 1420 bytes of IP packet go through the tunnel; give the vport mtu: 1420`},
		{"vport: office, mtu: 1300, " + ok, `spec.vport: "office" has mtu 1400, and 1300 bytes of IP packet go through the tunnel; give the vport mtu: 1300`},
		{"vport: wide, ethernet: {local: 10.255.0.1, remote: 192.168.0.2}, " + ok, `spec.vport: "wide" has mtu 1400, and 1370 bytes of IP packet go through the tunnel; give the vport mtu: 1370`},
		{"vport: office, mtu: 100, " + ok, `spec.mtu: "100" is out of range; use 576 to 9216 bytes of IP packet`},
		{"vport: office, type: openvpn2, " + ok, `spec.type: "openvpn2" is no type of VPN; use wireguard, openvpn or ipsec`},
		{"vport: office, type: openvpn, peers: [" + openVPNPeer("") + "]", ""},
		{"vport: wide, type: openvpn, peers: [" + strings.Replace(openVPNPeer(""), "[192.168.0.0/16]", "[]", 1) + "]", ""},
		{"vport: office, type: ipsec, peers: [{name: p, endpoint: \"192.0.2.1:4500\", allowedIPs: [192.168.0.0/16], presharedKeySecret: k}]", ""},
		{"vport: office, type: openvpn, " + ok, `spec.peers[0].publicKey: is no SHA-256 fingerprint of a certificate; give 32 bytes in hex with colons, as openssl x509 -fingerprint -sha256 prints them, or leave it out: weft vpn export --new-key makes one`},
		{"vport: wide, type: openvpn, peers: [" + openVPNPeer("") + "]", `spec.peers[0].allowedIPs: is for a port of a router, and wide is one of bridge acme/lan; leave it out: an openvpn at a bridge carries all frames`},
		{"vport: office, type: openvpn, peers: [" + strings.Replace(openVPNPeer(""), "[192.168.0.0/16]", "[]", 1) + "]", `spec.peers[0].allowedIPs: is missing: nothing would go to the peer, or come from it; list the prefixes behind it`},
		{"vport: office, type: openvpn, peers: [" + openVPNPeer("") + ", " + openVPNPeer("") + "]", `spec.peers: "2" are too many for openvpn, which is one cable; make a VPN with a vport of its own for each`},
		{"vport: wide, type: openvpn, ethernet: {local: 10.255.0.1, remote: 192.168.0.2}, peers: [" + openVPNPeer("") + "]", `spec.ethernet: is for wireguard; leave it out: an openvpn carries the frames of a bridge's port by itself`},
		{"vport: office, type: ipsec, peers: [{name: p, endpoint: \"192.0.2.1:4500\", allowedIPs: [192.168.0.0/16]}]", `spec.peers[0].presharedKeySecret: is missing; name the secret, kept at the edges, that both ends of the ipsec have`},
		{"vport: office, type: ipsec, peers: [" + peerText(", presharedKeySecret: k") + "]", `spec.peers[0].publicKey: is for other types of VPN; leave it out: an ipsec has presharedKeySecret`},
		{"vport: wide, type: ipsec, peers: [{name: p, endpoint: \"192.0.2.1:4500\", allowedIPs: [192.168.0.0/16], presharedKeySecret: k}]", `spec.vport: "wide" is a port of bridge acme/lan; name a port of a router: ipsec carries IP packets`},
		{"vport: office, edges: [e1, e1], " + ok, `spec.edges[1]: "e1" is empty, or listed twice; list each edge once`},
		{"vport: office, listenPort: 1, " + ok, `spec.listenPort: "1" takes a publicPort: at the network of an edge's agent nobody can call, as another edge may have the VPN; name a publicPort, or leave this out and give each peer an endpoint`},
		{"vport: office, publicPort: office, " + ok, `spec.publicPort: "office" is the private port; name another one`},
		{"vport: office, publicPort: free, " + ok, `spec.publicPort: "free" is not a port of a router with one host, which the VPN is to be; give the vport singleHost: true, and the VPN's own addresses`},
		{"vport: office, publicPort: out, peers: [" + strings.Replace(peerText(""), "192.0.2.1:51820", "[2001:db8::1]:1", 1) + "]", `spec.peers[0].endpoint: "[2001:db8::1]:1" is of an IP version of which port out has no address; give the port one`},
		{"vport: office, publicPort: out, peers: [" + strings.Replace(peerText(""), "192.0.2.1:51820", "example.com:1", 1) + "]", `spec.peers[0].endpoint: "example.com:1" has no address: names are not looked up through a publicPort; use one such as 192.0.2.1:51820 or [2001:db8::1]:51820`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), "192.0.2.1:51820", `[fe80::1%a\nfwmark=1]:1`, 1) + "]", `spec.peers[0].endpoint: "[fe80::1%a\nfwmark=1]:1" has no address of a host that others reach; use one such as 192.0.2.1:51820 or [2001:db8::1]:51820`},
		{"vport: office, publicPort: out, listenPort: 51820, endpoint: \"a\\nPostUp = x:1\", peers: [{name: p, allowedIPs: [192.168.0.0/16]}]", `spec.endpoint: "a\nPostUp = x:1" has no address, and no name of a host; use one such as 192.0.2.1:51820 or [2001:db8::1]:51820`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), "192.0.2.1:51820", "192.0.2.1", 1) + "]", `spec.peers[0].endpoint: "192.0.2.1" is not HOST:PORT; use one such as 192.0.2.1:51820 or [2001:db8::1]:51820`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), `endpoint: "192.0.2.1:51820", `, "", 1) + "]", `spec.peers[0].endpoint: is missing: neither end would call; give HOST:PORT of the peer, or a listenPort where it calls`},
		{"vport: office", `spec.peers: is missing; give the remote end: name, publicKey, allowedIPs`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), keyA, "c2VjcmV0", 1) + "]", `spec.peers[0].publicKey: is no public key of WireGuard's; give 32 bytes in base64, as wg pubkey prints them, or leave it out: weft vpn export --new-key makes one`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), "name: p", "name: P_", 1) + "]", `spec.peers[0].name: "P_" is not a name; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first`},
		{"vport: office, peers: [" + peerText("") + ", " + strings.Replace(peerText(""), keyA, keyB, 1) + "]", `spec.peers[1].name: "p" is that of spec.peers[0] too; name each peer once`},
		{"vport: office, peers: [" + peerText("") + ", " + strings.Replace(peerText(""), "name: p", "name: q", 1) + "]", `spec.peers[1].publicKey: "` + keyA + `" is that of spec.peers[0] too; each peer has its own`},
		{"vport: office, peers: [" + peerText("") + ", " + strings.NewReplacer("name: p", "name: q", keyA, keyB).Replace(peerText("")) + "]", `spec.peers[1].allowedIPs[0]: "192.168.0.0/16" is behind spec.peers[0] too; give each prefix to one peer`},
		{"vport: office, peers: [" + strings.Replace(peerText(""), "[192.168.0.0/16]", "[]", 1) + "]", `spec.peers[0].allowedIPs: is missing: nothing would go to the peer, or come from it; list the prefixes behind it`},
		{"vport: office, peers: [" + peerText(", presharedKeySecret: ../x") + "]", `spec.peers[0].presharedKeySecret: is not the name of a secret; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; the key itself is kept at the edges`},
		{"vport: cable, ethernet: {local: 10.255.0.1, remote: 10.255.0.2}, " + ok, `spec.ethernet.remote: "10.255.0.2" is not behind the peer; add it to allowedIPs of spec.peers[0]`},
		{"vport: cable, ethernet: {local: 10.255.0.1, remote: \"fd00::1\"}, " + ok, `spec.ethernet: "10.255.0.1, fd00::1" are not two addresses of hosts, of one IP version; give local and remote, such as 10.255.0.1 and 10.255.0.2`},
		{"vport: cable, ethernet: {local: 10.255.0.1, remote: 192.168.0.2, vni: 16777216}, " + ok, `spec.ethernet.vni: "16777216" is out of range; use 1 to 16777215`},
	} {
		objects, err := Decode("net.yaml", []byte(fmt.Sprintf(remoteNet, tc.spec)))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		got := ""
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			_, got, _ = strings.Cut(first, "vpn acme/v: ")
		}
		if got != tc.want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", tc.spec, got, err, tc.want)
		}
	}
}

// TestVPNPortIsTaken: a vport of a VPN has no Binding, and is no other VPN's.
func TestVPNPortIsTaken(t *testing.T) {
	text := fmt.Sprintf(remoteNet, "vport: office, peers: ["+peerText("")+"]")
	for more, want := range map[string]string{
		"{apiVersion: weft/v1, kind: Binding, metadata: {name: office, tenant: acme}, spec: {vport: office, edge: e1, interface: x}}":                               "those of a VPN are where its holder is",
		"{apiVersion: weft/v1, kind: VPN, metadata: {name: w, tenant: acme}, spec: {vport: office, peers: [" + strings.Replace(peerText(""), keyA, keyB, 1) + "]}}": "is bound by vpn acme/",
	} {
		objects, err := Decode("net.yaml", []byte(text+"---\n"+more))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
}

// TestVPNResolved: a holder finds in one record what it needs of the ports, and the private port knows the public one.
func TestVPNResolved(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(fmt.Sprintf(remoteNet, "vport: office, publicPort: out, peers: ["+peerText("")+"]")))
	if err != nil {
		t.Fatal(err)
	}
	AssignIDs(objects, 0)
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := set.VPN(Ref{KindVPN, "acme", "v"})
	office, out := set.Get(Ref{KindVPort, "acme", "office"}).Status.ID, set.Get(Ref{KindVPort, "acme", "out"}).Status.ID
	if v == nil || uint32(v.Private.ID) != office || v.Public == nil || uint32(v.Public.ID) != out || v.Private.MAC != GeneratedMAC(v.Private.ID) || len(v.Public.Hosts) != 1 || v.Private.MTU != 1400 || v.Private.Device == 0 {
		t.Fatalf("%+v", v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	back := new(VPN)
	if err := json.Unmarshal(raw, back); err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%v: %s", err, raw)
	}
	snap, _ := new(Snapshot).With(Changes{Put: set.ResolvedAll(objects)})
	if p := snap.VPort(v.Private.ID); p.NotFrom != v.Public.ID {
		t.Errorf("the private port has %v for the public one, want %v", p.NotFrom, v.Public.ID)
	}
	if p := snap.VPort(v.Public.ID); p.NotFrom != 0 {
		t.Errorf("the public port has %v", p.NotFrom)
	}
	if !v.May("any") {
		t.Error("no edge is named, and one may not")
	}
	if v.Spec.Edges = []string{"e1"}; v.May("e2") || !v.May("e1") {
		t.Error("edges that are named and others are alike")
	}
}

// TestVPNRoutes: what routes lead into a VPN is behind its peers, whichever of the two objects is changed.
func TestVPNRoutes(t *testing.T) {
	text := fmt.Sprintf(remoteNet, `vport: office, peers: [{name: p, endpoint: "192.0.2.1:1", allowedIPs: [192.168.0.0/25, 192.168.0.128/25, 10.9.0.2/32, "fd50::/64"]}]`)
	router := func(routes string) string {
		return "{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {" + routes + "}}"
	}
	apply := func(s *Set, text string) (*Set, error) {
		objects, err := Decode("net.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Apply(objects, nil)
	}
	const bare = "{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {}}"
	before, err := apply(new(Set), text)
	if err != nil {
		t.Fatal(err)
	}
	for routes, want := range map[string]string{
		`routes: [{dst: 192.168.0.0/24, port: office}, {dst: 192.168.0.7/32, port: office, via: 10.9.0.2}, {dst: "fd50::/65", port: office}, {dst: 10.0.0.0/8, port: free}]`: "",
		`routes: [{dst: 192.168.0.0/23, port: office}]`:                          "have not all of 192.168.0.0/23 behind them, which a route leads into port office (router acme/core: spec.routes[0]); add it to allowedIPs of a peer, or lead it elsewhere",
		`routes: [{dst: "::/0", port: office}]`:                                  "have not all of ::/0 behind them, which a route leads into port office (router acme/core: spec.routes[0]); add it to allowedIPs of a peer, or lead it elsewhere",
		`tables: [{name: t, routes: [{dst: 172.16.0.0/12, port: acme/office}]}]`: "have not all of 172.16.0.0/12 behind them, which a route leads into port office (router acme/core: spec.tables[0].routes[0]); add it to allowedIPs of a peer, or lead it elsewhere",
		`routes: [{dst: 192.168.0.0/24, port: office, via: "192.168.7.7"}]`:      "have not 192.168.7.7 behind them, by which a route goes (router acme/core: spec.routes[0]); add it to allowedIPs of a peer, or leave via out",
	} {
		for how, is := range map[string]func() error{
			"the router is changed": func() error { _, err := apply(before, router(routes)); return err },
			"all is new":            func() error { _, err := apply(new(Set), strings.Replace(text, bare, router(routes), 1)); return err },
		} {
			err := is()
			if want == "" && err != nil && strings.Contains(err.Error(), "vpn acme/v") || want != "" && (err == nil || !strings.Contains(err.Error(), "vpn acme/v: spec.peers: "+want)) {
				t.Errorf("%s, %s: %v, want %q", routes, how, err, want)
			}
		}
	}
	with, err := apply(before, router("routes: [{dst: 192.168.0.0/24, port: office}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(with, fmt.Sprintf(`{apiVersion: weft/v1, kind: VPN, metadata: {name: v, tenant: acme}, spec: {vport: office, peers: [%s]}}`, strings.Replace(peerText(""), "192.168.0.0/16", "192.168.0.0/25", 1))); err == nil {
		t.Error("a VPN does not have what is led into it any more, and is taken")
	}
}

// TestAllBehind: a prefix that several others have together is covered, and none that misses an address.
func TestAllBehind(t *testing.T) {
	prefixes := func(text string) (all []netip.Prefix) {
		for _, p := range strings.Fields(text) {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	for _, tc := range []struct {
		p, by string
		want  bool
	}{
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/8", "0.0.0.0/0", true},
		{"0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1", true},
		{"::/0", "::/1 8000::/1", true},
		{"::/0", "0.0.0.0/0", false},
		{"0.0.0.0/0", "::/0", false},
		{"10.0.0.0/30", "10.0.0.0/32 10.0.0.1/32 10.0.0.2/32 10.0.0.3/32", true},
		{"10.0.0.0/30", "10.0.0.0/32 10.0.0.1/32 10.0.0.3/32", false},
		{"fd00::/126", "fd00::/127 fd00::2/128 fd00::3/128", true},
		{"fd00::/126", "fd00::/127 fd00::3/128", false},
		{"10.0.0.0/8", "", false},
	} {
		if got := allBehind(netip.MustParsePrefix(tc.p), prefixes(tc.by)); got != tc.want {
			t.Errorf("%s by %s: %v", tc.p, tc.by, got)
		}
	}
}
