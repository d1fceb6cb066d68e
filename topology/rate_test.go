package topology

import (
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

func TestBitRate(t *testing.T) {
	for text, want := range map[string]BitRate{"50M": 50e6, "10G": 10e9, "64k": 64e3, "64000": 64e3, "1234567": 1234567, "1000k": 1e6} {
		var r BitRate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s is %d, %v", text, r, err)
		}
		var again BitRate
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%s becomes %v, and that %v, %v", text, r, again, err)
		}
	}
	for _, text := range []string{"", "M", "5 M", "-1", "1.5M", "50m", "50Mbit", "9999999999999999999G"} {
		var r BitRate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
	var r BitRate
	if err := r.UnmarshalText([]byte("9223372036854775807G")); err != nil || r <= maxBitRate {
		t.Errorf("a rate that no integer holds is %v, %v", r, err)
	}
}

// TestRateOfLinks: a link has one rate, whichever end gives it.
func TestRateOfLinks(t *testing.T) {
	for _, x := range []struct{ near, far, want string }{
		{"rate: 50M, ", "", ""},
		{"", "rate: 50M, ", ""},
		{"rate: 50M, ", "rate: 50000k, ", ""},
		{"rate: 50M, ", "rate: 10M, ", `"50M" is not that of peer b, 10M; a link has one: give it at one end, or the same at both`},
		{"rate: 1k, ", "", `vport acme/a: spec.rate: "1k" is out of range; use 64k to 1000G bits a second`},
		{"rate: fast, ", "", `spec.rate: "fast" is not a rate in bits a second such as 50M, 2500k or 10G`},
	} {
		_, err := Load("net.yaml", []byte(linkYAML(x.near, x.far)))
		if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s%s: %v, want %s", x.near, x.far, err, x.want)
		}
	}
}

// linkYAML is a link between bridges x and y, by ports a and b; their specs begin with what is given.
func linkYAML(near, far string) string {
	return `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: x, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: y, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a, tenant: acme}, spec: {` + near + `device: bridge/x, peer: b}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b, tenant: acme}, spec: {` + far + `device: bridge/y, peer: a}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {rate: 20M, device: bridge/y}}
`
}

// TestLinkRate: both ends of a link have the rate that one of them gives, and a change of it is one of that port; members behind it are none of the flood domain's. What an exterior port has
// is its own.
func TestLinkRate(t *testing.T) {
	for _, x := range []struct {
		near, far string
		want      BitRate
		members   int
	}{{"", "", 0, 1}, {"rate: 50M, ", "", 50e6, 0}, {"", "rate: 10M, ", 10e6, 0}} {
		s, err := Load("net.yaml", []byte(linkYAML(x.near, x.far)))
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]flow.VPortID{}
		for v := range s.VPorts() {
			ids[v.Name] = v.ID
		}
		if a, b := s.LinkRate(ids["a"]), s.LinkRate(ids["b"]); a != x.want || b != x.want {
			t.Errorf("%s%s: %v and %v, want %v", x.near, x.far, a, b, x.want)
		}
		if s.LinkRate(ids["vm"]) != 0 || s.VPort(ids["vm"]).Rate != 20e6 || s.LinkRate(999) != 0 {
			t.Errorf("the vport: %v, of its link %v", s.VPort(ids["vm"]).Rate, s.LinkRate(ids["vm"]))
		}
		bridge, _ := s.ID(Ref{KindBridge, "acme", "x"})
		if got := len(s.GroupMembers(s.Bridge(DeviceID(bridge)).Group())); got != x.members {
			t.Errorf("%s%s: %d members, want %d", x.near, x.far, got, x.members)
		}
	}
}
