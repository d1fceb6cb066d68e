package netns_test

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
)

const advertisedLab = `-- hosts --
vm1 vport=acme/vm1 edge=e1 mac=02:00:00:00:00:01 mtu=1500
vm2 vport=acme/vm2 edge=e2 mac=02:00:00:00:00:02 mtu=1500
-- network.yaml --
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, mtu: 1400, addresses: ["fd01::1/64"], advertise: {mode: slaac, lifetime: 12}}}
`

// TestSLAAC: Linux' own IPv6 stack makes itself an address from what the router advertises, takes it for its default router, lowers its MTU, and reaches
// the router and the other machine, at another edge. vm1 asks for routers, vm2 does not; both hear of it again before it runs out.
func TestSLAAC(t *testing.T) {
	if err := netns.Missing(); err != nil {
		t.Skip(err)
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("needs ip on PATH")
	}
	s, err := scenario.Parse("advertised.txtar", []byte(advertisedLab))
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Config{Scenario: s, PowerOn: netns.New})
	if err != nil {
		t.Fatal(err)
	}
	err = l.While(t.Context(), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		addrs := map[string]string{"vm1": "fd01::ff:fe00:1", "vm2": "fd01::ff:fe00:2"} // RFC 4291 appendix A
		for host, addr := range addrs {
			advertised(ctx, t, l.Host(host).(runner), ip, addr, host == "vm1")
		}
		for host, peer := range map[string]string{"vm1": addrs["vm2"], "vm2": addrs["vm1"]} {
			for _, to := range []string{peer, "fd01::1"} {
				if out, _, err := l.Host(host).(runner).Exec(ctx, "ping", "-c", "2", "-W", "5", to); err != nil {
					t.Errorf("%s to %s: %v\n%s", host, to, err, out)
				}
			}
		}
		var told [2]uint64
		for i, edge := range l.Edges() {
			if told[i], err = l.Counter(ctx, edge, "adverts"); err != nil {
				return err
			}
		}
		if told[0] == 0 || told[1] != 0 {
			t.Errorf("edges %v advertised %d times without being asked, want the first alone", l.Edges(), told)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// advertised has a machine listen to routers, as of when its interface comes up, until it has an address that it has made sure of, and a router.
func advertised(ctx context.Context, t *testing.T, m runner, ip, addr string, asks bool) {
	t.Helper()
	do := func(name string, args ...string) string {
		stdout, stderr, err := m.Exec(ctx, name, args...)
		if err != nil {
			t.Fatalf("%s %v: %v\n%s%s", name, args, err, stdout, stderr)
		}
		return string(stdout)
	}
	do(ip, "link", "set", "eth0", "down")
	solicitations := "net.ipv6.conf.eth0.router_solicitations=0"
	if asks {
		solicitations = "net.ipv6.conf.eth0.router_solicitations=3"
	}
	do("sysctl", "-qw", solicitations, "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.autoconf=1", "net.ipv6.conf.eth0.addr_gen_mode=0", "net.ipv6.conf.eth0.use_tempaddr=0")
	do(ip, "link", "set", "eth0", "up")
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		if strings.Contains(do(ip, "-6", "addr", "show", "dev", "eth0", "scope", "global", "-tentative"), " "+addr+"/64 ") {
			break
		}
		select {
		case <-ctx.Done():
			ctx = context.WithoutCancel(ctx)
			t.Fatalf("no address %s: %s%s", addr, do(ip, "-6", "addr", "show", "dev", "eth0"), do(ip, "-6", "route"))
		case <-tick.C:
		}
	}
	if routes := do(ip, "-6", "route", "show", "default"); !regexp.MustCompile(`^default via fe80::\S+ dev eth0 proto ra `).MatchString(routes) {
		t.Errorf("routes: %s", routes)
	}
	left := func() (seconds int) {
		routes := do(ip, "-6", "route", "show", "default")
		if m := regexp.MustCompile(`expires (\d+)sec`).FindStringSubmatch(routes); m == nil {
			t.Errorf("the router has run out, or never does: %q", routes)
		} else {
			seconds, _ = strconv.Atoi(m[1])
		}
		return seconds
	}
	for tick, before := time.NewTicker(100*time.Millisecond), left(); !t.Failed(); {
		now := left()
		if now > before {
			break
		}
		before = now
		select {
		case <-ctx.Done():
			t.Fatal("the router is not advertised again")
		case <-tick.C:
		}
	}
	if mtu := strings.TrimSpace(do("sysctl", "-n", "net.ipv6.conf.eth0.mtu")); mtu != "1400" {
		t.Errorf("the MTU for IPv6 is %s, not that of the router's port", mtu)
	}
}
