package state

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const sessionYAML = `
apiVersion: weft/v1
kind: BGPSession
metadata: {name: upstream, tenant: isp}
spec: {vport: up1, localAS: 64500, peerAS: 64501, peerAddress: 192.0.2.9, families: [ipv4, ipv6]}
`

// TestBGPSession: a session is read with the router of its port, by who has that loaded, and goes where the port goes.
func TestBGPSession(t *testing.T) {
	l := newRIBLab(t)
	apply(t, l.all, sessionYAML+`
---
apiVersion: weft/v1
kind: Router
metadata: {name: other, tenant: isp}
`)
	lazy := lazyStore(t, l.all, 50*time.Millisecond, "e9")
	lazy.Load(l.router)
	sessions := func(s *Store, port flow.VPortID, want int) {
		t.Helper()
		untilView(t, s, "sessions", func(v *View) bool { return len(v.Topology.BGPSessions(port)) == want })
	}
	for _, s := range []*Store{l.all, lazy} {
		sessions(s, l.up1, 1)
		if b := s.View().Topology.BGPSessions(l.up1)[0]; b.Name != "isp/upstream" || b.PeerAS != 64501 || !b.V6 {
			t.Errorf("session %+v", b)
		}
	}
	if _, err := l.all.Delete(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "isp", Name: "up1"}); err == nil {
		t.Error("a port with a session is deleted")
	}

	// To another router that the other store does not have, and back.
	apply(t, l.all, `
apiVersion: weft/v1
kind: VPort
metadata: {name: up1, tenant: isp}
spec: {device: router/other, addresses: [192.0.2.1/24, "2001:db8:1::1/64"]}
`)
	sessions(lazy, l.up1, 0)
	sessions(l.all, l.up1, 1)
	other := idOf(t, l.all, topology.KindRouter, "isp", "other")
	if all, _ := contents(t, l.all.client, recordPrefix(l.router, recordBGP), recordPrefix(other, recordBGP)); len(all) != 1 {
		t.Errorf("stored: %q", all)
	}
	apply(t, l.all, ribNetwork)
	sessions(lazy, l.up1, 1)

	lazy.Release(l.router)
	sessions(lazy, l.up1, 0)
	if _, err := l.all.Delete(t.Context(), topology.Ref{Kind: topology.KindBGPSession, Tenant: "isp", Name: "upstream"}); err != nil {
		t.Fatal(err)
	}
	sessions(l.all, l.up1, 0)
	if bad := l.all.BadValues() + lazy.BadValues(); bad != 0 {
		t.Errorf("%d values were not understood", bad)
	}
	for _, leaf := range []string{"", "isp", "isp/", "/a", "isp/a/b"} {
		if _, err := parseDeviceKey(recordPrefix(1, recordBGP) + leaf); err == nil {
			t.Errorf("key with %q is taken", leaf)
		}
	}
}
