package topology

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestIsGlobal: the special-purpose addresses of RFC 6890, by their first and last, and the neighbours of these.
func TestIsGlobal(t *testing.T) {
	for text, want := range map[string]bool{
		"0.255.255.255": false, "1.0.0.0": true, "9.255.255.255": true, "10.0.0.0": false, "10.255.255.255": false, "11.0.0.0": true,
		"100.63.255.255": true, "100.64.0.0": false, "100.127.255.255": false, "100.128.0.0": true, "127.0.0.1": false,
		"169.254.0.0": false, "169.253.255.255": true, "172.15.255.255": true, "172.16.0.0": false, "172.31.255.255": false, "172.32.0.0": true,
		"192.168.0.0": false, "192.167.255.255": true, "223.255.255.255": true, "224.0.0.0": false, "240.0.0.0": false, "255.255.255.255": false,
		"192.0.2.1": true, "198.51.100.1": true, "203.0.113.1": true,
		"::": false, "::1": false, "fc00::": false, "fdff::1": false, "fbff::1": true, "fe80::1": false, "febf::1": false, "ff02::1": false, "2001:db8::1": true, "2600::1": true,
	} {
		x := netip.MustParseAddr(text)
		a := flow.AddrOf(x)
		if got := isGlobal(&a, x.Is6()); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestGlobalAddressErrors: a device names a group that is there, of its own tenant, and no other kind; who is named can not go.
func TestGlobalAddressErrors(t *testing.T) {
	const text = `
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: internet, tenant: isp}, spec: {addresses: [0.0.0.0/0, "::/0"]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {globalAddresses: internet}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: ix, tenant: isp}, spec: {globalAddresses: internet}}
`
	for _, x := range []struct{ old, new, want string }{
		{"name: core, tenant: isp", "name: core, tenant: red", `router red/core: spec.globalAddresses: "internet" is no addressgroup; define addressgroup red/internet`},
		{"name: ix, tenant: isp}, spec: {globalAddresses: internet", "name: ix, tenant: red}, spec: {globalAddresses: isp/internet", `bridge red/ix: spec.globalAddresses: "isp/internet" is of tenant isp; name a group of tenant red`},
		{"globalAddresses: internet}}\n---", "globalAddresses: core}}\n---", `router isp/core: spec.globalAddresses: "core" is no addressgroup`},
	} {
		if !strings.Contains(text, x.old) {
			t.Fatalf("no %q", x.old)
		}
		if _, err := Load("net.yaml", []byte(strings.Replace(text, x.old, x.new, 1))); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s:\n got %v\nwant %s", x.new, err, x.want)
		}
	}
	if _, err := set(t, text).Apply(nil, []Ref{{KindAddressGroup, "isp", "internet"}}); err == nil || !strings.Contains(err.Error(), "is used by") {
		t.Errorf("a group that is named is deleted: %v", err)
	}
}
